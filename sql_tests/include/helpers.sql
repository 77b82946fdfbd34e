-- Helpers of tests that need pictures, models or the whole of an error; in pg_temp, so that nothing stays.
--
-- Small real pictures for tests, without a picture file: 8 x 8 pixels as PNG with stored (not compressed) deflate blocks.

CREATE FUNCTION pg_temp.png_chunk(kind text, data bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	body bytea := kind::bytea || data;
	crc bigint := 4294967295;
BEGIN
	FOR i IN 0 .. length(body) - 1 LOOP
		crc := crc # get_byte(body, i);
		FOR j IN 1 .. 8 LOOP
			crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # 3988292384 ELSE crc >> 1 END;
		END LOOP;
	END LOOP;
	RETURN int4send(length(data)) || body || substr(int8send(crc # 4294967295), 5);
END $$;

-- rows: 8 rows of 24 bytes, red, green, blue.
CREATE FUNCTION pg_temp.png(pixels bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	raw bytea := '';
	a bigint := 1;
	b bigint := 0;
BEGIN
	FOR y IN 0 .. 7 LOOP
		raw := raw || '\x00' || substr(pixels, y * 24 + 1, 24);
	END LOOP;
	FOR i IN 0 .. length(raw) - 1 LOOP
		a := (a + get_byte(raw, i)) % 65521;
		b := (b + a) % 65521;
	END LOOP;
	RETURN '\x89504e470d0a1a0a'::bytea
		|| pg_temp.png_chunk('IHDR', '\x00000008000000080802000000')
		|| pg_temp.png_chunk('IDAT', '\x780101'::bytea || substr(int4send(length(raw)), 4, 1) || substr(int4send(length(raw)), 3, 1)
			|| substr(int4send(65535 - length(raw)), 4, 1) || substr(int4send(65535 - length(raw)), 3, 1)
			|| raw || substr(int8send(b * 65536 + a), 5))
		|| pg_temp.png_chunk('IEND', '');
END $$;

-- The same number, the same picture.
CREATE FUNCTION pg_temp.picture(number int) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT pg_temp.png(substr(string_agg(sha256(('picture ' || number || ' ' || part)::bytea), '' ORDER BY part), 1, 192))
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
