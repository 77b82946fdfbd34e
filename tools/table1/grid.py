#!/usr/bin/env python3
"""The settings that scripts/validate tries, six a method, and its report.

grid.py options GRID METHODS SEEDS    names of the variants, a tab, the options of eddh_compare; GRID is search (a method's own settings) or kernel
grid.py report GRID FILE              from lines "set, variant, bits, mAP" a table in Markdown; the winner of each method has the best mean over sets, lengths and heads
"""
import collections
import csv
import json
import sys

# The defaults first, then one thing at a time: main weights, what spreads the work, the rate.
RATES = [{"rate": 0.005}, {"rate": 0.05}]  # beside 0.02
LOW_RATES = [{"rate": 0.002}, {"rate": 0.02}]  # beside 0.005
HIGH_RATES = [{"rate": 0.02}, {"rate": 0.1}]  # beside 0.05
OWN = {
    "eddh": [{}, {"lambda": 1}, {"lambda": 100}, {"gamma": 10}, *RATES],
    "ksh": [{}, {"rows": 1000}, {"anchors": 300}, {"anchors": 1000}, {"kernel_width": 0.5}, {"kernel_width": 1}],
    "sdh": [{}, {"ridge": 0.01}, {"ridge": 1}, {"nu": 0.01}, {"lambda": 0.1}, {"iterations": 15}],
    "cnnh": [{}, {"sweeps": 3}, {"sweeps": 30}, {"weight_decay": 0.005}, *RATES],
    "dhn": [{}, {"lambda": 0.03}, {"lambda": 0.3}, {"scale": 8}, *HIGH_RATES],
    "ddsh": [{}, {"omega": 300}, {"omega": 1200}, {"outer": 30}, *LOW_RATES],
    "dph": [{}, {"lambda": 0.03}, {"lambda": 0.3}, {"priority": 1}, *RATES],
    "adsh": [{}, {"gamma": 0.004}, {"gamma": 1}, {"outer": 10}, *LOW_RATES],
    "orthohash": [{}, {"scale": 2}, {"scale": 8}, {"margin": 0.6}, *RATES],
}
# The same for every method: what its layer sees.
KERNEL = [{"kernel_width": width, "anchors": anchors} for anchors in (1000, 2000) for width in (0.5, 0.7, 1)]

SETTINGS = {"search": OWN, "kernel": {method: KERNEL for method in OWN}}
HEADS = {"search": ("linear", "anchors"), "kernel": ("anchors",)}


def options(grid, methods, seeds):
    own = {f"{m}_{i}_{head}": {"method": m, "head": head, **setting} for m in methods for i, setting in enumerate(SETTINGS[grid][m]) for head in HEADS[grid]}
    print(",".join(own) + "\t" + json.dumps({"seeds": seeds, **own}))


def report(grid, file):
    figures = collections.defaultdict(list)
    sets, lengths = set(), set()
    for data, name, bits, value in csv.reader(open(file), delimiter="\t"):
        method, number, head = name.rsplit("_", 2)
        figures[method, int(number), head, data].append(float(value))
        sets.add(data)
        lengths.add(int(bits))
    sets, heads = sorted(sets), HEADS[grid]
    mean = lambda values: sum(values) / len(values)
    of = lambda m, i, heads: mean([mean(figures[m, i, head, data]) for head in heads for data in sets])
    print(f"Mean mAP over {', '.join(map(str, sorted(lengths)))} bits and {', '.join(sets)}; six settings a method, heads: {', '.join(heads)}.\n")
    print("| method | setting | all | " + " | ".join(heads) + " | " + " | ".join(f"{d}, {h}" for h in heads for d in sets) + " |")
    print("|---" * (3 + len(heads) * (1 + len(sets))) + "|")
    for method, settings in SETTINGS[grid].items():
        if (method, 0, heads[0], sets[0]) not in figures:
            continue
        best = max(range(len(settings)), key=lambda i: of(method, i, heads))
        for i, setting in enumerate(settings):
            name = ", ".join(f"{k} {v:g}" for k, v in setting.items()) or "defaults"
            cells = [of(method, i, heads), *(of(method, i, [h]) for h in heads)] + [mean(figures[method, i, h, d]) for h in heads for d in sets]
            print(f"| {method} | " + (f"**{name}**" if i == best else name) + " | " + " | ".join(f"{c:.3f}" for c in cells) + " |")


if sys.argv[1] == "options":
    options(sys.argv[2], sys.argv[3].split(","), int(sys.argv[4]))
else:
    report(sys.argv[2], sys.argv[3])
