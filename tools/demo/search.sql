-- Codes for both splits, an index, a search, and the measures; what page.sql shows.
\set ON_ERROR_STOP on
\pset footer off

\echo '-- Ten nearest training pictures of test picture 60001:'
SELECT t.id, t.label, t.code <-> q.code AS distance
FROM fashion_train AS t, (SELECT code FROM fashion_test ORDER BY id LIMIT 1) AS q
ORDER BY distance LIMIT 10;
