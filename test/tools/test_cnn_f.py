"""CNN-F's two published files, written here byte for byte, become one network with equal features."""
import os
import tempfile
import unittest
from unittest import mock

import numpy as np

import caffe
import cnn_f
import matconvnet
import wire
from onnx_file import Failure

ORDER = list(cnn_f.CONVOLUTIONS) + list(cnn_f.DENSE)
SMALL = {"fc6": (96, 256 * 6 * 6), "fc7": (80, 96), "fc8": (10, 80)}  # 58 million random numbers would prove no more


def random_layers(rng):
    """RGB, outputs x channels x height x width; fc6 as it is in MatConvNet: outputs x 256 x 6 x 6."""
    shapes = {name: (k, c, size, size) for name, (k, c, size, _, _) in cnn_f.CONVOLUTIONS.items()}
    shapes.update(fc6=(SMALL["fc6"][0], 256, 6, 6), fc7=(*SMALL["fc7"], 1, 1), fc8=(*SMALL["fc8"], 1, 1))
    layers = {}
    for name, shape in shapes.items():
        weight = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        layers[name] = (weight, rng.standard_normal(shape[0], np.float32) * np.float32(0.1))
    return layers


def to_caffe(layers, write=wire.caffe_new):
    out = []
    for name in ORDER:
        weight, bias = layers[name]
        if name == "conv1":
            weight = weight[:, ::-1]
        out.append((name, [weight.reshape(weight.shape[0], -1) if name.startswith("fc") else weight, bias]))
    return write(out)


def mat_layer(name, weight, bias, old, turned):
    filters = np.asarray(weight.transpose(2, 3, 1, 0), np.float32)
    entry = {"type": "conv", "name": name}
    entry.update({"filters": filters, "biases": bias[None]} if old else {"weights": [filters, bias[:, None]]})
    entry.update({"stride": 4 if name == "conv1" else [[1, 1]], "pad": [[0, 0, 0, 0]]})
    return dict(reversed(entry.items())) if turned else entry


def to_mat(layers, mean, old=False, turned=False, compressed=False):
    cells = []
    for name in layers:
        cells += [mat_layer(name, *layers[name], old, turned), {"type": "relu", "name": "relu" + name}]
        if name == "conv1":
            cells.append({"name": "norm1", "type": "normalize" if old else "lrn", "param": [[5, 2, 1e-4, 0.75]]})
    normalization = {"imageSize": [[224, 224, 3]], "averageImage": mean, "interpolation": "bicubic"}
    if old:
        return wire.mat_file({"layers": cells, "classes": {"name": ["cat"]}, "normalization": normalization}, compressed)
    return wire.mat_file({"layers": cells, "meta": {"normalization": normalization}}, compressed)


def plain_features(layers, picture, mean):
    """The network of the paper's table, on height x width x RGB, by MatConvNet's conventions."""
    x = (picture - mean).transpose(2, 0, 1).astype(np.float64)
    for name, (_, _, size, stride, pad) in cnn_f.CONVOLUTIONS.items():
        columns = wire.windows(x, (size, size), (stride, stride), (pad,) * 4, 0)
        weight, bias = layers[name]
        x = np.tensordot(weight.astype(np.float64), columns, axes=((1, 2, 3), (0, 1, 2))) + bias[:, None, None]
        x = np.maximum(x, 0)
        if name in ("conv1", "conv2"):
            total = np.array([(x[max(0, c - 2):c + 3] ** 2).sum(0) for c in range(len(x))])
            x = x * (2 + 1e-4 * total) ** -0.75
        if name in ("conv1", "conv2", "conv5"):
            x = wire.windows(x, (3, 3), (2, 2), (0, 0, 1, 1), 0).max((1, 2))  # MatConvNet's pad [0 1 0 1]
    for name in ("fc6", "fc7"):
        weight, bias = layers[name]
        x = np.maximum(weight.reshape(len(bias), -1) @ x.ravel() + bias, 0)
    return x


class WholeNetwork(unittest.TestCase):
    def test_sizes_are_those_of_the_paper(self):
        weights = sum(k * c * size * size + k for k, c, size, _, _ in cnn_f.CONVOLUTIONS.values())
        self.assertEqual(weights + sum(k * c + k for k, c in cnn_f.DENSE.values()), 60834536)

    @mock.patch.object(cnn_f, "DENSE", SMALL)
    def test_both_files_give_the_features_of_the_table(self):
        rng = np.random.default_rng(1)
        layers = random_layers(rng)
        mean = rng.uniform(90, 140, (224, 224, 3)).astype(np.float32)
        picture = rng.integers(0, 256, (224, 224, 3)).astype(np.float32)
        results = []
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("caffe", "matconvnet"):
                path = os.path.join(folder, kind + ".onnx")
                if kind == "caffe":
                    read = cnn_f.from_caffe(to_caffe(layers))
                    average = cnn_f.caffe_mean(wire.mat_file({"image_mean": mean[:, :, ::-1]}))
                else:
                    read, average = cnn_f.from_matconvnet(to_mat(layers, mean))
                cnn_f.write(path, read, cnn_f.mean_of(average, False))
                features, metadata = wire.run_onnx(path, picture.transpose(2, 0, 1))
                self.assertEqual((metadata["eddh.channels"], metadata["eddh.mean"], metadata["eddh.std"], metadata["eddh.input_size"]),
                                 ("RGB", "0 0 0", "1 1 1", "224"))
                results.append(features)
        wanted = plain_features(layers, picture, mean)
        self.assertGreater(np.count_nonzero(wanted), 20)
        for features in results:
            np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-4 * wanted.max())
        np.testing.assert_array_equal(results[0], results[1])

    @mock.patch.object(cnn_f, "DENSE", SMALL)
    def test_half_precision_takes_half_the_room(self):
        rng = np.random.default_rng(3)
        read, average = cnn_f.from_matconvnet(to_mat(random_layers(rng), np.full((1, 1, 3), 120, np.float32)))
        picture = rng.integers(0, 256, (3, 224, 224)).astype(np.float32) - 120
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("whole.onnx", "half.onnx")]
            for path, half in zip(paths, (False, True)):
                cnn_f.write(path, read, cnn_f.mean_of(average, False), half=half)
            whole, half = (wire.run_onnx(path, picture)[0] for path in paths)
            self.assertLess(os.path.getsize(paths[1]), 0.51 * os.path.getsize(paths[0]))
        np.testing.assert_allclose(half, whole, atol=2e-3 * whole.max())
        self.assertFalse(np.array_equal(half, whole))


