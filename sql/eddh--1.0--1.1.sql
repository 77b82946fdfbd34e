\echo Use "ALTER EXTENSION eddh UPDATE TO '1.1'" to load this file. \quit

-- 1.1 brings the backbone `photo`, the default from now on. Its weights are the file share/eddh_photo.onnx, installed beside this one: this row
-- describes it (tools/photo/train.py writes the numbers), and src/model/shipped.c compares the checksum.
INSERT INTO eddh_catalog.backbone VALUES
	(3, 'photo', NULL, '\x5e4147587e65c42d54f3fe1cd8c2147b6b850ecd71bcd2ed64d133f965ee8355', 5779470, 224, 512, 2862688, 300149632, true, true,
	 '{"eddh.input_size": "224", "eddh.resize": "squash", "eddh.channels": "RGB", "eddh.mean": "127.5,127.5,127.5", "eddh.std": "127.5,127.5,127.5"}', pg_catalog.now(), 'features');
