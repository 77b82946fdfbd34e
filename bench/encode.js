// encode.js PROGRAM FILE.onnx...: the measuring half of bench/encode. PROGRAM is bench_encode; each side computes while the other waits.
const { spawn } = require('child_process');
const readline = require('readline');
const path = require('path');
const ort = require('onnxruntime-node');

const ROUNDS = 11;
const ROUND_MS = 150;

// Milliseconds; of the processor with EDDH_BENCH_CPU, as bench_encode does it.
const now = () => {
  if (!process.env.EDDH_BENCH_CPU) return Number(process.hrtime.bigint()) / 1e6;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
};

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

// Ours, as a child that answers "run N" with milliseconds.
async function ours(program, file, batch) {
  const child = spawn(program, ['--serve', file, String(batch)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${program} ended early`);
    return value;
  };
  const name = (await answer()).replace(/^ready /, '');
  return {
    name,
    run: async (times) => {
      child.stdin.write(`run ${times}\n`);
      return Number(await answer());
    },
    end: () => child.stdin.end(),
  };
}

async function theirs(session, batch) {
  const shape = session.inputMetadata[0].shape.map((d, i) => (i === 0 ? batch : d));
  const count = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: count }, () => Math.random() * 2 - 1);
  const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', data, shape) };
  return {
    run: async (times) => {
      const begin = now();
      for (let i = 0; i < times; i++) await session.run(feeds);
      return now() - begin;
    },
  };
}

async function main() {
  const [program, ...files] = process.argv.slice(2);
  const version = require('onnxruntime-node/package.json').version;
  let header = false;
  for (const file of files) {
    const session = await ort.InferenceSession.create(file, {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
    });
    for (const batch of [1, 32]) {
      const a = await ours(program, file, batch);
      const b = await theirs(session, batch);
      const times = { a: [], b: [] };
      await b.run(2);
      const passes = {
        a: Math.max(1, Math.ceil(ROUND_MS / (await a.run(2)) * 2)),
        b: Math.max(1, Math.ceil(ROUND_MS / (await b.run(2)) * 2)),
      };
      for (let r = 0; r < ROUNDS; r++) {
        times.a.push((await a.run(passes.a)) / passes.a / batch);
        times.b.push((await b.run(passes.b)) / passes.b / batch);
      }
      a.end();
      if (!header) {
        console.log(`BLAS: ${a.name}; reference: onnxruntime-node ${version}, one thread; ${process.env.EDDH_BENCH_CPU ? 'processor' : 'wall'} milliseconds a picture, median of ${ROUNDS} alternating rounds`);
        console.log(`${'network'.padEnd(36)} batch     ours   theirs  ours/theirs  (best rounds)`);
        header = true;
      }
      const [x, y] = [median(times.a), median(times.b)];
      console.log(
        `${path.basename(file, '.onnx').padEnd(36)} ${String(batch).padStart(5)} ${x.toFixed(4).padStart(8)} ${y.toFixed(4).padStart(8)} ` +
          `${(x / y).toFixed(2).padStart(12)}  (${times.a[0].toFixed(4)} ${times.b[0].toFixed(4)} ${(times.a[0] / times.b[0]).toFixed(2)})`,
      );
    }
    await session.release();
  }
}

main().catch((error) => {
  console.error(`bench/encode: ${error.message}`);
  process.exit(1);
});
