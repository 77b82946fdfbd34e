#!/usr/bin/env python3
"""docs/TABLE1.md and one self-contained page from what scripts/table1 measured: report.py FOLDER TABLE.md PAGE.html"""
import collections
import csv
import pathlib
import sys

import methods
import page


class Results:
    """
    tables: (set, head) -> {(method, bits, measure): (mean, deviation, seeds)}; jobs: (set, head) -> (remarks, seconds); curves: (set, head) -> {(method, bits, curve):
    [(step, value)]}; labels: (set, method, bits) -> [(pictures, mAP, deviation)]; chosen: (set, method) -> its better head; run: the commands, more than one where a table was put together.
    """

    def __init__(self, folder):
        self.tables, self.curves, self.labels = (collections.defaultdict(dict) for _ in range(3))
        self.jobs, self.chosen = {}, {}
        for data, head, method, bits, measure, mean, deviation, seeds in self.rows(folder / "measures.tsv"):
            self.tables[data, head][method, int(bits), measure] = (float(mean), float(deviation or 0), int(seeds))
        for data, head, remarks, seconds in self.rows(folder / "jobs.tsv"):
            self.jobs[data, head] = (remarks, int(seconds))
        for data, head, method, bits, curve, step, value in self.rows(folder / "curves.tsv"):
            self.curves[data, head].setdefault((method, int(bits), curve), []).append((int(step), float(value)))
        for data, method, bits, pictures, mean, deviation, _, _ in self.rows(folder / "labels.tsv"):
            self.labels.setdefault((data, method, int(bits)), []).append((int(pictures), float(mean), float(deviation or 0)))
        self.run = [row[0] for row in self.rows(folder / "run.tsv")]
        self.add_better_heads()
        self.tables = dict(sorted(self.tables.items(), key=lambda item: item[0][0]))

    @staticmethod
    def rows(path):
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    def add_better_heads(self):
        """Of two heads that were measured, for each method the one with the higher mAP over all lengths: chosen on these figures, for every method alike."""
        for data in [data for data, head in self.tables if head == "linear" and (data, "anchors") in self.tables]:
            heads = {head: self.tables[data, head] for head in ("linear", "anchors")}
            # Rounded: a method that has no anchors is the same in both, but for the order of the sum.
            total = lambda cells, method: round(sum(v[0] for (m, _, measure), v in cells.items() if (m, measure) == (method, "map")), 9)
            names = methods.in_order({m for cells in heads.values() for m, _, _ in cells})
            for m in names:
                self.chosen[data, m] = max(heads, key=lambda head: total(heads[head], m))
            self.tables[data, "better"] = {key: value for head, cells in heads.items() for key, value in cells.items() if self.chosen[data, key[0]] == head}
            with_anchors = ", ".join(m for m in names if self.chosen[data, m] == "anchors") or "none"
            self.jobs[data, "better"] = (f"{self.jobs[data, 'linear'][0]}; better by these very figures, with anchors: {with_anchors}; the others linear", self.jobs[data, "linear"][1] + self.jobs[data, "anchors"][1])


def markdown(results):
    lines = ["# Table 1, measured here", ""]
    lines += ["Written by `make table1`. mAP over the whole ranking, exact over ties, mean and deviation over seeded splits; all methods learn on the same",
              "frozen features (MobileNetV2, ImageNet, 1280 numbers) and their codes come from the stored head, for queries and database alike. `adsh` stands in",
              "for SDAH, which could not be identified. `orthohash`, `classifier` and `class_codes` are not in the paper's table. What is searched in includes what",
              "was learned from: where both numbers under a heading are equal, it is nothing else.", ""]
    lines += ["Run by " + ", then ".join(f"`{run}`" for run in results.run) + ("; a set's figures are those of the last that names it" if len(results.run) > 1 else "") +
              ". What is smaller than the defaults of scripts/table1 was cut to save time.", ""]
    for key, cells in results.tables.items():
        bits = sorted({b for _, b, _ in cells})
        names = methods.in_order({m for m, _, _ in cells})
        lines += [f"## {key[0]}, {methods.HEADS[key[1]]}", "", f"{results.jobs[key][0]}; {results.jobs[key][1]} s in all.", ""]
        lines += ["| method | " + " | ".join(f"mAP {b}" for b in bits) + " | radius 2: precision, empty | balance | codes | training s |", "|---|" + "---|" * (len(bits) + 4)]
        best = {b: max(cells[m, b, "map"][0] for m in names) for b in bits}
        for m in names:
            row = []
            for b in bits:
                mean, deviation, _ = cells[m, b, "map"]
                text = f"{mean:.3f} ± {deviation:.3f}"
                row.append(f"**{text}**" if mean == best[b] else text)
            last = bits[-1]
            value = lambda measure: cells[m, last, measure][0]
            lines.append(f"| {m} | " + " | ".join(row) + f" | {value('precision_radius_2'):.2f}, {value('empty_radius_2'):.2f} | {value('balance'):.2f} | {value('distinct_codes'):.0f} | {value('train_seconds'):.1f} |")
        lines += ["", f"The columns after mAP are at {bits[-1]} bits: 0 is the best balance; codes are the different ones in the database.", ""]
    lines += ["## The paper's table", "", "ImageNet-100, CNN-F, mAP@1000 (as quoted to us, three of its ten rows; other pictures and another network, so only the order can be compared):", "",
              "| method | 16 | 32 | 48 | 64 |", "|---|---|---|---|---|"]
    lines += [f"| {m} | " + " | ".join(f"{x:.3f}" for x in row) + " |" for m, row in methods.PAPER.items()]
    return "\n".join(lines) + "\n"


def main():
    results = Results(pathlib.Path(sys.argv[1]))
    if results.tables:
        pathlib.Path(sys.argv[2]).write_text(markdown(results))
    pathlib.Path(sys.argv[3]).write_text(page.page(results))


if __name__ == "__main__":
    main()
