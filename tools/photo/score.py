#!/usr/bin/env python3
"""
Leave-one-out mean average precision by cosine on mean-centred features, over the whole ranking.

    tools/photo/score.py SET.tar[:PER_CLASS]... -- NETWORK.onnx...    a line a set; at most PER_CLASS pictures of a class (30), the first of each

For sets that the networks have not seen in training: README.md says which these are.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

import pictures

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEARN = os.environ.get("EDDH_LEARN", os.path.join(ROOT, "build/photo/learn"))
PER_CLASS = 30


def centred_units(features):
    centred = features - features.mean(0)
    return centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-12)


def leave_one_out_map(features, labels):
    """Every picture asks all others; those of its class are right. Ties do not occur among real features."""
    units = centred_units(np.asarray(features, np.float32))
    labels = np.unique(labels, return_inverse=True)[1]
    similarity = units @ units.T
    np.fill_diagonal(similarity, -np.inf)
    total = 0.0
    for i, row in enumerate(similarity):
        right = (labels == labels[i])[np.argsort(-row, kind="stable")[:-1]]
        places = np.flatnonzero(right) + 1
        total += np.mean(np.arange(1, len(places) + 1) / places) if len(places) else 0.0
    return total / len(labels)


def first_of_each(items, most):
    """At most so many pictures of each label."""
    count, chosen = {}, []
    for data, label in items:
        count[label] = count.get(label, 0) + 1
        if count[label] <= most:
            chosen.append((data, label))
    return chosen


def main():
    cut = sys.argv.index("--")
    for name in sys.argv[1:cut]:
        path, _, most = name.partition(":")
        chosen = first_of_each(pictures.read(path), int(most or PER_CLASS))
        labels = np.array([label for _, label in chosen])
        values = []
        with tempfile.TemporaryDirectory() as work:
            seen, told = os.path.join(work, "pictures"), os.path.join(work, "features")
            pictures.write_views(chosen, 0, seen)
            for network in sys.argv[cut + 1:]:
                subprocess.run([LEARN, "features", network, "-", "-", seen, told], check=True, stdout=subprocess.DEVNULL)
                features = np.fromfile(told, np.float32).reshape(len(chosen), -1)
                values.append(f"{os.path.basename(network)} {leave_one_out_map(features, labels):.3f}")
        print(f"{os.path.basename(path)}: {len(chosen)} pictures of {len(np.unique(labels))} classes, " + ", ".join(values), flush=True)


if __name__ == "__main__":
    main()
