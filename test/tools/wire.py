"""Writing the published formats by hand, so that the readers are not tested by themselves: protobuf, MAT level 5, and ONNX run by plain numpy."""
import struct
import zlib

import numpy as np
import onnx
from onnx import helper, numpy_helper

# ---- protobuf ----


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    """An int as varint, bytes and text with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob(array, shape=None, packed=True, double=False):
    """BlobProto: with `shape` in field 7, without it in num, channels, height, width."""
    numbers, number = array.astype("<f8" if double else "<f4").ravel(), 8 if double else 5
    if packed:
        data = field(number, numbers.tobytes())
    else:
        key = varint(number << 3 | (1 if double else 5))
        data = b"".join(key + n.tobytes() for n in numbers)
    if shape is not None:
        return field(7, field(1, b"".join(varint(n) for n in shape))) + data
    four = (1,) * (4 - array.ndim) + array.shape
    return b"".join(field(i + 1, int(n)) for i, n in enumerate(four)) + data


def caffe_new(layers):
    """LayerParameter, field 100."""
    out = field(1, "net")
    for name, blobs in layers:
        body = field(1, name) + field(2, "Convolution") + field(3, "in") + field(4, name)
        out += field(100, body + b"".join(field(7, blob(b, shape=b.shape)) for b in blobs))
    return out


def caffe_old(layers, **how):
    """V1LayerParameter, field 2: type 4 is a convolution, 18 a ReLU without blobs."""
    out = field(1, "net") + field(3, "data") + b"".join(field(4, n) for n in (10, 3, 224, 224))
    for name, blobs in layers:
        body = field(2, "in") + field(3, name) + field(4, name) + field(5, 4)
        out += field(2, body + b"".join(field(6, blob(b, **how)) for b in blobs) + field(10, field(1, len(blobs[1].ravel()))))
        out += field(2, field(2, name) + field(3, name) + field(4, "relu_" + name) + field(5, 18))
    return out


def caffe_oldest(layers):
    """V0LayerParameter inside of a connection, with k = field 116 of Oxford's own branch."""
    out = b""
    for name, blobs in layers:
        body = field(1, name) + field(2, "conv") + b"".join(field(50, blob(b)) for b in blobs) + varint(116 << 3 | 5) + struct.pack("<f", 2)
        out += field(2, field(1, body))
    return out


# ---- MAT level 5 ----

CLASSES = {"double": (6, 9, "<f8"), "single": (7, 7, "<f4"), "uint8": (9, 2, "u1")}


def element(kind, data):
    """Small elements share their eight bytes with the tag."""
    if 0 < len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(name, kind, shape, body):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name.encode())
    data = head + body
    return struct.pack("<II", 14, len(data)) + data


def mat_value(value, name=""):
    """dict: struct; list: 1 x n cell; str: char; numbers: single or double; doubles that are small whole numbers are stored as bytes."""
    if isinstance(value, dict):
        names = b"".join(key.encode().ljust(32, b"\0") for key in value)
        body = element(5, struct.pack("<i", 32)) + element(1, names) + b"".join(mat_value(v) for v in value.values())
        return matrix(name, 2, (1, 1), body)
    if isinstance(value, list):
        return matrix(name, 1, (1, len(value)), b"".join(mat_value(v) for v in value))
    if isinstance(value, str):
        return matrix(name, 4, (1, len(value)), element(4, value.encode("utf-16-le")))
    array = np.atleast_2d(np.asarray(value))
    if array.dtype == np.float32:
        return matrix(name, 7, array.shape, element(7, array.tobytes(order="F")))
    array = array.astype(np.float64)
    if ((array >= 0) & (array < 256) & (array == np.floor(array))).all():
        return matrix(name, 6, array.shape, element(2, array.astype(np.uint8).tobytes(order="F")))
    return matrix(name, 6, array.shape, element(9, array.astype("<f8").tobytes(order="F")))


def mat_file(variables, compressed=False):
    out = b"MATLAB 5.0 MAT-file, written by a test".ljust(116) + b"\0" * 8 + struct.pack("<H", 0x0100) + b"IM"
    for name, value in variables.items():
        data = mat_value(value, name)
        if compressed:
            packed = zlib.compress(data)
            data = struct.pack("<II", 15, len(packed)) + packed
        out += data
    return out


# ---- Running ONNX by numpy, one picture, for small networks ----


def windows(x, kernel, stride, pads, fill):
    """C x H x W to C x kh x kw x oh x ow."""
    x = np.pad(x, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=fill)
    height, width = [(x.shape[1 + i] - kernel[i]) // stride[i] + 1 for i in range(2)]
    out = np.empty((x.shape[0], *kernel, height, width))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            out[:, i, j] = x[:, i:i + stride[0] * height:stride[0], j:j + stride[1] * width:stride[1]][:, :height, :width]
    return out


def run_node(op, x, a):
    if op == "Conv":
        group, per = a["group"], x[1].shape[0] // a["group"]
        columns = windows(x[0][0], a["kernel_shape"], a["strides"], a["pads"], 0)
        columns = columns.reshape(group, x[1].shape[1], *columns.shape[1:])
        weight = x[1].reshape(group, per, *x[1].shape[1:])
        out = np.einsum("gcijhw,gkcij->gkhw", columns, weight, optimize=True)
        return out.reshape(1, -1, *out.shape[2:]) + x[2].reshape(1, -1, 1, 1)
    if op == "MaxPool":
        assert a.get("ceil_mode") == 1 and a["kernel_shape"] == [3, 3] and a["strides"] == [2, 2]
        side = x[0].shape[2]
        over = -(side - 3) % 2
        return windows(x[0][0], (3, 3), (2, 2), (0, 0, over, over), -np.inf).max((1, 2))[None]
    if op == "LRN":
        square, half = x[0][0] ** 2, a["size"] // 2
        padded = np.pad(square, ((half, half), (0, 0), (0, 0)))
        total = sum(padded[i:i + square.shape[0]] for i in range(a["size"]))
        return x[0] / (a["bias"] + a["alpha"] / a["size"] * total) ** a["beta"]
    if op == "Gemm":
        return x[0] @ x[1].T + x[2]
    return {"Add": lambda: x[0] + x[1], "Mul": lambda: x[0] * x[1], "Relu": lambda: np.maximum(x[0], 0),
            "Clip": lambda: np.clip(x[0], x[1], x[2]), "GlobalAveragePool": lambda: x[0].mean((2, 3), keepdims=True),
            "Flatten": lambda: x[0].reshape(1, -1), "Softmax": lambda: np.exp(x[0] - x[0].max()) / np.exp(x[0] - x[0].max()).sum()}[op]()


def run_onnx(path, picture):
    """picture: 3 x H x W of what the network takes. Returns the output's row and the metadata."""
    model = onnx.load(path)
    onnx.checker.check_model(model)
    have = {w.name: numpy_helper.to_array(w).astype(np.float64) for w in model.graph.initializer}
    have[model.graph.input[0].name] = picture[None].astype(np.float64)
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        have[node.output[0]] = run_node(node.op_type, [have[name] for name in node.input], attributes)
    return have[model.graph.output[0].name][0], {p.key: p.value for p in model.metadata_props}
