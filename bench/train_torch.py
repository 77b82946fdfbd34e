"""train_torch.py PROGRAM FILE.onnx...: the measuring half of bench/train_torch. PROGRAM is bench_train_net; each side computes while the other waits."""
import os
import subprocess
import sys
import time

import numpy
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F

BATCH = 32
ROUNDS = int(os.environ.get("EDDH_BENCH_ROUNDS", "5"))


class Network(torch.nn.Module):
    """The operators of the networks that are measured, run in the order of the file."""

    def __init__(self, path):
        super().__init__()
        graph = onnx.load(path).graph
        self.nodes = list(graph.node)
        self.weights = torch.nn.ParameterDict()
        self.constants = {}
        for tensor in graph.initializer:
            value = torch.tensor(numpy.array(onnx.numpy_helper.to_array(tensor)))
            if value.is_floating_point() and value.ndim > 0:
                self.weights[tensor.name.replace(".", "/")] = torch.nn.Parameter(value.float())
            else:
                self.constants[tensor.name] = value
        self.input = next(i for i in graph.input if i.name not in {t.name for t in graph.initializer})
        self.output = graph.output[0].name

    def shape(self):
        return [d.dim_value for d in self.input.type.tensor_type.shape.dim[1:]]

    def forward(self, x):
        values = {self.input.name: x}

        def get(name):
            if name in values:
                return values[name]
            key = name.replace(".", "/")
            return self.weights[key] if key in self.weights else self.constants[name]

        for node in self.nodes:
            a = {p.name: onnx.helper.get_attribute_value(p) for p in node.attribute}
            v = [get(name) if name else None for name in node.input]
            if node.op_type == "Conv":
                pads = a.get("pads", [0, 0, 0, 0])
                if pads[:2] != pads[2:]:
                    v[0], pads = F.pad(v[0], (pads[1], pads[3], pads[0], pads[2])), [0, 0, 0, 0]
                y = F.conv2d(v[0], v[1], v[2] if len(v) > 2 else None, a.get("strides", 1), pads[:2], 1, a.get("group", 1))
            elif node.op_type == "Gemm":
                y = F.linear(v[0], v[1] if a.get("transB", 0) else v[1].t(), v[2] if len(v) > 2 else None)
            elif node.op_type == "Relu":
                y = F.relu(v[0])
            elif node.op_type == "Clip":
                y = torch.clamp(v[0], float(v[1]), float(v[2])) if len(v) > 2 else torch.clamp(v[0], a["min"], a["max"])
            elif node.op_type == "LRN":
                y = F.local_response_norm(v[0], a["size"], a["alpha"], a["beta"], a.get("bias", 1.0))
            elif node.op_type == "MaxPool":
                pads = a.get("pads", [0, 0, 0, 0])
                if any(pads):
                    v[0] = F.pad(v[0], (pads[1], pads[3], pads[0], pads[2]), value=-3e38)
                y = F.max_pool2d(v[0], a["kernel_shape"], a.get("strides"), ceil_mode=bool(a.get("ceil_mode", 0)))
            elif node.op_type == "GlobalAveragePool":
                y = v[0].mean((2, 3), keepdim=True)
            elif node.op_type == "Add":
                y = v[0] + v[1]
            elif node.op_type == "Concat":
                y = torch.cat(v, a["axis"])
            elif node.op_type == "Flatten":
                y = v[0].flatten(1)
            elif node.op_type == "Reshape":
                y = v[0].reshape(v[0].shape[0], -1)
            elif node.op_type in ("Dropout", "Identity"):
                y = v[0]
            else:
                sys.exit(f"train_torch.py: operator {node.op_type} is not written here")
            values[node.output[0]] = y
        return values[self.output]


class Theirs:
    def __init__(self, path, threads):
        torch.set_num_threads(threads)
        self.threads = threads
        self.network = Network(path)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        self.x = torch.rand(BATCH, *self.network.shape()) * 2 - 1

    def run(self, times):
        torch.set_num_threads(self.threads)
        begin = time.perf_counter()
        for _ in range(times):
            self.optimizer.zero_grad()
            y = self.network(self.x)
            y.backward(torch.full_like(y, 1e-6 / BATCH))
            self.optimizer.step()
        return (time.perf_counter() - begin) * 1e3


class Ours:
    def __init__(self, program, path, threads):
        self.child = subprocess.Popen([program, path, str(BATCH), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.memory = int(self.child.stdout.readline().split()[1])

    def run(self, times):
        self.child.stdin.write(f"run {times}\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def end(self):
        self.child.stdin.close()
        self.child.wait()


print(f"PyTorch {torch.__version__}; milliseconds of a step, batch {BATCH}, median (best) of {ROUNDS} alternating rounds", flush=True)
print(f"{'network':28} threads {'ours':>18} {'PyTorch':>18} ours/PyTorch   our memory", flush=True)
for path in sys.argv[2:]:
    for threads in (1, 2):
        ours, theirs = Ours(sys.argv[1], path, threads), Theirs(path, threads)
        ours.run(1), theirs.run(1)
        a, b = [], []
        for _ in range(ROUNDS):
            a.append(ours.run(1))
            b.append(theirs.run(1))
        ours.end()
        a.sort(), b.sort()
        x, y = a[len(a) // 2], b[len(b) // 2]
        name = os.path.basename(path).removesuffix(".onnx")
        print(f"{name:28} {threads:7} {x:9.1f} ({a[0]:6.1f}) {y:9.1f} ({b[0]:6.1f}) {x / y:8.2f} ({a[0] / b[0]:.2f}) {ours.memory:6} MB", flush=True)
