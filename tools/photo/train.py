#!/usr/bin/env python3
"""
The recipe of the backbone `photo` (README.md). Every step writes files into the work folder and is skipped where they are there already.

    EDDH_IMAGES=... EDDH_TEACHER=teacher.onnx EDDH_TRUNK=trunk.onnx tools/photo/train.py WORK [report | train]

report: splits the classes of the first set in two; trains on one half and the other sets, scores on the half it has not seen, and the reverse.
train: writes the network of the first split, so that the report's figure is its own, to share/eddh_photo.onnx, and its numbers into the extension's SQL.
"""
import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import pictures
from score import leave_one_out_map

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEARN = os.environ.get("EDDH_LEARN", os.path.join(ROOT, "build/photo/learn"))
SETS = ["caltech51", "imagenet-one-each", "coco256", "flowers12"]
BLOCK = "FeatureExtractor/MobilenetV2/expanded_conv_12/add"  # what is behind it is tuned
VIEWS = 2  # the whole picture, and a random part
DIM = 512
RIDGE = 300.0
STAGES = [(1, "epochs=2 rate=0.02 last_rate=0.002"), (2, "epochs=0.85 rate=0.004 last_rate=0.001")]  # views, and settings of `learn tune`
COMMON = "batch=64 relation=4 report=10 threads=2"
PER_CLASS = 30  # scored pictures of a class
SOURCE = ("eddh tools/photo: trunk of the SSD-MobileNetV2 for Open Images V4 in npm @mediapipe/objectron 0.4.1675468480 (Apache-2.0), trained on "
          "by distillation from MobileNetV2 1.0 ImageNet of github.com google-coral/test_data (Apache-2.0)")


def units(x):
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9)


