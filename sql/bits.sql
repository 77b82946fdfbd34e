CREATE FUNCTION hamming_distance(bit, bit) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN bit_count($1 # $2);
COMMENT ON FUNCTION hamming_distance(bit, bit) IS 'number of differing bits of two codes of equal length';
