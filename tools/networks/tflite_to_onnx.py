"""TensorFlow Lite image networks to ONNX: NHWC to NCHW, quantised and half weights to float, SAME padding to explicit pads."""
import math

import numpy as np

from onnx_file import Failure, Network
from tflite import Model

NONE, RELU, RELU6, TANH = 0, 1, 3, 4


def same_pads(length, kernel, stride, dilation=1):
    """TensorFlow's SAME: output ceil(length / stride), the odd pixel at the end."""
    reach = (kernel - 1) * dilation + 1
    total = max((math.ceil(length / stride) - 1) * stride + reach - length, 0)
    return total // 2, total - total // 2


class Converter:
    """Walks the operators in order; `names` says which ONNX tensor holds a TFLite tensor, `constants` what is known beforehand."""

    def __init__(self, model, size, half):
        self.model = model
        self.network = Network(size, half)
        self.names = {model.inputs[0]: "image"}
        self.constants = {}
        self.pads = {}  # of a PAD that waits for its convolution

    def constant(self, tensor):
        if tensor in self.constants:
            return self.constants[tensor]
        return tensor.real()

    def is_known(self, tensor):
        return tensor in self.constants or tensor.data is not None

    def source(self, tensor):
        if tensor not in self.names:
            raise Failure(f"tensor {tensor.name} is not computed from the picture")
        return self.names[tensor]

    def finish(self, operator, name, activation):
        """Adds the fused activation and enters the output's name."""
        tensor = operator.outputs[0]
        network = self.network
        if activation == RELU:
            name = network.elementwise("Relu", name, tensor.name + ".relu")
        elif activation == RELU6:
            name = network.clip(name, tensor.name + ".relu6", 0, 6)
        elif activation == TANH:
            name = network.elementwise("Tanh", name, tensor.name + ".tanh")
        elif activation != NONE:
            raise Failure(f"{operator.kind} {tensor.name}: activation {activation} of the schema is not supported")
        elif tensor.is_quantized() and operator.kind != "QUANTIZE" and tensor.zero.size == 1:
            # A range that begins at zero is how some quantisers write a ReLU.
            low, high = {3: (0, 255), 9: (-128, 127)}.get(tensor.type, (None, None))
            if tensor.zero[0] == low and operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"):
                name = network.clip(name, tensor.name + ".range", 0, float(tensor.scale[0]) * (high - low))
        self.names[tensor] = name

    def window(self, operator, kernel, padding, stride, dilation=(1, 1)):
        """pads as ONNX orders them: top, left, bottom, right."""
        name = self.source(operator.inputs[0])
        _, height, width = self.network.shape[name]
        waiting = self.pads.get(operator.inputs[0], (0, 0, 0, 0))
        if padding == 1:
            return name, list(waiting)
        if any(waiting):
            raise Failure(f"{operator.kind} {operator.outputs[0].name} has SAME padding after a PAD")
        top, bottom = same_pads(height, kernel[0], stride[0], dilation[0])
        left, right = same_pads(width, kernel[1], stride[1], dilation[1])
        return name, [top, left, bottom, right]

    def convolution(self, operator, depthwise):
        options, weight = operator.options, self.constant(operator.inputs[1])
        first = 4 if depthwise else 3
        stride = (options.int32(2, 1), options.int32(1, 1))
        dilation = (options.int32(first + 2, 1), options.int32(first + 1, 1))
        channels = self.network.shape[self.source(operator.inputs[0])][0]
        if depthwise:  # 1 H W (channels x multiplier)
            weight, group = weight.transpose(3, 0, 1, 2), channels
        else:  # K H W C
            weight, group = weight.transpose(0, 3, 1, 2), 1
        if weight.shape[1] * group != channels:
            raise Failure(f"{operator.kind} {operator.outputs[0].name}: weights for {weight.shape[1]} channels, input of {channels}")
        bias = operator.inputs[2] if len(operator.inputs) > 2 else None
        bias = self.constant(bias) if bias is not None else np.zeros(weight.shape[0], np.float32)
        name, pads = self.window(operator, weight.shape[2:], options.int8(0), stride, dilation)
        name = self.network.conv(name, operator.outputs[0].name, weight, bias, stride, pads, group, dilation)
        self.finish(operator, name, options.int8(first))

    def pool(self, operator, op):
        options, network = operator.options, self.network
        stride, kernel = (options.int32(2, 1), options.int32(1, 1)), (options.int32(4), options.int32(3))
        name, pads = self.window(operator, kernel, options.int8(0), stride)
        channels, *size = network.shape[name]
        output = operator.outputs[0].name
        if any(self.pads.get(operator.inputs[0], ())):
            raise Failure(f"{operator.kind} {output} after a PAD is not supported")
        if op == "AveragePool" and tuple(size) == tuple(kernel) and not any(pads):
            name = network.add("GlobalAveragePool", [name], output, (channels, 1, 1))
        else:
            shape = [(size[i] + pads[i] + pads[2 + i] - kernel[i]) // stride[i] + 1 for i in range(2)]
            # ONNX's default leaves padding out of the mean, as TensorFlow does.
            name = network.add(op, [name], output, (channels, *shape), kernel_shape=list(kernel), strides=list(stride), pads=pads)
        self.finish(operator, name, options.int8(5))

    def mean(self, operator):
        name = self.source(operator.inputs[0])
        axes = sorted(int(axis) % 4 for axis in np.ravel(self.constant(operator.inputs[1])))
        if len(self.network.shape[name]) != 3 or axes != [1, 2]:
            raise Failure(f"MEAN {operator.outputs[0].name} over other axes than height and width")
        channels = self.network.shape[name][0]
        self.finish(operator, self.network.add("GlobalAveragePool", [name], operator.outputs[0].name, (channels, 1, 1)), NONE)

    def flat(self, tensor, name):
        """Features of a tensor that has one place only."""
        shape = self.network.shape[name]
        if len(shape) == 1:
            return name
        if shape[1:] != (1, 1):
            raise Failure(f"{tensor.name} of {shape[1]} x {shape[2]} places becomes a vector in another order than ONNX's")
        flat = name + ".flat"
        return flat if flat in self.network.shape else self.network.flatten(name, flat)

    def reshape(self, operator):
        tensor = operator.inputs[0]
        if self.is_known(tensor):
            self.constants[operator.outputs[0]] = self.constant(tensor).reshape(operator.outputs[0].shape)
            return
        self.names[operator.outputs[0]] = self.flat(tensor, self.source(tensor))

    def dense(self, operator):
        weight, tensor = self.constant(operator.inputs[1]), operator.inputs[0]
        name, network = self.source(tensor), self.network
        shape = network.shape[name]
        if len(shape) == 3 and shape[1:] != (1, 1):
            # The weights expect height, width, channel; ours come as channel, height, width.
            weight = weight.reshape(-1, shape[1], shape[2], shape[0]).transpose(0, 3, 1, 2).reshape(weight.shape[0], -1)
            name = network.flatten(name, name + ".flat")
        else:
            name = self.flat(tensor, name)
        bias = operator.inputs[2] if len(operator.inputs) > 2 else None
        bias = self.constant(bias) if bias is not None else np.zeros(weight.shape[0], np.float32)
        self.finish(operator, network.dense(name, operator.outputs[0].name, weight, bias), operator.options.int8(0))

    def binary(self, operator, op):
        network, output, inputs, shapes = self.network, operator.outputs[0].name, [], []
        for i, tensor in enumerate(operator.inputs):
            if tensor not in self.names:
                value = self.constant(tensor)
                if value.ndim > 1:
                    raise Failure(f"{operator.kind} {output}: a constant of shape {value.shape}")
                value = value.reshape(-1, 1, 1) if value.ndim == 1 and value.size > 1 and shapes_are_maps(network, operator, self.names) else value
                inputs.append(network.constant(f"{output}.constant{i}", value))
            else:
                inputs.append(self.names[tensor])
                shapes.append(network.shape[self.names[tensor]])
        if not shapes:
            raise Failure(f"{operator.kind} {output} of two constants")
        self.finish(operator, network.add(op, inputs, output, max(shapes, key=np.prod)), operator.options.int8(0))

    def concatenation(self, operator):
        names = [self.source(tensor) for tensor in operator.inputs]
        shapes = [self.network.shape[name] for name in names]
        rank = len(operator.outputs[0].shape)
        if operator.options.int32(0) % rank != rank - 1:
            raise Failure(f"CONCATENATION {operator.outputs[0].name} along another axis than the channels")
        shape = (sum(s[0] for s in shapes), *shapes[0][1:])
        self.finish(operator, self.network.add("Concat", names, operator.outputs[0].name, shape, axis=1), operator.options.int8(1))

    def pad(self, operator):
        pads = np.asarray(self.constant(operator.inputs[1])).astype(int)
        if pads.shape != (4, 2) or pads[0].any() or pads[3].any():
            raise Failure(f"PAD {operator.outputs[0].name} of other axes than height and width")
        self.names[operator.outputs[0]] = self.source(operator.inputs[0])
        self.pads[operator.outputs[0]] = (pads[1][0], pads[2][0], pads[1][1], pads[2][1])

    def step(self, operator):
        kind, output = operator.kind, operator.outputs[0]
        for tensor in operator.inputs:
            if tensor in self.pads and kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"):
                raise Failure(f"{kind} {output.name} after a PAD is not supported")
        if kind in ("DEQUANTIZE", "QUANTIZE"):
            if self.is_known(operator.inputs[0]):
                self.constants[output] = self.constant(operator.inputs[0])
            else:
                self.names[output] = self.source(operator.inputs[0])
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self.convolution(operator, kind == "DEPTHWISE_CONV_2D")
        elif kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
            self.pool(operator, "MaxPool" if kind == "MAX_POOL_2D" else "AveragePool")
        elif kind in ("ADD", "MUL"):
            self.binary(operator, kind.capitalize())
        elif kind in ("RELU", "RELU6"):
            self.finish(operator, self.source(operator.inputs[0]), RELU if kind == "RELU" else RELU6)
        elif kind in ("LOGISTIC", "TANH", "HARD_SWISH"):
            op = {"LOGISTIC": "Sigmoid", "TANH": "Tanh", "HARD_SWISH": "HardSwish"}[kind]
            self.names[output] = self.network.elementwise(op, self.source(operator.inputs[0]), output.name)
        elif kind == "SOFTMAX":
            name = self.flat(operator.inputs[0], self.source(operator.inputs[0]))
            self.names[output] = self.network.elementwise("Softmax", name, output.name, axis=1)
        else:
            method = {"MEAN": self.mean, "RESHAPE": self.reshape, "SQUEEZE": self.reshape, "FULLY_CONNECTED": self.dense,
                      "CONCATENATION": self.concatenation, "PAD": self.pad}.get(kind)
            if method is None:
                raise Failure(f"operator {kind} ({output.name}) is not supported")
            method(operator)


def shapes_are_maps(network, operator, names):
    return any(len(network.shape[names[tensor]]) == 3 for tensor in operator.inputs if tensor in names)


def leading_to(model, tensor):
    """The operators that `tensor` needs, in order."""
    wanted, kept = {tensor}, []
    for operator in reversed(model.operators):
        if wanted & set(operator.outputs):
            kept.append(operator)
            wanted.update(operator.inputs)
    return kept[::-1]


def preparation(tensor, mean, std):
    """mean and std on the scale 0 to 255: given, or of a quantised input (real = scale (byte - zero)), or those of most such networks."""
    if mean is None and tensor.is_quantized() and tensor.type in (3, 9):
        shift = 128 if tensor.type == 9 else 0
        mean, std = float(tensor.zero[0]) + shift, 1 / float(tensor.scale[0])
    return {"eddh.channels": "RGB", "eddh.mean": f"{127.5 if mean is None else mean:.9g}", "eddh.std": f"{127.5 if std is None else std:.9g}"}


def convert(data, path, output=None, size=None, mean=None, std=None, half=False, metadata=None):
    """
    Bytes of a TFLite file to an ONNX file that ends with the features: at the tensor `output` (its mean over all places where it is a map), by
    default at the file's own. `size`: another side of the picture than the file's (for networks without dense layers).
    """
    model = Model(data)
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or model.inputs[0].shape[3] != 3:
        raise Failure("the network does not take one RGB picture")
    side = model.inputs[0].shape
    if size is None and side[1] != side[2]:
        raise Failure(f"the network takes pictures of {side[1]} x {side[2]}; only squares are supported")
    if output is None:
        tensor = model.outputs[0]
    else:
        found = [t for t in model.tensors if t.name == output]
        if not found:
            names = ", ".join(o.outputs[0].name for o in model.operators[-12:])
            raise Failure(f"no tensor is called {output}; the last ones are {names}")
        tensor = found[0]
    converter = Converter(model, size or side[1], half)
    for operator in leading_to(model, tensor):
        converter.step(operator)
    name = converter.source(tensor)
    network = converter.network
    if len(network.shape[name]) == 3:
        name = network.pool_all(name, "features") if network.shape[name][1:] != (1, 1) else network.flatten(name, "features")
    elif name != "features":
        network.nodes[-1].output[0] = "features"
        network.shape["features"] = network.shape[name]
        name = "features"
    network.save(path, name, {**preparation(model.inputs[0], mean, std), "eddh.resize": "squash", **(metadata or {})})
    return network
