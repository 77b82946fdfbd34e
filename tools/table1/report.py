#!/usr/bin/env python3
"""docs/TABLE1.md and one self-contained page from what scripts/table1 measured: report.py FOLDER TABLE.md PAGE.html"""
import collections
import csv
import html
import os
import pathlib
import sys

PAPER = {  # EDDH paper, Table 1: ImageNet-100, mAP@1000 at 16, 32, 48, 64 bits, as far as it is known to us
    "eddh": (0.381, 0.562, 0.597, 0.604),
    "itq": (0.259, 0.333, 0.356, 0.411),
    "sdh": (0.092, 0.138, 0.162, 0.188),
}
ORDER = "sh itq ksh sdh cnnh dhn ddsh dph adsh eddh orthohash classifier class_codes".split()
COLOURS = "#8c8c8c #4e79a7 #76b7b2 #59a14f #edc948 #b07aa1 #ff9da7 #9c755f #f28e2b #e15759 #1f77b4 #2ca02c #000000".split()


def read(folder):
    table = collections.defaultdict(dict)
    with open(folder / "measures.tsv") as file:
        for data, head, method, bits, measure, mean, deviation, seeds in csv.reader(file, delimiter="\t"):
            table[data, head][method, int(bits), measure] = (float(mean), float(deviation or 0), int(seeds))
    jobs = {}
    with open(folder / "jobs.tsv") as file:
        for data, head, remarks, seconds in csv.reader(file, delimiter="\t"):
            jobs[data, head] = (remarks, int(seconds))
    return table, jobs


def add_better_heads(table, jobs):
    """Of two heads that were measured, for each method the one with the higher mAP over all lengths: chosen on these figures, for every method alike."""
    for data in [data for data, head in table if head == "linear" and (data, "anchors") in table]:
        linear, anchors = table[data, "linear"], table[data, "anchors"]
        total = lambda cells, method: sum(v[0] for (m, _, measure), v in cells.items() if (m, measure) == (method, "map"))
        chosen = {m: anchors if total(anchors, m) > total(linear, m) else linear for m in {m for m, _, _ in {**linear, **anchors}}}
        table[data, "better"] = {key: value for m, cells in chosen.items() for key, value in cells.items() if key[0] == m}
        with_anchors = ", ".join(m for m in in_order(table[data, "better"]) if chosen[m] is anchors)
        jobs[data, "better"] = (f"{jobs[data, 'linear'][0]}; with anchors: {with_anchors}; the others linear", jobs[data, "linear"][1] + jobs[data, "anchors"][1])


def in_order(cells):
    names = {method for method, _, _ in cells}
    return [m for m in ORDER if m in names] + sorted(names - set(ORDER))


def colour_of(method):
    return COLOURS[ORDER.index(method)] if method in ORDER else "#555"


def heading(key):
    names = {"better": "each method's better head", "auto": "each method's own head", "linear": "linear head for all", "anchors": "RBF anchors for all"}
    return f"{key[0]}, {names[key[1]]}"


def markdown(table, jobs):
    lines = ["# Table 1, measured here", ""]
    lines += ["Written by `make table1`. mAP over the whole ranking, exact over ties, mean and deviation over seeded splits; all methods learn on the same",
              "frozen features (MobileNetV2, ImageNet, 1280 numbers) and their codes come from the stored head, for queries and database alike. `adsh` stands in",
              "for SDAH, which could not be identified. `orthohash`, `classifier` and `class_codes` are not in the paper's table.", ""]
    given = " ".join(f'{name}="{os.environ[name]}"' for name in ("SETS", "BITS", "SEEDS", "MOST", "HEADS", "METHODS") if os.environ.get(name))
    lines += [f"This run: `{given + ' ' if given else ''}make table1`. What is smaller than the defaults of scripts/table1 was cut to save time.", ""]
    for key, cells in table.items():
        bits = sorted({b for _, b, _ in cells})
        methods = in_order(cells)
        lines += [f"## {heading(key)}", "", f"{jobs[key][0]}; {jobs[key][1]} s in all.", ""]
        lines += ["| method | " + " | ".join(f"mAP {b}" for b in bits) + " | radius 2: precision, empty | balance | codes | training s |", "|---|" + "---|" * (len(bits) + 4)]
        best = {b: max(cells[m, b, "map"][0] for m in methods) for b in bits}
        for m in methods:
            row = []
            for b in bits:
                mean, deviation, _ = cells[m, b, "map"]
                text = f"{mean:.3f} ± {deviation:.3f}"
                row.append(f"**{text}**" if mean == best[b] else text)
            last = bits[-1]
            value = lambda measure: cells[m, last, measure][0]
            lines.append(f"| {m} | " + " | ".join(row) + f" | {value('precision_radius_2'):.2f}, {value('empty_radius_2'):.2f} | {value('balance'):.2f} | {value('distinct_codes'):.0f} | {value('train_seconds'):.1f} |")
        lines += ["", f"The columns after mAP are at {bits[-1]} bits: 0 is the best balance; codes are the different ones in the database.", ""]
    lines += ["## The paper's table", "", "ImageNet-100, CNN-F, mAP@1000 (as quoted to us; other pictures and another network, so only the order can be compared):", "",
              "| method | 16 | 32 | 48 | 64 |", "|---|---|---|---|---|"]
    lines += [f"| {m} | " + " | ".join(f"{x:.3f}" for x in row) + " |" for m, row in PAPER.items()]
    return "\n".join(lines) + "\n"


