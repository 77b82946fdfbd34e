"""faiss_flat.py BITS CODES QUERIES: p50 in ms of FAISS IndexBinaryFlat, top 10, one query a call, one thread, in process.

CODES and QUERIES are files as bench/index_data writes them (id, code, bucket; or code). Exits with 77 when there is no faiss.
"""
import sys
import time

try:
    import faiss
    import numpy
except ImportError:
    sys.exit(77)


def packed(path, bits, column):
    """Rows of bytes; in pieces, because text is many times larger."""
    pieces, lines = [], []

    def pack():
        text = numpy.frombuffer("".join(lines).encode(), dtype=numpy.uint8).reshape(len(lines), bits) - ord("0")
        pieces.append(numpy.packbits(text, axis=1))
        lines.clear()

    with open(path, encoding="ascii") as file:
        for line in file:
            lines.append(line.rstrip("\n").split("\t")[column])
            if len(lines) == 100000:
                pack()
    if lines:
        pack()
    return numpy.concatenate(pieces)


bits = int(sys.argv[1])
faiss.omp_set_num_threads(1)
index = faiss.IndexBinaryFlat(bits)
index.add(packed(sys.argv[2], bits, 1))
queries = packed(sys.argv[3], bits, 0)
times = []
for turn in range(4):
    for query in queries:
        start = time.perf_counter()
        index.search(query.reshape(1, -1), 10)
        if turn > 0:
            times.append(time.perf_counter() - start)
print("%.3f" % (1000 * sorted(times)[len(times) // 2]))
