"""The report of scripts/table1: figures arrive in table and page, the page is whole and stands alone, labels of lines do not cover one another."""
import html.parser
import pathlib
import re
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "table1"
sys.path.insert(0, str(FOLDER))
import means  # noqa: E402
import page  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402

METHODS = "sh itq ksh sdh cnnh dhn eddh classifier eddh_h0".split()
BITS = (16, 48)
WITH_CURVE = {"itq": "quantisation", "ksh": "residual", "sdh": "changed", "cnnh": "loss", "dhn": "loss", "eddh": "objective", "eddh_h0": "loss"}


def quality(data, head, method, bits):
    """Different for all; anchors are better for methods of even number."""
    number = METHODS.index(method)
    return 0.5 + 0.03 * number + bits / 1000 + (0.011 if (head == "anchors") == (number % 2 == 0) else 0) + (0.001 if data == "cifar10" else 0)


def write(folder, curves=True):
    with open(folder / "measures.tsv", "w") as measures, open(folder / "curves.tsv", "w") as points, open(folder / "jobs.tsv", "w") as jobs:
        for data in ("caltech51", "cifar10"):
            for head in ("linear", "anchors"):
                jobs.write(f"{data}\t{head}\t80 pictures to learn from, 90 to search in, 10 asked for\t61\n")
                for method in METHODS:
                    for bits in BITS:
                        row = {"map": quality(data, head, method, bits), "precision_radius_2": 0.4, "empty_radius_2": 0.1, "balance": 0.2, "distinct_codes": 33, "train_seconds": 1.5}
                        for measure, value in row.items():
                            measures.write(f"{data}\t{head}\t{method}\t{bits}\t{measure}\t{value}\t{0.004 if measure == 'map' else ''}\t2\n")
                        for radius in range(0, bits + 1, 4) if curves else ():
                            points.write(f"{data}\t{head}\t{method}\t{bits}\tmicro_precision\t{radius}\t{1 - 0.9 * radius / bits}\n")
                            points.write(f"{data}\t{head}\t{method}\t{bits}\tmicro_recall\t{radius}\t{radius / bits}\n")
                        for step in range(1, 9) if curves and method in WITH_CURVE else ():
                            points.write(f"{data}\t{head}\t{method}\t{bits}\t{WITH_CURVE[method]}\t{step}\t{1 / step}\n")
    with open(folder / "labels.tsv", "w") as labels:
        for method in ("itq", "eddh"):
            for n in (100, 200, 2000):
                labels.write(f"cifar10\t{method}\t48\t{n}\t{0.3 + n / 10000}\t0.01\t2\tremarks\n")
    (folder / "run.tsv").write_text('MOST="100" make table1\n')


