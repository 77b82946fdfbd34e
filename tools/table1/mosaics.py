#!/usr/bin/env python3
"""Pictures with several labels out of pictures with one: mosaics.py TAR [MOST [SKIP]], input and output as those of rows.py.

One to four pictures in the quarters of one, with the labels of all; no picture is in two mosaics, so that none is both learned from and asked for. Classes are thinned
to shares of 1 / sqrt(rank): as in photographs of scenes, a few are in nearly half of the pictures."""
import collections
import io
import random
import sys

from PIL import Image

import rows

SIDE = 256
COUNTS, CHANCES = (1, 2, 3, 4), (20, 35, 30, 15)


def mosaic(pictures, chance):
    canvas = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    side = SIDE if len(pictures) == 1 else SIDE // 2
    for cell, picture in zip(chance.sample(range(4), len(pictures)) if side < SIDE else [0], pictures):
        canvas.paste(Image.open(io.BytesIO(picture)).convert("RGB").resize((side, side)), (cell % 2 * side, cell // 2 * side))
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=92)
    return out.getvalue()


def main():
    chance = random.Random(2)
    pictures = rows.labelled(sys.argv[1], *map(int, sys.argv[2:4]))
    frequency = collections.Counter(label for labels, _ in pictures for label in labels)
    rank = {label: i for i, (label, _) in enumerate(sorted(frequency.items(), key=lambda item: (-item[1], item[0])), 1)}
    pictures = [p for p in pictures if chance.random() < rank[p[0][0]] ** -0.5]
    made = []
    while pictures:
        parts = pictures[: chance.choices(COUNTS, CHANCES)[0]]
        del pictures[: len(parts)]
        made.append((sorted({label for labels, _ in parts for label in labels}), mosaic([picture for _, picture in parts], chance)))
    rows.write(made)


if __name__ == "__main__":
    main()
