#!/usr/bin/env python3
"""What EDDH's defaults do one by one, and what stands beside it: the settings of scripts/validate ablation, and its report.

ablation.py options SEEDS    names of the variants, a tab, the options of eddh_compare
ablation.py report FILE      from lines "set, variant, bits, mAP" a table in Markdown: mean over the lengths, and how much that is more than with the defaults
"""
import collections
import csv
import json
import sys

LINEAR = {"head": "linear"}
ANCHORS = {"head": "anchors"}

# A list of (name in the table, method, settings). EDDH's default head is anchors.
VARIANTS = [
    ("defaults", "eddh", {}),
    ("lambda 0", "eddh", {"lambda": 0}),
    ("lambda 1", "eddh", {"lambda": 1}),
    ("lambda 10", "eddh", {"lambda": 10}),
    ("lambda 100", "eddh", {"lambda": 100}),
    ("gamma 0", "eddh", {"gamma": 0}),
    ("gamma 1", "eddh", {"gamma": 1}),
    ("gamma 10", "eddh", {"gamma": 10}),
    ("gamma 100", "eddh", {"gamma": 100}),
    ("lambda, gamma 0", "eddh", {"lambda": 0, "gamma": 0}),
    ("balance none", "eddh", {"balance": "none"}),
    ("balance center", "eddh", {"balance": "center"}),
    ("h0", "eddh", {"variant": "h0"}),
    ("h1", "eddh", {"variant": "h1"}),
    ("h2", "eddh", {"variant": "h2"}),
    ("mu 0.1", "eddh", {"mu": 0.1}),
    ("start random", "eddh", {"start": "random"}),
    ("3 rounds", "eddh", {"outer": 3}),
    ("30 rounds", "eddh", {"outer": 30}),
    ("100 epochs", "eddh", {"epochs": 100}),
    ("S, labels alone", "eddh", {"similarity": "labels"}),
    ("linear", "eddh", LINEAR),
    *((f"`{method}`, {head['head']}", method, head) for method in ("sdh", "ksh", "cnnh", "dph", "ddsh", "adsh") for head in (LINEAR, ANCHORS)),
]


def options(seeds):
    own = {f"v_{i}": {"method": method, **settings} for i, (_, method, settings) in enumerate(VARIANTS)}
    print(",".join(own) + "\t" + json.dumps({"seeds": seeds, **own}))


def report(file):
    figures = collections.defaultdict(list)
    sets, lengths = [], set()
    for data, name, bits, value in csv.reader(open(file), delimiter="\t"):
        figures[int(name.removeprefix("v_")), data].append(float(value))
        lengths.add(int(bits))
        if data not in sets:
            sets.append(data)
    mean = lambda values: sum(values) / len(values)
    print(f"Mean mAP over {', '.join(map(str, sorted(lengths)))} bits; in brackets what it is more than with EDDH's defaults.\n")
    print("| | " + " | ".join(sets) + " |\n" + "|---" * (len(sets) + 1) + "|")
    for i, (name, *_) in enumerate(VARIANTS):
        cells = [f"{mean(figures[i, d]):.3f} ({mean(figures[i, d]) - mean(figures[0, d]):+.3f})" if (i, d) in figures else "" for d in sets]
        print(f"| {name} | " + " | ".join(cells) + " |")


if sys.argv[1] == "options":
    options(int(sys.argv[2]))
else:
    report(sys.argv[2])
