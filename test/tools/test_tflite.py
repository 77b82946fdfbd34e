"""TensorFlow Lite files, written here field by field, become ONNX that computes the same."""
import os
import tempfile
import unittest

import flatbuffers
import numpy as np

import tflite_to_onnx
import wire
from onnx_file import Failure
from tflite import Model

CODES = {"ADD": 0, "AVERAGE_POOL_2D": 1, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6, "FULLY_CONNECTED": 9, "RESHAPE": 22,
         "SOFTMAX": 25, "PAD": 34, "MEAN": 40, "GATHER": 36}
TYPE = {np.dtype("f4"): 0, np.dtype("f2"): 1, np.dtype("i4"): 2, np.dtype("u1"): 3, np.dtype("i1"): 9}
SAME, VALID = 0, 1


class Writer:
    """Collects tensors and operators, then writes the flatbuffer from its end, as flatbuffers are."""

    def __init__(self):
        self.tensors, self.operators = [], []

    def tensor(self, name, shape, dtype="f4", data=None, scale=(), zero=(), axis=0):
        self.tensors.append((name, shape, TYPE[np.dtype(dtype)], data, scale, zero, axis))
        return len(self.tensors) - 1

    def operator(self, kind, inputs, outputs, **options):
        """Options are {field number: (width in bytes, value)}."""
        self.operators.append((kind, inputs, outputs, options.get("options", {})))

    @staticmethod
    def table(b, fields):
        b.StartObject(max(fields) + 1 if fields else 0)
        for number, (kind, value) in fields.items():
            {"offset": lambda: b.PrependUOffsetTRelativeSlot(number, value, 0), "byte": lambda: b.PrependInt8Slot(number, value, 0),
             "int": lambda: b.PrependInt32Slot(number, value, 0), "uint": lambda: b.PrependUint32Slot(number, value, 0)}[kind]()
        return b.EndObject()

    @staticmethod
    def offsets(b, items):
        b.StartVector(4, len(items), 4)
        for item in reversed(items):
            b.PrependUOffsetTRelative(item)
        return b.EndVector()

    def bytes(self, inputs, outputs):
        b = flatbuffers.Builder(1024)
        buffers, tensors = [self.table(b, {})], []
        for name, shape, kind, data, scale, zero, axis in self.tensors:
            number, fields = 0, {}
            if data is not None:
                vector = b.CreateNumpyVector(np.frombuffer(data.tobytes(), np.uint8))
                number = len(buffers)
                buffers.append(self.table(b, {0: ("offset", vector)}))
            if len(scale):
                scales = b.CreateNumpyVector(np.float32(scale))
                zeros = b.CreateNumpyVector(np.int64(zero))
                fields[4] = ("offset", self.table(b, {2: ("offset", scales), 3: ("offset", zeros), 6: ("int", axis)}))
            fields[3] = ("offset", b.CreateString(name))
            fields[0] = ("offset", b.CreateNumpyVector(np.int32(shape)))
            tensors.append(self.table(b, {**fields, 1: ("byte", kind), 2: ("uint", number)}))
        kinds = sorted({kind for kind, _, _, _ in self.operators})
        codes = [self.table(b, {0: ("byte", CODES[kind]), 3: ("int", CODES[kind])}) for kind in kinds]
        operators = []
        for kind, inputs_, outputs_, options in self.operators:
            fields = {}
            if options:
                fields = {3: ("byte", 1), 4: ("offset", self.table(b, options))}
            fields[1] = ("offset", b.CreateNumpyVector(np.int32(inputs_)))
            fields[2] = ("offset", b.CreateNumpyVector(np.int32(outputs_)))
            operators.append(self.table(b, {**fields, 0: ("uint", kinds.index(kind))}))
        graph = self.table(b, {0: ("offset", self.offsets(b, tensors)), 1: ("offset", b.CreateNumpyVector(np.int32(inputs))),
                               2: ("offset", b.CreateNumpyVector(np.int32(outputs))), 3: ("offset", self.offsets(b, operators))})
        root = self.table(b, {0: ("uint", 3), 1: ("offset", self.offsets(b, codes)), 2: ("offset", self.offsets(b, [graph])),
                              4: ("offset", self.offsets(b, buffers))})
        b.Finish(root, file_identifier=b"TFL3")
        return bytes(b.Output())


def conv_options(padding, stride, activation):
    return {0: ("byte", padding), 1: ("int", stride), 2: ("int", stride), 3: ("byte", activation), 4: ("int", 1), 5: ("int", 1)}


