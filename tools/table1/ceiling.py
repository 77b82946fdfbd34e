#!/usr/bin/env python3
"""What the features allow, apart from any method: ceiling.py LEARNED QUERIES BITS (LEARNED 0: all that are searched in) < lines "label, features separated by blanks", a tab between.

Ridge regression from kernel values (those of the anchors head: every picture learned from is an anchor, .7 of the median distance) to the classes, and three ways to
search with it: by the probability that two pictures are of one class, in real numbers; by codes, the signs of the regression onto codes of the classes, on both
sides; and by codes with those of the classes themselves in the database, as where all that is searched in was learned by heart. Mean over three splits of the mAP,
exact over ties. Prints a row of a Markdown table.
"""
import sys

import numpy as np

RIDGE = 0.03  # of the mean variance of kernel values
SHARPNESS = 12  # of the softmax that makes probabilities of the regression
WIDTH = 0.7


def mean_average_precision(similarity, relevant):
    """similarity, relevant: queries x database. METHODS 3.3."""
    total = 0
    for s, r in zip(similarity, relevant):
        _, group = np.unique(np.round(-s, 9), return_inverse=True)
        n, hits = np.bincount(group), np.bincount(group, weights=r)
        before, hits_before = np.cumsum(n) - n, np.cumsum(hits) - hits
        precision = 0
        for h in np.flatnonzero(hits):
            rank = np.arange(n[h])
            slope = (hits[h] - 1) / (n[h] - 1) if n[h] > 1 else 0
            precision += hits[h] / n[h] * np.sum((hits_before[h] + 1 + rank * slope) / (before[h] + 1 + rank))
        total += precision / max(1, r.sum())
    return total / len(similarity)


def kernel(x, anchors):
    squares = np.maximum((x**2).sum(1)[:, None] + (anchors**2).sum(1) - 2 * x @ anchors.T, 0)
    between = np.maximum((anchors**2).sum(1)[:, None] + (anchors**2).sum(1) - 2 * anchors @ anchors.T, 0)
    median = np.median(between[np.triu_indices(len(anchors), 1)])
    return np.exp(-squares / (2 * WIDTH**2 * median))


def split(x, y, learned, queries, bits, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    query, database = order[:queries], order[queries:]
    train = database[: learned or len(database)]
    values = kernel(x, x[train])
    values -= values[train].mean(0)
    covariance = values[train].T @ values[train]
    covariance += RIDGE * np.trace(covariance) / len(train) * np.eye(len(train))

    def regress(targets):
        return values @ np.linalg.solve(covariance, values[train].T @ (targets - targets.mean(0))) + targets.mean(0)

    relevant = (y[query][:, None] == y[database]).astype(float)
    scores = regress(np.eye(y.max() + 1)[y[train]])
    probable = np.exp(SHARPNESS * (scores - scores.max(1, keepdims=True)))
    probable /= probable.sum(1, keepdims=True)
    class_codes = rng.choice([-1.0, 1.0], (y.max() + 1, bits))
    codes = np.where(regress(class_codes[y[train]]) >= 0, 1.0, -1.0)
    return [mean_average_precision(codes_q @ codes_d.T, relevant)
            for codes_q, codes_d in ((probable[query], probable[database]), (codes[query], codes[database]), (codes[query], class_codes[y[database]]))]


def main():
    learned, queries, bits = map(int, sys.argv[1:])
    labels, features = zip(*(line.rstrip("\n").split("\t") for line in sys.stdin))
    y = np.unique(labels, return_inverse=True)[1]
    x = np.array([np.array(row.split(), dtype=np.float64) for row in features])
    x = (x - x.mean(0)) / x.std()
    print("| " + " | ".join(f"{m:.3f}" for m in np.mean([split(x, y, learned, queries, bits, seed) for seed in (1, 2, 3)], axis=0)) + " |")


if __name__ == "__main__":
    main()
