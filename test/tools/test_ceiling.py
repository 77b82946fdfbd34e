"""tools/table1/ceiling.py: its mAP is the expectation over random order of ties, and classes far apart reach 1 in all three ways to search."""
import pathlib
import sys
import unittest

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "table1"))
import ceiling  # noqa: E402


class Ceiling(unittest.TestCase):
    def test_ties_count_as_their_expectation(self):
        rng = np.random.default_rng(5)
        similarity = rng.integers(0, 4, 30)
        relevant = (rng.random(30) < 0.4).astype(float)

        def once():
            hits = relevant[np.lexsort((rng.random(30), -similarity))]
            return np.sum(hits * np.cumsum(hits) / np.arange(1, 31)) / hits.sum()

        sampled = [once() for _ in range(20000)]
        exact = ceiling.mean_average_precision(similarity[None], relevant[None])
        self.assertAlmostEqual(exact, np.mean(sampled), delta=4 * np.std(sampled) / np.sqrt(len(sampled)))

    def test_classes_far_apart_are_found(self):
        rng = np.random.default_rng(6)
        y = rng.permutation(np.repeat(np.arange(4), 25))
        x = 10 * rng.standard_normal((4, 8))[y] + rng.standard_normal((100, 8))
        near, swapped = (ceiling.split(x, labels, 40, 20, 32, 1) for labels in (y, rng.permutation(y)))
        for value, chance in zip(near, swapped):
            self.assertGreater(value, 0.99)
            self.assertLess(chance, 0.6)


if __name__ == "__main__":
    unittest.main()