def depthwise_options(padding, stride, activation):
    return {0: ("byte", padding), 1: ("int", stride), 2: ("int", stride), 3: ("int", 1), 4: ("byte", activation), 5: ("int", 1), 6: ("int", 1)}


class Weights:
    """Random weights in one of the published codings, and the numbers they stand for."""

    def __init__(self, kind, seed=1):
        self.kind, self.rng = kind, np.random.default_rng(seed)

    def add(self, writer, name, shape, axis):
        """Weights and biases; returns their tensors and real values. axis: that of the outputs."""
        outputs, scale = shape[axis], np.float32(1 / np.sqrt(np.prod(shape) / shape[axis]))
        weight, bias = self.rng.standard_normal(shape).astype("f4") * scale, self.rng.standard_normal(outputs).astype("f4") * np.float32(0.3)
        if self.kind == "float16":
            real, real_bias = weight.astype("f2"), bias.astype("f2")
            ids = []
            for key, value in ((name, real), (name + "/bias", real_bias)):
                half = writer.tensor(key + "/half", value.shape, "f2", value)
                ids.append(writer.tensor(key, value.shape))
                writer.operator("DEQUANTIZE", [half], [ids[-1]])
            return ids, real.astype("f4"), real_bias.astype("f4")
        if self.kind == "uint8":
            step, zero = np.float32(np.abs(weight).max() / 120), 131
            stored = np.clip(np.round(weight / step) + zero, 0, 255).astype("u1")
            steps, zeros, real = [step], [zero], (stored.astype("f4") - zero) * step
        else:
            shape_of = [-1 if i == axis else 1 for i in range(len(shape))]
            steps = np.abs(weight).max(tuple(i for i in range(len(shape)) if i != axis)) / np.float32(127)
            stored = np.round(weight / steps.reshape(shape_of)).astype("i1")
            zeros, real = np.zeros(outputs, int), stored * steps.reshape(shape_of)
        stored_bias = np.round(bias / (np.float32(steps) * 0.01)).astype("i4")
        weights = writer.tensor(name, shape, stored.dtype, stored, steps, zeros, axis)
        biases = writer.tensor(name + "/bias", bias.shape, "i4", stored_bias, np.float32(steps) * np.float32(0.01), np.zeros(len(np.ravel(steps)), int))
        return [weights, biases], real.astype("f4"), (stored_bias * (np.float32(steps) * np.float32(0.01))).astype("f4")