def plot(cells, bits, methods):
    width, height, left, bottom = 560, 320, 46, 30
    values = [cells[m, b, "map"][0] for m in methods for b in bits]
    low, high = max(0, min(values) - 0.02), min(1, max(values) + 0.02)
    x = lambda b: left + (width - left - 120) * (bits.index(b) / max(1, len(bits) - 1))
    y = lambda v: (height - bottom) - (height - bottom - 12) * (v - low) / (high - low)
    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="mAP by bits">']
    for i in range(6):
        v = low + (high - low) * i / 5
        out.append(f'<line x1="{left}" x2="{width - 120}" y1="{y(v):.1f}" y2="{y(v):.1f}" class="grid"/><text x="{left - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>')
    out += [f'<text x="{x(b):.1f}" y="{height - 10}" text-anchor="middle">{b}</text>' for b in bits]
    labels = sorted(methods, key=lambda m: -cells[m, bits[-1], "map"][0])
    for m in methods:
        colour = colour_of(m)
        points = " ".join(f"{x(b):.1f},{y(cells[m, b, 'map'][0]):.1f}" for b in bits)
        weight = 3 if m == "eddh" else 1.5
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{weight}"/>')
    for rank, m in enumerate(labels):
        out.append(f'<text x="{width - 108}" y="{18 + rank * 17}" fill="{colour_of(m)}" font-weight="{700 if m == "eddh" else 400}">{m} {cells[m, bits[-1], "map"][0]:.3f}</text>')
    return "".join(out) + "</svg>"


def page(table, jobs):
    parts = []
    for key, cells in table.items():
        bits = sorted({b for _, b, _ in cells})
        methods = in_order(cells)
        parts.append(f"<section><h2>{html.escape(heading(key))}</h2><p>{html.escape(jobs[key][0])}</p>{plot(cells, bits, methods)}</section>")
    return ("<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Hashing methods compared</title><style>"
            "body{font:15px/1.45 system-ui,sans-serif;max-width:1240px;margin:2rem auto;padding:0 1rem;color:#222}"
            "main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,540px),1fr));gap:1.5rem}"
            "svg{width:100%;height:auto;font-size:12px}svg text{fill:currentColor}.grid{stroke:#ddd}h1{font-size:1.6rem}h2{font-size:1.1rem;margin:0}"
            "section{border:1px solid #e2e2e2;border-radius:8px;padding:1rem}p{color:#666;margin:.3rem 0}</style>"
            "<h1>Hashing methods compared</h1><p>mAP (tie-aware, whole ranking) by bits, on the same frozen features; the list at the right is in order of the longest code.</p>"
            "<main>" + "".join(parts) + "</main>\n").replace("svg text{fill:currentColor}", "")


def main():
    folder = pathlib.Path(sys.argv[1])
    table, jobs = read(folder)
    add_better_heads(table, jobs)
    table = dict(sorted(table.items(), key=lambda item: item[0][0]))
    pathlib.Path(sys.argv[2]).write_text(markdown(table, jobs))
    pathlib.Path(sys.argv[3]).write_text(page(table, jobs))


main()
