#!/usr/bin/env python3
"""What scripts/validate trials tries: as many settings for each method, drawn from ranges for what that method has, on each head.

trials.py options METHODS COUNT SEEDS               names of the variants, a tab, the options of eddh_compare
trials.py report COUNT FILE                         from lines "set, variant, bits, mAP" a table in Markdown: defaults and the best, by kind of set
trials.py finalists COUNT FILE SEEDS                as options, of the best settings of each kind alone; their splits are others
"""
import collections
import csv
import json
import random
import sys

RATES = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1]
# What gradient descent has in common.
DESCENT = {"rate": RATES, "batch": [64, 256], "weight_decay": [5e-5, 5e-3], "epochs": [60]}
KERNEL = {"kernel_width": [0.5, 1]}
SPACE = {
    "ksh": {"ridge": [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10], "rows": [1000], **KERNEL},
    "sdh": {"ridge": [3e-4, 1e-3, 3e-3, 1e-2, 0.03, 0.1, 0.3, 1], "nu": [1e-6, 1e-5, 1e-4, 1e-3, 1e-2], "lambda": [0.1, 1, 10, 100], "iterations": [3, 15], **KERNEL},
    "cnnh": {"sweeps": [3, 30], **DESCENT, **KERNEL},
    "dhn": {"lambda": [0, 0.01, 0.03, 0.1, 0.3, 1], "scale": [0.5, 1, 2, 4, 8, 16], "balance": ["none"], **DESCENT, **KERNEL},
    "ddsh": {"omega": [100, 300, 600, 1200, 2000], "outer": [5, 30], **DESCENT, **KERNEL},
    "dph": {"lambda": [0, 0.01, 0.03, 0.1, 0.3, 1], "priority": [0, 0.1, 0.3, 1, 2], **DESCENT, **KERNEL},
    "adsh": {"gamma": [0.004, 0.02, 0.1, 0.5, 2, 10], "outer": [5, 10], **DESCENT, **KERNEL},
    "orthohash": {"scale": [1, 2, 4, 8, 16], "margin": [0, 0.2, 0.4, 0.6, 0.8], "start": ["random"], **DESCENT, **KERNEL},
}
KINDS = {"few classes": ("cifar10", "fashion"), "many classes": ("caltech51",), "several labels": ("mosaics",)}
HEADS = ("linear", "anchors")
FINALISTS = 3  # of each kind by both heads together, and the best of each head
OTHER_SPLITS = 101


def settings(method, count):
    """The defaults and count - 1 others, always the same for the same method; in each about half of what there is to choose stays as it is."""
    chosen = random.Random(method)
    drawn = [{}]
    while len(drawn) < count:
        setting = {name: chosen.choice(values) for name, values in SPACE[method].items() if chosen.random() < 0.5}
        if setting not in drawn:
            drawn.append(setting)
    return drawn


def options(numbers, count, seeds, more):
    """Of eddh_compare, for {method: numbers of settings}."""
    own = {f"{m}_{i}_{head}": {"method": m, "head": head, **settings(m, count)[i]} for m, some in numbers.items() for i in some for head in HEADS}
    print(",".join(own) + "\t" + json.dumps({"seeds": seeds, **more, **own}))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def read(file):
    """{(method, number, head, set): mean mAP over lengths}"""
    figures = collections.defaultdict(list)
    for data, name, _, value in csv.reader(open(file), delimiter="\t"):
        method, number, head = name.rsplit("_", 2)
        figures[method, int(number), head, data].append(float(value))
    return {key: mean(values) for key, values in figures.items()}


def scores(figures, method, sets, heads):
    """{number: mean over sets and heads}"""
    numbers = {i for m, i, _, data in figures if m == method and data in sets}
    return {i: mean(figures[method, i, head, data] for head in heads for data in sets) for i in sorted(numbers)}


def kinds(figures):
    present = {key[3] for key in figures}
    named = {kind: [s for s in sets if s in present] for kind, sets in KINDS.items()}
    return {kind: sets for kind, sets in named.items() if sets}


def best(values, count):
    return sorted(values, key=values.get, reverse=True)[:count]


def shown(setting):
    return ", ".join(f"{k} {v:g}" if not isinstance(v, str) else f"{k} {v}" for k, v in setting.items()) or "defaults"


def report(count, file):
    figures = read(file)
    print("| method | sets | setting | both heads | " + " | ".join(HEADS) + " |\n" + "|---" * (4 + len(HEADS)) + "|")
    for method in SPACE:
        for kind, sets in kinds(figures).items():
            total = scores(figures, method, sets, HEADS)
            if not total:
                continue
            by_head = [scores(figures, method, sets, [head]) for head in HEADS]
            for i in dict.fromkeys([0, *best(total, FINALISTS), *(best(values, 1)[0] for values in by_head)]):
                print(f"| {method} | {kind} | {shown(settings(method, count)[i])} | {total[i]:.3f} | " + " | ".join(f"{v[i]:.3f}" for v in by_head) + " |")


def finalists(count, file, seeds):
    figures = read(file)
    numbers = {}
    for method in SPACE:
        some = {0}
        for sets in kinds(figures).values():
            some.update(best(scores(figures, method, sets, HEADS), FINALISTS))
            for head in HEADS:
                some.update(best(scores(figures, method, sets, [head]), 1))
        numbers[method] = sorted(some)
    options(numbers, count, seeds, {"seed": OTHER_SPLITS})


if sys.argv[1] == "options":
    options({m: range(int(sys.argv[3])) for m in sys.argv[2].split(",")}, int(sys.argv[3]), int(sys.argv[4]), {})
elif sys.argv[1] == "finalists":
    finalists(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
else:
    report(int(sys.argv[2]), sys.argv[3])