def conv_nhwc(x, weight, bias, stride, padding, depthwise, high):
    """TensorFlow's definition on height x width x channels."""
    kernel = weight.shape[1]
    side = -(-x.shape[0] // stride) if padding == SAME else (x.shape[0] - kernel) // stride + 1
    total = max((side - 1) * stride + kernel - x.shape[0], 0) if padding == SAME else 0
    x = np.pad(x, ((total // 2, total - total // 2),) * 2 + ((0, 0),))
    out = np.zeros((side, side, weight.shape[3] if depthwise else weight.shape[0]))
    for i in range(side):
        for j in range(side):
            part = x[i * stride:i * stride + kernel, j * stride:j * stride + kernel]
            out[i, j] = (part * weight[0]).sum((0, 1)) if depthwise else np.tensordot(weight, part, 3)
    out = out + bias
    return np.clip(out, 0, high) if high else out


def mobile_trunk(kind, ending):
    """A MobileNet in small, 14 x 14 pixels, and what it computes: strides of 2 on even and odd sides, a residual, a wide end."""
    writer, weights = Writer(), Weights(kind)
    quantized = kind in ("uint8", "int8")
    dtype = {"uint8": "u1", "int8": "i1"}.get(kind, "f4")

    def activation(name, shape):
        return writer.tensor(name, shape, dtype, None, *(([0.05], [100]) if quantized else ()))

    scale, zero = (1 / 64, 120 - (128 if kind == "int8" else 0))
    picture = writer.tensor("picture", (1, 14, 14, 3), dtype, None, *(([scale], [zero]) if quantized else ()))
    steps = []

    def conv(source, name, shape, stride, padding, depthwise, act, side):
        ids, weight, bias = weights.add(writer, name, shape, 3 if depthwise else 0)
        output = activation(name + "/out", (1, side, side, bias.size))
        options = (depthwise_options if depthwise else conv_options)(padding, stride, act)
        writer.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [source, *ids], [output], options=options)
        steps.append(lambda x: conv_nhwc(x, weight, bias, stride, padding, depthwise, 6 if act == 3 else None))
        return output

    first = conv(picture, "first", (8, 3, 3, 3), 2, SAME, False, 3, 7)
    deep = conv(first, "deep", (1, 3, 3, 8), 1, SAME, True, 3, 7)
    narrow = conv(deep, "narrow", (8, 1, 1, 8), 1, SAME, False, 0, 7)
    total = activation("total", (1, 7, 7, 8))
    writer.operator("ADD", [first, narrow], [total], options={0: ("byte", 0)})
    small = conv(total, "small", (1, 3, 3, 8), 2, SAME, True, 3, 4)
    wide = conv(small, "wide", (20, 1, 1, 8), 1, VALID, False, 3, 4)
    pooled = activation("pooled", (1, 1, 1, 20))
    if ending == "mean":
        axes = writer.tensor("axes", (2,), "i4", np.int32([1, 2]))
        writer.operator("MEAN", [wide, axes], [pooled], options={0: ("byte", 1)})
    else:
        writer.operator("AVERAGE_POOL_2D", [wide], [pooled],
                        options={0: ("byte", VALID), 1: ("int", 1), 2: ("int", 1), 3: ("int", 4), 4: ("int", 4), 5: ("byte", 0)})
    ids, dense, dense_bias = weights.add(writer, "dense", (5, 20), 0)
    logits = activation("logits", (1, 5))
    writer.operator("FULLY_CONNECTED", [pooled, *ids], [logits], options={0: ("byte", 0)})

    def run(x):
        a = steps[0](x)
        a = a + steps[2](steps[1](a))
        features = steps[4](steps[3](a)).mean((0, 1))
        return features, dense @ features + dense_bias

    return writer.bytes([picture], [logits]), run


class Trunks(unittest.TestCase):
    def converted(self, data, picture, **how):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "net.onnx")
            tflite_to_onnx.convert(data, path, **how)
            _, metadata = wire.run_onnx(path, picture.transpose(2, 0, 1))
            mean, std = float(metadata["eddh.mean"]), float(metadata["eddh.std"])
            return wire.run_onnx(path, (picture.transpose(2, 0, 1) - mean) / std)[0], mean, std

    def test_codings(self):
        picture = np.random.default_rng(5).integers(0, 256, (14, 14, 3)).astype(float)
        preparation = {"float16": (127.5, 127.5), "uint8": (120, 64), "int8": (120, 64)}
        for kind in preparation:
            for ending in ("mean", "pool"):
                with self.subTest(kind=kind, ending=ending):
                    data, run = mobile_trunk(kind, ending)
                    got, mean, std = self.converted(data, picture)
                    self.assertEqual((mean, std), preparation[kind])
                    features, logits = run((picture - mean) / std)
                    np.testing.assert_allclose(got, logits, rtol=1e-4, atol=1e-5)
                    got = self.converted(data, picture, output="wide/out")[0]
                    self.assertGreater(np.count_nonzero(features), 10)
                    np.testing.assert_allclose(got, features, rtol=1e-4, atol=1e-5)

    def test_another_size_and_half_weights(self):
        picture = np.random.default_rng(6).integers(0, 256, (19, 19, 3)).astype(float)
        data, run = mobile_trunk("float16", "mean")
        got, mean, std = self.converted(data, picture, output="wide/out", size=19, half=True)
        np.testing.assert_allclose(got, run((picture - mean) / std)[0], rtol=2e-3, atol=1e-3)

    def test_failures(self):
        data, _ = mobile_trunk("uint8", "mean")
        with self.assertRaisesRegex(Failure, "TFL3"):
            Model(b"<html>no such file</html>")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "net.onnx")
            with self.assertRaisesRegex(Failure, "no tensor is called"):
                tflite_to_onnx.convert(data, path, output="nowhere")
            writer = Writer()
            picture = writer.tensor("picture", (1, 8, 8, 3))
            gathered = writer.tensor("gathered", (1, 8, 8, 3))
            writer.operator("GATHER", [picture, picture], [gathered])
            with self.assertRaisesRegex(Failure, "number 36 .gathered. is not supported"):
                tflite_to_onnx.convert(writer.bytes([picture], [gathered]), path)
            self.assertFalse(os.path.exists(path))
        for cut in (9, 40, len(data) // 2):
            with self.assertRaises(Failure):
                Model(data[:cut])


if __name__ == "__main__":
    unittest.main()
