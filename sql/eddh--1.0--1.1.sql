\echo Use "ALTER EXTENSION eddh UPDATE TO '1.1'" to load this file. \quit

-- 1.1 changes nothing in SQL: the step exists so that the road from 1.0 is travelled, and tested, from the start.