class CaffeLayouts(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(2)
        self.layers = [("conv1", [rng.standard_normal((4, 3, 2, 2)).astype(np.float32), rng.standard_normal(4).astype(np.float32)]),
                       ("fc6", [rng.standard_normal((5, 7)).astype(np.float32), rng.standard_normal(5).astype(np.float32)])]

    def assert_read(self, data):
        found = caffe.read(data)
        self.assertEqual(set(found), {"conv1", "fc6"})
        for name, blobs in self.layers:
            for got, wanted in zip(found[name], blobs):
                np.testing.assert_array_equal(got.ravel(), wanted.ravel())

    def test_generations(self):
        for write in (wire.caffe_new, wire.caffe_old, wire.caffe_oldest):
            self.assert_read(write(self.layers))

    def test_unpacked_and_double_numbers(self):
        self.assert_read(wire.caffe_old(self.layers, packed=False))
        self.assert_read(wire.caffe_old(self.layers, double=True))
        self.assert_read(wire.caffe_old(self.layers, packed=False, double=True))

    def test_failures(self):
        whole = wire.caffe_new(self.layers)
        for data in (whole[:-3], b"\xff" * 40, b"", b"<html>not found</html>"):
            with self.assertRaises(Failure):
                caffe.read(data)
        with self.assertRaisesRegex(Failure, "conv2 is missing|conv1 has weights"):
            cnn_f.from_caffe(whole)


class MatLayouts(unittest.TestCase):
    def test_layouts(self):
        rng = np.random.default_rng(3)
        layers = {"conv1": (rng.standard_normal((4, 3, 5, 5)).astype(np.float32), rng.standard_normal(4).astype(np.float32)),
                  "fc7": (rng.standard_normal((6, 4, 1, 1)).astype(np.float32), rng.standard_normal(6).astype(np.float32))}
        mean = rng.uniform(0, 255, (8, 8, 3)).astype(np.float32)
        for old in (False, True):
            for turned in (False, True):
                for compressed in (False, True):
                    found, average = matconvnet.read(to_mat(layers, mean, old, turned, compressed))
                    np.testing.assert_array_equal(average, mean)
                    for name, (weight, bias) in layers.items():
                        np.testing.assert_array_equal(found[name][0], weight)
                        np.testing.assert_array_equal(found[name][1], bias)

    def test_doubles_stored_as_bytes(self):
        weight, bias = np.arange(16.0).reshape(1, 4, 2, 2), np.array([7.0])
        layer = {"type": "conv", "name": "conv1", "filters": weight.transpose(2, 3, 1, 0), "biases": bias}
        found, average = matconvnet.read(wire.mat_file({"layers": [layer]}))
        np.testing.assert_array_equal(found["conv1"][0], weight)
        self.assertIsNone(average)

    def test_failures(self):
        with self.assertRaisesRegex(Failure, "7.3"):
            matconvnet.read(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
        with self.assertRaisesRegex(Failure, "not a MAT file"):
            matconvnet.read(b"<html>" * 100)
        with self.assertRaisesRegex(Failure, "layers"):
            matconvnet.read(wire.mat_file({"other": 3}))
        cell = {"type": "lrn", "name": "norm1", "param": [[5, 1, 2e-5, 0.75]]}
        with self.assertRaisesRegex(Failure, "normalises"):
            matconvnet.read(wire.mat_file({"layers": [cell]}))
        with self.assertRaisesRegex(Failure, "another one"):
            matconvnet.read(wire.mat_file({"layers": [{"type": "bnorm", "name": "bn1"}]}))


class Mean(unittest.TestCase):
    def test_forms(self):
        whole = np.arange(224 * 224 * 3, dtype=np.float32).reshape(224, 224, 3)
        self.assertEqual(cnn_f.mean_of(whole, False).shape, (3, 224, 224))
        self.assertEqual(cnn_f.mean_of(whole, False)[1, 2, 3], whole[2, 3, 1])
        np.testing.assert_allclose(cnn_f.mean_of(whole, True).ravel(), whole.mean((0, 1)), rtol=1e-5)
        np.testing.assert_allclose(cnn_f.mean_of(None, False).ravel(), [123.68, 116.779, 103.939])
        np.testing.assert_array_equal(cnn_f.caffe_mean(wire.mat_file({"image_mean": whole}))[0, 0], whole[0, 0, ::-1])
        with self.assertRaises(Failure):
            cnn_f.mean_of(np.zeros((227, 227, 3), np.float32), False)


if __name__ == "__main__":
    unittest.main()
