#!/usr/bin/env python3
"""The settings that scripts/validate tries, six a method, and its report.

grid.py options METHODS SEEDS    names of the variants, a tab, the options of eddh_compare
grid.py report FILE              from lines "set, variant, bits, mAP" a table in Markdown; the winner of each method has the best mean over sets, lengths and heads
"""
import collections
import csv
import json
import sys

# The defaults first, then one thing at a time: main weights, what spreads the work, the rate.
RATES = [{"rate": 0.005}, {"rate": 0.05}]  # beside 0.02
LOW_RATES = [{"rate": 0.002}, {"rate": 0.02}]  # beside 0.005
HIGH_RATES = [{"rate": 0.02}, {"rate": 0.1}]  # beside 0.05
GRID = {
    "eddh": [{}, {"lambda": 3}, {"lambda": 30}, {"gamma": 10}, *RATES],
    "ksh": [{}, {"rows": 1000}, {"anchors": 300}, {"anchors": 2000}, {"kernel_width": 0.5}, {"kernel_width": 1}],
    "sdh": [{}, {"ridge": 0.01}, {"ridge": 1}, {"nu": 0.01}, {"lambda": 0.1}, {"iterations": 15}],
    "cnnh": [{}, {"sweeps": 3}, {"sweeps": 30}, {"weight_decay": 0.005}, *RATES],
    "dhn": [{}, {"lambda": 0.03}, {"lambda": 0.3}, {"scale": 8}, *HIGH_RATES],
    "ddsh": [{}, {"omega": 100}, {"omega": 600}, {"outer": 30}, *LOW_RATES],
    "dph": [{}, {"lambda": 0.03}, {"lambda": 0.3}, {"priority": 1}, *LOW_RATES],
    "adsh": [{}, {"gamma": 0.004}, {"gamma": 1}, {"outer": 30}, *LOW_RATES],
    "orthohash": [{}, {"scale": 2}, {"scale": 8}, {"margin": 0.6}, *RATES],
}
HEADS = ("linear", "anchors")


def options(methods, seeds):
    own = {f"{m}_{i}_{head}": {"method": m, "head": head, **setting} for m in methods for i, setting in enumerate(GRID[m]) for head in HEADS}
    print(",".join(own) + "\t" + json.dumps({"seeds": seeds, "train": 0, **own}))


def report(file):
    figures = collections.defaultdict(list)
    sets, lengths = set(), set()
    for data, name, bits, value in csv.reader(open(file), delimiter="\t"):
        method, number, head = name.rsplit("_", 2)
        figures[method, int(number), head, data].append(float(value))
        sets.add(data)
        lengths.add(int(bits))
    sets = sorted(sets)
    mean = lambda values: sum(values) / len(values)
    of = lambda m, i, heads: mean([mean(figures[m, i, head, data]) for head in heads for data in sets])
    print(f"Mean mAP over {', '.join(map(str, sorted(lengths)))} bits and {', '.join(sets)}; six settings a method on each head.\n")
    print("| method | setting | linear | anchors | both | " + " | ".join(f"{d}, {h}" for h in HEADS for d in sets) + " |")
    print("|---" * (5 + len(HEADS) * len(sets)) + "|")
    for method in (m for m in GRID if (m, 0, HEADS[0], sets[0]) in figures):
        best = max(range(len(GRID[method])), key=lambda i: of(method, i, HEADS))
        for i, setting in enumerate(GRID[method]):
            name = ", ".join(f"{k} {v:g}" for k, v in setting.items()) or "defaults"
            cells = [of(method, i, ["linear"]), of(method, i, ["anchors"]), of(method, i, HEADS)] + [mean(figures[method, i, h, d]) for h in HEADS for d in sets]
            print(f"| {method} | " + (f"**{name}**" if i == best else name) + " | " + " | ".join(f"{c:.3f}" for c in cells) + " |")


if sys.argv[1] == "options":
    options(sys.argv[2].split(","), int(sys.argv[3]))
else:
    report(sys.argv[2])