class Reader(html.parser.HTMLParser):
    """Whether elements close in order; texts; what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.fetched, self.texts, self.polylines = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br", "html"):
            self.open.append(tag)
        attributes = dict(attributes)
        self.fetched += [(tag, name) for name in attributes if name in ("src", "href", "data") or tag in ("script", "link", "img")]
        if "points" in attributes:
            self.polylines.append([tuple(map(float, p.split(","))) for p in attributes["points"].split()])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag in ("meta", "br", "html"):
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.texts.append(data.strip())


class Table1(unittest.TestCase):
    def results(self, **how):
        with tempfile.TemporaryDirectory() as folder:
            write(pathlib.Path(folder), **how)
            return report.Results(pathlib.Path(folder))

    def test_page_is_whole_and_stands_alone(self):
        text = page.page(self.results())
        reader = Reader()
        reader.feed(text)
        self.assertEqual((reader.wrong, reader.open), ([], []))
        self.assertEqual(reader.fetched, [])
        self.assertNotIn("http", text)
        self.assertNotIn("nan", re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan", "", text))
        for line in reader.polylines:
            for x, y in line:
                self.assertTrue(-1 <= x <= 600 and -1 <= y <= 400, (x, y))
        for method in METHODS:
            self.assertIn(method, reader.texts)
        for heading in ("CIFAR-10", "Caltech, 51 classes", "How many labels are enough?", "How training went", "Precision against recall, 48 bits", "What it costs, 48 bits"):
            self.assertIn(heading, reader.texts)

    def test_figures_are_those_that_were_measured(self):
        results = self.results()
        table, text = report.markdown(results), page.page(results)
        self.assertIn('`MOST="100" make table1`', table)
        self.assertIn("| itq | 0.546 ± 0.004 |", table)  # linear
        self.assertIn("| eddh | 0.707 ± 0.004 | 0.739 ± 0.004 |", table)
        self.assertEqual(table.count("| **"), len(BITS) * (table.count("\n## ") - 1))  # one a column; the paper's table has none
        for method in METHODS:
            for bits in BITS:
                best = max(quality("cifar10", head, method, bits) for head in ("linear", "anchors"))
                self.assertIn(f'title="{method}, cifar10, {bits} bits: {best:.3f} ± 0.004"', text)
                self.assertIn(f"{method}, {bits} bits: {best:.3f} ± 0.004", text)
        self.assertIn("eddh, 2000 pictures: 0.500 ± 0.010", text)

    def test_each_method_takes_its_better_head(self):
        results = self.results()
        for number, method in enumerate(METHODS):
            self.assertEqual(results.chosen["cifar10", method], "linear" if number % 2 else "anchors")
            self.assertEqual(results.tables["cifar10", "better"][method, 16, "map"][0], max(quality("cifar10", head, method, 16) for head in ("linear", "anchors")))

    def test_a_head_that_changes_nothing_is_not_chosen(self):
        with tempfile.TemporaryDirectory() as folder:
            write(pathlib.Path(folder))
            with open(pathlib.Path(folder, "measures.tsv"), "a") as measures:
                for head, order in (("linear", (0.3, 0.2, 0.1)), ("anchors", (0.1, 0.2, 0.3))):  # sums that differ in the last bit
                    for bits, value in enumerate(order):
                        measures.write(f"cifar10\t{head}\tsame\t{bits}\tmap\t{value}\t\t2\n")
            self.assertEqual(report.Results(pathlib.Path(folder)).chosen["cifar10", "same"], "linear")

    def test_means_and_ranks_are_those_of_the_table(self):
        tables = means.read(report.markdown(self.results()))
        self.assertEqual(set(tables), {"linear head for all", "RBF anchors for all", "each method's better head"})
        found = means.summary(tables["each method's better head"])
        for place, method in enumerate(reversed([m for m in METHODS if m in means.PAPERS]), 1):
            by_set, total, rank = found[method]
            self.assertEqual(rank, place)
            self.assertAlmostEqual(total, sum(by_set) / len(by_set))
            self.assertAlmostEqual(by_set[0], sum(quality("caltech51", head, method, b) for b in BITS for head in [self.results().chosen["caltech51", method]]) / len(BITS), places=3)
        tied = means.summary({"a": {"eddh": [(0.5, 0), (0.7, 0)], "sdh": [(0.5, 0), (0.6, 0)], "itq": [(0.1, 0), (0.1, 0)]}})
        self.assertEqual([tied[m][2] for m in ("eddh", "sdh", "itq")], [1.25, 1.75, 3])
        rows = {"eddh": [(0.5, 0.01), (0.7, 0.01)], "sdh": [(0.45, 0.02), (0.71, 0.02)], "itq": [(0.1, 0.3), (0.1, 0)]}
        self.assertEqual(list(means.leads(rows)), ["+0.050 sdh (± 0.020) *", "-0.010 sdh (± 0.020)"])

    def test_what_was_not_measured_is_left_out(self):
        text = page.page(self.results(curves=False))
        self.assertNotIn("How training went", text)
        self.assertNotIn("Precision against recall", text)
        with tempfile.TemporaryDirectory() as folder:
            write(pathlib.Path(folder))
            for name in ("measures", "curves", "jobs", "run"):
                pathlib.Path(folder, name + ".tsv").unlink()
            text = page.page(report.Results(pathlib.Path(folder)))
        self.assertIn("How many labels are enough?", text)
        self.assertNotIn("All in one view", text)

    def test_labels_keep_apart_and_in_order(self):
        for wanted in ([50, 50, 50, 50], [10, 290, 11, 289, 12], [0, 300], [150 + i / 10 for i in range(13)], [300] * 13, [5]):
            places = plot.spread(wanted, 13, 10, 300)
            order = sorted(range(len(wanted)), key=lambda i: wanted[i])
            for a, b in zip(order, order[1:]):
                self.assertGreaterEqual(places[b] - places[a], 13 - 1e-9)
            self.assertTrue(all(10 - 1e-9 <= p <= 300 + 1e-9 for p in places), places)
        self.assertEqual(plot.spread([100, 200], 13, 0, 300), [100, 200])

    def test_ticks_are_round_and_inside(self):
        for low, high in ((0, 1), (0.312, 0.958), (0.88, 0.95), (0, 12.4), (-0.03, 0)):
            ticks = plot.nice_ticks(low, high)
            self.assertTrue(3 <= len(ticks) <= 11, ticks)
            self.assertTrue(all(low - 1e-9 <= t <= high + 1e-9 and len(plot.tick_text(t)) <= 6 for t in ticks), ticks)


if __name__ == "__main__":
    unittest.main()
