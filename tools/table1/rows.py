#!/usr/bin/env python3
"""Rows for COPY (id, labels, image) from a tar of pictures with labels.csv (file, labels separated by blanks, split): rows.py TAR [MOST [SKIP]]

In one shuffled order: MOST rows behind the first SKIP; 0: all."""
import csv
import io
import random
import sys
import tarfile


def main():
    archive = sys.argv[1]
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    skip = int(sys.argv[3]) if len(sys.argv) > 3 else 0
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
    lines = lines[skip : skip + most if most else None]
    for number, line in enumerate(lines, 1):
        labels = ",".join('"' + label.replace('"', "") + '"' for label in line[1].split())
        print(f"{number}\t{{{labels}}}\t\\\\x{pictures[folder + line[0]].hex()}")


main()
