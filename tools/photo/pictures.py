"""Labelled sets of photographs: tar files with img/*.jpg and labels.csv (file, labels separated by blanks, split)."""
import csv
import io
import os
import tarfile

import numpy as np
from PIL import Image

SIDE = 224


def read(path):
    """[(picture's bytes, labels)] of a tar file, in the order of labels.csv."""
    with tarfile.open(path) as archive:
        files = {os.path.normpath(m.name): archive.extractfile(m).read() for m in archive if m.isfile()}
    rows = csv.reader(io.StringIO(files["labels.csv"].decode()))
    next(rows)
    return [(files[os.path.normpath(row[0])], row[1]) for row in rows]


def crop(image, random):
    """A random part of a quarter to all of the area, 3:4 to 4:3, mirrored half of the time."""
    width, height = image.size
    area, ratio = random.uniform(0.25, 1) * width * height, np.exp(random.uniform(-0.288, 0.288))
    w, h = min(width, np.sqrt(area * ratio)), min(height, np.sqrt(area / ratio))
    x, y = random.uniform(0, width - w), random.uniform(0, height - h)
    part = np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC, box=(x, y, x + w, y + h)))
    return part[:, ::-1] if random.random() < 0.5 else part


def view(data, number, random):
    """224 x 224 x 3 bytes: number 0 is the whole picture as eddh sees it with resize = squash, others are random parts."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if number > 0:
        return crop(image, random)
    return np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC))


def write_views(items, number, path):
    """Bare rows of one view of each picture."""
    random = np.random.default_rng(number)
    with open(path, "wb") as file:
        for data, _ in items:
            file.write(np.ascontiguousarray(view(data, number, random)).tobytes())
