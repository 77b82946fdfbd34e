"""
Methods without a network on pixels of Fashion-MNIST. Public tables have another set of clothes (MNIST's digits: sh .25, itq .43, ksh .90 at 48 bits), so what is asked
for is what all of them say: labels help much, and ITQ is better than spectral hashing. bench/public_figures has the figures themselves, on GIST of CIFAR-10.
"""
import gzip
import os
import subprocess
import unittest

import numpy as np

FOLDER = "/usr/share/datasets/fashion-mnist"
PROGRAM = os.path.join(os.path.dirname(__file__), "..", "..", "build", "test", "shallow")
TRAIN, DATABASE, QUERIES = 1500, 2000, 500
ROWS = TRAIN + DATABASE + QUERIES


def pictures():
    with gzip.open(f"{FOLDER}/train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + ROWS * 784)[16:], np.uint8)
    with gzip.open(f"{FOLDER}/train-labels-idx1-ubyte.gz") as file:
        classes = np.frombuffer(file.read(8 + ROWS)[8:], np.uint8)
    return pixels.astype(np.float32).tobytes() + classes.astype(np.int32).tobytes()


class Public(unittest.TestCase):
    def test_the_order_is_that_of_public_tables(self):
        data = pictures()
        for bits in (24, 48):
            found = {}
            for method in ("sh", "itq", "ksh", "sdh"):
                command = [PROGRAM, method, "784", *map(str, (bits, TRAIN, DATABASE, QUERIES, 1))]
                found[method] = float(subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout)
            with self.subTest(bits=bits, found=found):
                self.assertGreater(found["sh"], 0.2)  # chance is .1
                self.assertGreater(found["itq"], 1.1 * found["sh"])
                self.assertGreater(found["ksh"], 1.4 * found["itq"])
                self.assertGreater(found["sdh"], 1.4 * found["itq"])
                self.assertLess(abs(found["ksh"] / found["sdh"] - 1), 0.15)


if __name__ == "__main__":
    unittest.main()