class Recipe:
    def __init__(self, work):
        self.work = work
        self.trunk, self.teacher = os.environ["EDDH_TRUNK"], os.environ["EDDH_TEACHER"]
        os.makedirs(work, exist_ok=True)
        labels = self.path("labels.npz")
        if not os.path.exists(labels):
            self.look()
        with np.load(labels) as stored:
            self.labels, self.sets = stored["labels"], stored["sets"]
        self.n = len(self.labels)
        self.classes = np.unique(self.labels[self.sets == SETS[0]])

    def path(self, name):
        return os.path.join(self.work, name)

    def look(self):
        """Views of all pictures, and what trunk and teacher make of them."""
        items, sets = [], []
        for name in SETS:
            read = pictures.read(os.path.join(os.environ["EDDH_IMAGES"], name + ".tar"))
            items += read
            sets += [name] * len(read)
        for k in range(VIEWS):
            pictures.write_views(items, k, self.path(f"v{k}.u8"))
            self.learn("features", self.trunk, "-", BLOCK, self.path(f"v{k}.u8"), self.path(f"v{k}.block"))
            self.learn("features", self.trunk, BLOCK, "-", self.path(f"v{k}.block"), self.path(f"v{k}.trunk"))
            self.learn("features", self.teacher, "-", "-", self.path(f"v{k}.u8"), self.path(f"v{k}.teacher"))
        np.savez(self.path("labels.npz"), labels=np.array([label for _, label in items]), sets=np.array(sets))

    @staticmethod
    def learn(*arguments):
        subprocess.run([LEARN, *arguments], check=True)

    def rows(self, name):
        return np.memmap(self.path(name), np.float32, "r").reshape(self.n, -1)

    def held_out(self, fold):
        """Pictures of every second class of the first set; of none for fold None."""
        return (self.sets == SETS[0]) & np.isin(self.labels, [] if fold is None else self.classes[fold::2])

    def scored(self, fold):
        held = self.held_out(fold)
        return np.concatenate([np.flatnonzero(held & (self.labels == name))[:PER_CLASS] for name in self.classes[fold::2]])

    def directions(self, fold):
        """Mean, and DIM principal directions, of what the teacher says of the whole training pictures."""
        taught = self.rows("v0.teacher")[~self.held_out(fold)]
        mean = taught.mean(0)
        t = units(taught - mean)
        return mean, np.linalg.eigh(t.T @ t)[1][:, :-DIM - 1:-1]

    def targets(self, fold, view):
        """The teacher's features, centred, of length 1, in those directions, of length 1 again."""
        mean, directions = self.directions(fold)
        return units(units(self.rows(f"v{view}.teacher")[~self.held_out(fold)] - mean) @ directions).astype(np.float32)

    def linear(self, fold):
        """The trunk with the head that fits the targets best: ridge regression on standardised features, of the whole pictures."""
        network = self.path(f"linear.{fold}.onnx")
        if not os.path.exists(network):
            x, target = self.rows("v0.trunk")[~self.held_out(fold)], self.targets(fold, 0)
            mean, deviation = x.mean(0), x.std(0) + 1e-3
            x = (x - mean) / deviation
            weight = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1], dtype=np.float32), x.T @ (target - target.mean(0)))
            weight = (weight / deviation[:, None]).T
            self.add_head(network, weight, target.mean(0) - weight @ mean)
        return network

    def add_head(self, path, weight, bias):
        model = onnx.load(self.trunk)
        graph = model.graph
        graph.node[-1].output[0] = "pooled"
        graph.initializer.extend([numpy_helper.from_array(weight.astype(np.float32), "head.weight"),
                                  numpy_helper.from_array(bias.astype(np.float32), "head.bias")])
        graph.node.append(helper.make_node("Gemm", ["pooled", "head.weight", "head.bias"], ["features"], "head", transB=1))
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(bias)]))
        onnx.save(model, path)

    def tuned(self, fold):
        """Blocks behind BLOCK and the head, learned together, in stages."""
        network = self.linear(fold)
        for stage, (views, settings) in enumerate(STAGES):
            after = self.path(f"tuned{stage}.{fold}.onnx")
            if not os.path.exists(after):
                np.concatenate([self.targets(fold, k) for k in range(views)]).tofile(self.path("target"))
                with open(self.path("input"), "wb") as file:
                    for k in range(views):
                        block = self.rows(f"v{k}.block")
                        for i in np.flatnonzero(~self.held_out(fold)):
                            file.write(block[i].tobytes())
                self.learn("tune", network, BLOCK, self.path("input"), self.path("target"), after + ".new", *settings.split(), *COMMON.split())
                os.rename(after + ".new", after)
            network = after
        return network

    def score(self, fold, network):
        chosen = self.scored(fold)
        self.rows("v0.block")[chosen].tofile(self.path("scored.block"))
        self.learn("features", network, BLOCK, "-", self.path("scored.block"), self.path("scored.features"))
        features = np.fromfile(self.path("scored.features"), np.float32).reshape(len(chosen), -1)
        return leave_one_out_map(features, self.labels[chosen])

    def report(self):
        print("leave-one-out cosine mAP on classes that training has not seen")
        for fold in (0, 1):
            chosen = self.scored(fold)
            values = {"teacher": leave_one_out_map(self.rows("v0.teacher")[chosen], self.labels[chosen]),
                      "trunk": leave_one_out_map(self.rows("v0.trunk")[chosen], self.labels[chosen]),
                      "linear map": self.score(fold, self.linear(fold)), "tuned": self.score(fold, self.tuned(fold))}
            print(f"split {fold}: {len(chosen)} pictures, " + ", ".join(f"{name} {value:.3f}" for name, value in values.items()), flush=True)

    def train(self, network):
        """Half weights, metadata, share/, and the row."""
        model = onnx.load(network)
        for weight in model.graph.initializer:
            if numpy_helper.to_array(weight).size > 64:
                half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name)
                weight.CopyFrom(half)
        properties = {p.key: p.value for p in model.metadata_props}
        properties.update({"eddh.source": SOURCE, "eddh.licence": "Apache-2.0"})
        helper.set_model_props(model, properties)
        path = os.path.join(ROOT, "share/eddh_photo.onnx")
        onnx.save(model, path)
        describe(path)


def describe(path):
    """Writes the file's checksum, size and numbers into its row in the extension's SQL."""
    sql = os.path.join(ROOT, "sql/eddh--1.0--1.1.sql")
    with open(path, "rb") as file:
        data = file.read()
    features, parameters, macs = subprocess.run([LEARN, "describe", path], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    with open(sql, encoding="utf-8") as file:
        text = file.read()
    row = rf"\g<1>\\x{hashlib.sha256(data).hexdigest()}\g<2>{len(data)}, 224, {features}, {parameters}, {macs}"
    text, found = re.subn(r"(\(3, 'photo', NULL, ')[^']*(', )\d+, \d+, \d+, \d+, \d+", row, text)
    assert found == 1
    with open(sql, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    recipe = Recipe(sys.argv[1])
    if sys.argv[2:] == ["train"]:
        recipe.train(recipe.tuned(0))
    else:
        recipe.report()


if __name__ == "__main__":
    main()
