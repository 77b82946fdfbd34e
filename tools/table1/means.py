#!/usr/bin/env python3
"""Of docs/TABLE1.md, for the paper's ten methods: mean mAP by set and over all, and the mean rank over sets and lengths, equal figures sharing theirs; and, column by column, by how
much EDDH leads or lags the best of the other nine, beside the larger of the two deviations: means.py [TABLE.md]"""
import collections
import pathlib
import re
import sys

import methods

PAPERS = methods.ORDER[: methods.ORDER.index("eddh") + 1]


def read(text):
    """{heading of the head: {set: {method: [(mAP, deviation) by length]}}}"""
    tables = collections.defaultdict(dict)
    for section in text.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        rows = {m: [(float(x), float(d)) for x, d in re.findall(r"([\d.]+) ± ([\d.]+)", line)] for m in PAPERS for line in body.splitlines() if line.startswith(f"| {m} |")}
        if "," in title and rows and all(rows.values()):
            data, head = title.split(", ", 1)
            tables[head][data] = rows
    return tables


def summary(sets):
    """{method: (means by set, mean of those, mean rank)}"""
    mean = lambda values: sum(values) / len(values)
    names = [m for m in PAPERS if all(m in rows for rows in sets.values())]
    columns = [{m: rows[m][i][0] for m in names} for rows in sets.values() for i in range(len(rows[names[0]]))]
    rank = lambda column, m: 0.5 + sum((v > column[m]) + 0.5 * (v == column[m]) for v in column.values())
    by_set = {m: [mean([x for x, _ in rows[m]]) for rows in sets.values()] for m in names}
    return {m: (by_set[m], mean(by_set[m]), mean([rank(column, m) for column in columns])) for m in names}


def leads(rows):
    """EDDH's lead over the best of the others by length, and whether it, or the lag, is more than the larger deviation of the two."""
    for i, (value, deviation) in enumerate(rows["eddh"]):
        other, (best, others) = max(((m, rows[m][i]) for m in rows if m != "eddh"), key=lambda item: item[1][0])
        lead = round(value - best, 3)
        yield f"{lead:+.3f} {other} (± {max(deviation, others):.3f})" + (" *" if abs(lead) > max(deviation, others) else "")


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2] / "docs" / "TABLE1.md"
    for head, sets in read(pathlib.Path(path).read_text()).items():
        print(f"\n| {head} | " + " | ".join(sets) + " | all | mean rank |\n" + "|---" * (len(sets) + 3) + "|")
        for m, (by_set, total, rank) in sorted(summary(sets).items(), key=lambda item: item[1][2]):
            print(f"| {m} | " + " | ".join(f"{x:.4f}" for x in by_set) + f" | {total:.4f} | {rank:.2f} |")
        print("\nEDDH before or behind the best of the others; * by more than the deviation:")
        for data, rows in sets.items():
            print(f"{data}: " + "; ".join(leads(rows)))


if __name__ == "__main__":
    main()
