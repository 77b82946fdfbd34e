#!/usr/bin/env python3
"""What scripts/validate trials and finals try: settings drawn from ranges for what a method has, on each head.

trials.py trials METHODS SEEDS SET   for pictures of that set: names of the variants, a tab, the options of eddh_compare
trials.py finals FILE SEEDS SET      as trials, but the best of what FILE has (lines "set, variant, bits, mAP") on sets of that kind, without their epochs, since the default
                                     sees to the number of steps
trials.py report WHAT FILE           a table in Markdown: defaults and the best, by kind of set

The ranges stand beside the defaults from before the trials: 30 epochs, a kernel of .7 for all. A file belongs to the ranges that it was measured with.
"""
import collections
import csv
import functools
import itertools
import json
import math
import random
import sys

RATES = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1]
# What gradient descent has in common.
DESCENT = {"rate": RATES, "batch": [64, 256], "weight_decay": [5e-5, 5e-3], "epochs": [60]}
KERNEL = {"kernel_width": [0.5, 1]}
SPACE = {
    "eddh": {"lambda": [1, 10, 100], "gamma": [1, 10, 100], "variant": ["h0", "h1", "h2"], "outer": [5, 30], **DESCENT, **KERNEL},
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
# How many settings a method has, and EDDH, which had some forty by hand before: lambda, gamma, variants, balance.
COUNT = {"few classes": (40, 20), "many classes": (80, 40), "several labels": (80, 40)}
HEADS = ("linear", "anchors")
FINALISTS = 2  # by both heads together, and the best of each head


@functools.cache
def settings(method):
    """The defaults and others, always the same for the same method; in each about half of what there is to choose stays as it is."""
    chosen = random.Random(method)
    most = min(max(max(counts) for counts in COUNT.values()), math.prod(len(values) + 1 for values in SPACE[method].values()))
    drawn = [{}]
    while len(drawn) < most:
        setting = {name: chosen.choice(values) for name, values in SPACE[method].items() if chosen.random() < 0.5}
        if setting not in drawn:
            drawn.append(setting)
    return drawn


def setting_of(what, method, number):
    return {name: value for name, value in settings(method)[number].items() if what == "trials" or name != "epochs"}


def kind_of(data):
    return next(kind for kind, sets in KINDS.items() if data in sets)


def options(what, numbers, seeds):
    """Of eddh_compare, for {method: numbers of settings}."""
    own = {f"{m}_{i}_{head}": {"method": m, "head": head, **setting_of(what, m, i)} for m, some in numbers.items() for i in some for head in HEADS}
    print(",".join(own) + "\t" + json.dumps({"seeds": seeds, **own}))


def trials(methods, seeds, data):
    counts = COUNT[kind_of(data)]
    options("trials", {m: range(min(counts[m == "eddh"], len(settings(m)))) for m in methods}, seeds)


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


def report(what, file):
    figures = read(file)
    print("| method | sets | setting | both heads | " + " | ".join(HEADS) + " |\n" + "|---" * (4 + len(HEADS)) + "|")
    for method in SPACE:
        for kind, sets in kinds(figures).items():
            total = scores(figures, method, sets, HEADS)
            if not total:
                continue
            by_head = [scores(figures, method, sets, [head]) for head in HEADS]
            for i in dict.fromkeys([0, *best(total, FINALISTS), *(best(values, 1)[0] for values in by_head)]):
                print(f"| {method} | {kind} | {shown(setting_of(what, method, i))} | {total[i]:.3f} | " + " | ".join(f"{v[i]:.3f}" for v in by_head) + " |")


def finals(file, seeds, data):
    figures = read(file)
    sets = kinds(figures)[kind_of(data)]
    numbers = {}
    for method in SPACE:
        total = scores(figures, method, sets, HEADS)
        if not total:
            continue
        chosen = [best(total, FINALISTS), *(best(scores(figures, method, sets, [head]), 1) for head in HEADS)]
        different = {json.dumps(setting_of("finals", method, i)): i for i in sorted({0, *itertools.chain.from_iterable(chosen)}, reverse=True)}
        numbers[method] = sorted(different.values())
    options("finals", numbers, seeds)


if sys.argv[1] == "trials":
    trials(sys.argv[2].split(","), int(sys.argv[3]), sys.argv[4])
elif sys.argv[1] == "finals":
    finals(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    report(sys.argv[2], sys.argv[3])
