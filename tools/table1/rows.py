#!/usr/bin/env python3
"""Rows for COPY (id, labels, image) from a tar of pictures with labels.csv (file, labels separated by blanks, split): rows.py TAR [MOST [SKIP]]

In one shuffled order: MOST rows behind the first SKIP; 0: all."""
import csv
import io
import random
import sys
import tarfile


def labelled(archive, most=0, skip=0):
    """[(labels, file's bytes)]"""
    pictures = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                pictures[member.name.removeprefix("./")] = tar.extractfile(member).read()
    table = next(name for name in pictures if name.endswith("labels.csv"))
    folder = table[: -len("labels.csv")]
    lines = list(csv.reader(io.StringIO(pictures[table].decode())))
    if lines and folder + lines[0][0] not in pictures:
        lines = lines[1:]
    lines = [line for line in lines if folder + line[0] in pictures and line[1].strip()]
    random.Random(1).shuffle(lines)
    return [(line[1].split(), pictures[folder + line[0]]) for line in lines[skip : skip + most if most else None]]


def write(rows):
    for number, (labels, picture) in enumerate(rows, 1):
        text = ",".join('"' + label.replace('"', "") + '"' for label in labels)
        print(f"{number}\t{{{text}}}\t\\\\x{picture.hex()}")


if __name__ == "__main__":
    write(labelled(sys.argv[1], *map(int, sys.argv[2:4])))
