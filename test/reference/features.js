// features.js FOLDER: runs every NAME.onnx there on NAME.input (raw floats; NAME.dims holds the shape) with the independent ONNX runtime, on the
// processor, one thread, and writes NAME.output (raw floats). Used by test/unit/test_nn_reference.c.
'use strict';

const fs = require('fs');
const path = require('path');
const ort = require('onnxruntime-node');

async function main(folder) {
	for (const file of fs.readdirSync(folder).filter((name) => name.endsWith('.onnx'))) {
		const base = path.join(folder, file.slice(0, -'.onnx'.length));
		const session = await ort.InferenceSession.create(`${base}.onnx`, {
			executionProviders: ['cpu'],
			intraOpNumThreads: 1,
			interOpNumThreads: 1,
			logSeverityLevel: 3,
		});
		const dims = fs.readFileSync(`${base}.dims`, 'utf8').trim().split(' ').map(Number);
		const bytes = fs.readFileSync(`${base}.input`);
		const input = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
		const outputs = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', input, dims) });
		const output = outputs[session.outputNames[0]].data;
		fs.writeFileSync(`${base}.output`, Buffer.from(output.buffer, output.byteOffset, output.byteLength));
		await session.release();
	}
}

main(process.argv[2]).catch((error) => {
	console.error(error.message);
	process.exit(1);
});
