"""The methods in the table's order, their families, and what the paper says of them."""

PAPER = {  # EDDH paper, Table 1: ImageNet-100, mAP@1000 at 16, 32, 48, 64 bits, as far as it is known to us
    "eddh": (0.381, 0.562, 0.597, 0.604),
    "itq": (0.259, 0.333, 0.356, 0.411),
    "sdh": (0.092, 0.138, 0.162, 0.188),
}
ORDER = "sh itq ksh sdh cnnh dhn ddsh dph adsh eddh orthohash classifier class_codes".split()
FAMILIES = {"eddh": "EDDH", "shallow": "labels, closed form or bit by bit", "deep": "labels, gradient descent", "free": "no labels", "other": "not in the paper's table"}
MEMBERS = {"eddh": "eddh", "shallow": "ksh sdh", "deep": "cnnh dhn ddsh dph adsh", "free": "sh itq"}
HEADS = {"better": "each method's better head", "auto": "each method's own head", "linear": "linear head for all", "anchors": "RBF anchors for all"}


def family(method):
    return next((name for name, members in MEMBERS.items() if method in members.split()), "other")


def in_order(names):
    return [m for m in ORDER if m in names] + sorted(set(names) - set(ORDER))
