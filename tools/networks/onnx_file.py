"""Writing the ONNX files that eddh_import_backbone reads: one input `image`, one output, eddh.* metadata (src/model/README.md)."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 7


class Failure(Exception):
    """What is wrong with a file, to be shown to its user without a traceback."""


class Network:
    """Collects nodes and weights in order. Tensors are (N, C, H, W) or (N, F); shapes are kept without the batch."""

    def __init__(self, size, half=False):
        self.size = size
        self.half = half
        self.nodes = []
        self.weights = {}
        self.shape = {"image": (3, size, size)}

    def constant(self, name, array):
        if name in self.weights:
            raise Failure(f"two weights called {name}")
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def add(self, op, inputs, output, shape, **attributes):
        if output in self.shape:
            raise Failure(f"two tensors called {output}")
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        self.shape[output] = tuple(int(n) for n in shape)
        return output

    def conv(self, tensor, name, weight, bias, stride, pads, group=1, dilations=(1, 1)):
        """weight K x C/group x H x W; pads top, left, bottom, right."""
        _, height, width = self.shape[tensor]
        size = []
        for axis, length in enumerate((height, width)):
            reach = (weight.shape[2 + axis] - 1) * dilations[axis] + 1
            size.append((length + pads[axis] + pads[2 + axis] - reach) // stride[axis] + 1)
        return self.add("Conv", [tensor, self.constant(name + ".weight", weight), self.constant(name + ".bias", bias)], name,
                        (weight.shape[0], *size), group=group, kernel_shape=list(weight.shape[2:]), strides=list(stride),
                        pads=list(pads), dilations=list(dilations))

    def dense(self, tensor, name, weight, bias):
        """weight outputs x inputs."""
        if self.shape[tensor] != (weight.shape[1],):
            raise Failure(f"{name} takes {weight.shape[1]} numbers, but {tensor} has the shape {self.shape[tensor]}")
        return self.add("Gemm", [tensor, self.constant(name + ".weight", weight), self.constant(name + ".bias", bias)], name,
                        (weight.shape[0],), transB=1)

    def elementwise(self, op, tensor, name, **attributes):
        return self.add(op, [tensor], name, self.shape[tensor], **attributes)

    def clip(self, tensor, name, low, high):
        bounds = []
        for bound in (low, high):
            key = f"bound.{bound:g}"
            self.weights.setdefault(key, np.float32(bound))
            bounds.append(key)
        return self.add("Clip", [tensor, *bounds], name, self.shape[tensor])

    def pool_all(self, tensor, name):
        """Mean over all places, as features."""
        pooled = self.add("GlobalAveragePool", [tensor], name + ".pooled", (self.shape[tensor][0], 1, 1))
        return self.flatten(pooled, name)

    def flatten(self, tensor, name):
        return self.add("Flatten", [tensor], name, (int(np.prod(self.shape[tensor])),), axis=1)

    def save(self, path, output, metadata):
        def shaped(name):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *self.shape[name]])

        weights = []
        for name, array in self.weights.items():
            # Bounds and small vectors stay in full: they cost nothing.
            narrow = self.half and array.size > 64
            if narrow and np.abs(array).max() > np.finfo(np.float16).max:
                raise Failure(f"{name} does not fit float16")
            weights.append(numpy_helper.from_array(array.astype(np.float16 if narrow else np.float32), name))
        graph = helper.make_graph(self.nodes, "network", [shaped("image")], [shaped(output)], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="eddh")
        model.ir_version = IR_VERSION
        metadata = {"eddh.input_size": str(self.size), **metadata}
        helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
        with open(path, "wb") as file:
            file.write(model.SerializeToString())


def prefix(model, output):
    """Drops what does not lead to `output` from an onnx.ModelProto, in place."""
    wanted, kept = {output}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    weights = [w for w in model.graph.initializer if w.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return model


def load(path):
    return onnx.load(path)
