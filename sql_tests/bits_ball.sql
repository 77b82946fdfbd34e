-- The type hamming_ball and the operators <@ and @>.
SELECT hamming_ball(B'1011', 2) AS ball, hamming_ball(B'', 0) AS empty, '(1011,2)'::hamming_ball AS parsed,
	E' ( 1011 ,\t2 ) '::hamming_ball AS with_blanks, '(,7)'::hamming_ball AS no_bits, '(1,2147483647)'::hamming_ball AS largest;
SELECT hamming_ball(NULL, 1) IS NULL AS null_center, hamming_ball(B'1', NULL) IS NULL AS null_radius,
	(B'1' <@ NULL::hamming_ball) IS NULL AS null_ball, (NULL::bit <@ hamming_ball(B'1', 0)) IS NULL AS null_code;

-- Both ways of making a ball agree, and its text form comes back as it went, for every length around the byte borders.
CREATE TEMP TABLE balls AS
	SELECT n, radius, center, hamming_ball(center, radius) AS ball FROM (
		SELECT n, n % 13 AS radius,
			substring((SELECT string_agg(('x' || md5(n || ':' || block))::bit(128)::text, '') FROM generate_series(0, 2) block) FOR n)::varbit AS center
		FROM generate_series(0, 300) n) made;
SELECT count(*) AS balls, count(*) FILTER (WHERE ball::text = format('(%s,%s)', center, radius)) AS written,
	count(*) FILTER (WHERE ball::text::hamming_ball::text = ball::text) AS read_back,
	count(*) FILTER (WHERE hamming_ball_send(ball::text::hamming_ball) = hamming_ball_send(ball)) AS same_bytes
FROM balls;

-- Inside means a distance of at most the radius, in both operand orders, from tables and from literals.
CREATE TEMP TABLE ball_codes (id int, code bit(16));
INSERT INTO ball_codes SELECT i, ('x' || md5(i::text))::bit(16) FROM generate_series(1, 400) i;
SELECT radius, count(*) AS tried, count(*) FILTER (WHERE (a.code <@ hamming_ball(b.code, radius)) = ((a.code <-> b.code) <= radius)) AS right_left,
	count(*) FILTER (WHERE (hamming_ball(b.code, radius) @> a.code) = ((a.code <-> b.code) <= radius)) AS right_right,
	bool_or(a.code <@ hamming_ball(b.code, radius)) AS some_inside, bool_and(a.code <@ hamming_ball(b.code, radius)) AS all_inside
FROM ball_codes a JOIN ball_codes b ON b.id <= 20, (VALUES (0), (1), (7), (16), (2147483647)) radii(radius) GROUP BY radius ORDER BY radius;
SELECT B'1011' <@ '(1111,1)' AS inside, B'1011' <@ '(1111,0)' AS outside, '(1111,1)'::hamming_ball @> B'1011' AS commuted, B'' <@ '(,0)' AS empty;
SELECT count(*) = 1 AS itself FROM ball_codes WHERE code <@ hamming_ball((SELECT code FROM ball_codes WHERE id = 1), 0);

-- A ball from a table, where it has a short header, or is compressed.
CREATE TEMP TABLE stored_balls AS SELECT 100000 AS n, hamming_ball(repeat('10', 50000)::varbit, 3) AS ball UNION ALL SELECT 4, hamming_ball(B'1010', 3);
SELECT n, pg_column_size(ball) < 1000 AS small, repeat('10', n / 2)::varbit <@ ball AS inside, repeat('01', n / 2)::varbit <@ ball AS complement
FROM stored_balls ORDER BY n;

-- Errors say what was wrong.
CREATE FUNCTION bits_test_error(query text) RETURNS TABLE (state text, message text, detail text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN QUERY SELECT 'no error', '', '';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN NEXT;
END $$;
SELECT query, errors.* FROM (VALUES
	(1, $$ SELECT hamming_ball(B'1', -1) $$),
	(2, $$ SELECT '(1,-1)'::hamming_ball $$),
	(3, $$ SELECT '(1,2147483648)'::hamming_ball $$),
	(4, $$ SELECT B'1011' <@ hamming_ball(B'101', 1) $$),
	(5, $$ SELECT hamming_ball(B'101', 1) @> B'1011' $$),
	(6, $$ SELECT B'1011' <@ hamming_ball(B'101', 100) $$)) queries(n, query), bits_test_error(query) errors ORDER BY n;
SELECT input, state FROM (VALUES (''), ('('), ('()'), ('(,)'), ('(1)'), ('(1,)'), ('(1,2'), ('(1,2)x'), ('(12,1)'), ('1,2'), ('(1,a)'), ('(1,+1)'), ('(1,1.5)'), ('(1 0,1)'), ('(1,--1)'))
	inputs(input), bits_test_error(format('SELECT %L::hamming_ball', input)) ORDER BY input COLLATE "C";

-- Usable as a column of its own: assigned, grouped by its text, dumped as text.
SELECT count(DISTINCT ball::text) AS different FROM balls;

DROP FUNCTION bits_test_error(text);
