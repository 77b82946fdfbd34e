-- Helpers of tests that need pictures, models or the whole of an error. Pictures are small PNGs with stored (not compressed) deflate blocks; what makes
-- them stays, for tests of many sessions, the rest is in pg_temp.

SELECT to_regprocedure('png(bytea, integer, integer)') IS NULL AS png_missing \gset
\if :png_missing
CREATE FUNCTION png_chunk(kind text, body bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	-- CRC-32, four bits at a time.
	steps CONSTANT bigint[] := ARRAY[0, 498536548, 997073096, 651767980, 1994146192, 1802195444, 1303535960, 1342533948, 3988292384, 4027552580,
		3604390888, 3412177804, 2607071920, 2262029012, 2685067896, 3183342108];
	bytes bytea := convert_to(kind, 'SQL_ASCII') || body;
	crc bigint := 4294967295;
BEGIN
	FOR i IN 0 .. length(bytes) - 1 LOOP
		crc := crc # get_byte(bytes, i);
		crc := (crc >> 4) # steps[(crc & 15) + 1];
		crc := (crc >> 4) # steps[(crc & 15) + 1];
	END LOOP;
	RETURN int4send(length(body)) || bytes || substring(int8send(crc # 4294967295) FROM 5);
END $$;

-- pixels: rows of width x 3 bytes, red, green, blue.
CREATE FUNCTION png(pixels bytea, width int, height int) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	raw bytea := '';
	a int := 1;
	b int := 0;
	n int;
BEGIN
	FOR y IN 0 .. height - 1 LOOP
		raw := raw || '\x00'::bytea || substring(pixels FROM y * width * 3 + 1 FOR width * 3);
	END LOOP;
	FOR i IN 0 .. length(raw) - 1 LOOP
		a := (a + get_byte(raw, i)) % 65521;
		b := (b + a) % 65521;
	END LOOP;
	n := length(raw);
	RETURN '\x89504e470d0a1a0a'::bytea || png_chunk('IHDR', int4send(width) || int4send(height) || '\x0802000000'::bytea)
		|| png_chunk('IDAT', '\x780101'::bytea || set_byte(set_byte('\x0000', 0, n & 255), 1, n >> 8)
			|| set_byte(set_byte('\x0000', 0, 255 - (n & 255)), 1, 255 - (n >> 8)) || raw || int2send((b - CASE WHEN b > 32767 THEN 65536 ELSE 0 END)::int2)
			|| int2send((a - CASE WHEN a > 32767 THEN 65536 ELSE 0 END)::int2))
		|| png_chunk('IEND', '');
END $$;

-- Stripes and colours tell the class, noise tells the seed.
CREATE FUNCTION picture(class int, seed int) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT png(decode(string_agg(lpad(to_hex((60 * (class % 4) + CASE WHEN (CASE WHEN class % 2 = 0 THEN x ELSE y END) % (2 + class % 3) = 0 THEN 60 ELSE 0 END
			+ channel * (class % 5) * 7 + abs(hashint4(seed * 1009 + y * 83 + x * 7 + channel)) % 12) % 256), 2, '0'), '' ORDER BY y, x, channel), 'hex'), 8, 8)
	FROM generate_series(0, 7) AS y, generate_series(0, 7) AS x, generate_series(0, 2) AS channel
$$;
\endif

-- The same number, the same picture.
CREATE FUNCTION pg_temp.picture(number int) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT png(substr(string_agg(sha256(('picture ' || number || ' ' || part)::bytea), '' ORDER BY part), 1, 192), 8, 8)
	FROM generate_series(1, 6) AS part
$$;

-- Models without training: cnn-s up to fc7, before its ReLU, as an ONNX file. Untrained outputs lie around zero, so codes differ between pictures.
CREATE FUNCTION pg_temp.untrained() RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	onnx bytea;
BEGIN
	PERFORM eddh_import_backbone('untrained', eddh_export_backbone('cnn-s'), '{"cut": "fc7"}');
	onnx := eddh_export_backbone('untrained');
	PERFORM eddh_drop_backbone('untrained');
	RETURN onnx;
END $$;

-- What a user sees when a statement fails: SQLSTATE, message, DETAIL and HINT; or that it does not fail.
CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN code || ' ' || message || CASE WHEN detail <> '' THEN E'\nDETAIL: ' || detail ELSE '' END
		|| CASE WHEN hint <> '' THEN E'\nHINT: ' || hint ELSE '' END;
END $$;
