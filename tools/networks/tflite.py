"""Reading TensorFlow Lite files: flatbuffers of the schema version 3, by field numbers (tensorflow/lite/schema/schema.fbs)."""
import numpy as np
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from onnx_file import Failure

TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 7: np.int16, 9: np.int8, 10: np.float64}
OPERATORS = {0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 9: "FULLY_CONNECTED",
             14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 21: "RELU6", 22: "RESHAPE", 25: "SOFTMAX", 28: "TANH", 34: "PAD",
             40: "MEAN", 43: "SQUEEZE", 114: "QUANTIZE", 117: "HARD_SWISH"}


class View:
    """A table of the file. The n-th field of the schema lies at the n-th entry of the table's own directory, or is absent."""

    def __init__(self, table):
        self.table = table

    def offset(self, field):
        return self.table.Offset(4 + 2 * field)

    def scalar(self, field, flags, default=0):
        at = self.offset(field)
        return self.table.Get(flags, at + self.table.Pos) if at else default

    def int32(self, field, default=0):
        return self.scalar(field, number_types.Int32Flags, default)

    def int8(self, field, default=0):
        return self.scalar(field, number_types.Int8Flags, default)

    def text(self, field):
        at = self.offset(field)
        return self.table.String(at + self.table.Pos).decode() if at else ""

    def child(self, field):
        at = self.offset(field)
        return View(Table(self.table.Bytes, self.table.Indirect(at + self.table.Pos))) if at else None

    def union(self, field):
        at = self.offset(field)
        if not at:
            return None
        table = Table(bytearray(), 0)
        self.table.Union(table, at)
        return View(table)

    def children(self, field):
        at = self.offset(field)
        if not at:
            return []
        start = self.table.Vector(at)
        return [View(Table(self.table.Bytes, self.table.Indirect(start + 4 * i))) for i in range(self.table.VectorLen(at))]

    def array(self, field, dtype):
        """A copy, so that neither alignment nor the file's life matters."""
        at = self.offset(field)
        if not at:
            return np.zeros(0, dtype)
        start, count = self.table.Vector(at), self.table.VectorLen(at)
        raw = bytes(self.table.Bytes[start:start + count * np.dtype(dtype).itemsize])
        return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<"))


class Tensor:
    def __init__(self, view, buffers):
        self.shape = tuple(int(n) for n in view.array(0, np.int32))
        self.type = view.int8(1)
        self.name = view.text(3).split(";")[0]  # converters join the names of what they fused
        self.data = None
        raw = buffers[view.scalar(2, number_types.Uint32Flags)].array(0, np.uint8)
        if raw.size:
            if self.type not in TYPES:
                raise Failure(f"tensor {self.name} has type {self.type} of the schema, which is not supported")
            self.data = np.frombuffer(raw.tobytes(), np.dtype(TYPES[self.type]).newbyteorder("<"))
            if self.data.size != np.prod(self.shape, dtype=np.int64):
                raise Failure(f"tensor {self.name} of shape {self.shape} has {self.data.size} numbers")
            self.data = self.data.reshape(self.shape)
        quantization = view.child(4)
        self.scale = quantization.array(2, np.float32) if quantization else np.zeros(0, np.float32)
        self.zero = quantization.array(3, np.int64) if quantization else np.zeros(0, np.int64)
        self.axis = quantization.int32(6) if quantization else 0

    def is_quantized(self):
        return self.scale.size > 0 and self.type in (2, 3, 7, 9)

    def real(self):
        """The numbers meant: scale (q - zero), one of each or one for each place along an axis."""
        if self.data is None:
            raise Failure(f"tensor {self.name} should be a constant")
        if not self.is_quantized():
            return self.data.astype(np.float32)
        shape = [1] * self.data.ndim
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        zero = self.zero if self.zero.size else np.zeros(1, np.int64)
        zero = zero.reshape(shape) if zero.size > 1 else zero
        return ((self.data.astype(np.float64) - zero) * self.scale.reshape(shape).astype(np.float64)).astype(np.float32)


class Operator:
    def __init__(self, view, codes, tensors):
        code = codes[view.scalar(0, number_types.Uint32Flags)]
        # Codes above 126 came later, in a field of their own; readers take the larger of the two.
        number = max(code.int8(0), code.int32(3))
        self.kind = OPERATORS.get(number, code.text(1) or f"number {number}")
        self.inputs = [tensors[i] if i >= 0 else None for i in view.array(1, np.int32)]
        self.outputs = [tensors[i] for i in view.array(2, np.int32)]
        self.options = view.union(4) or View(Table(bytearray(8), 4))


class Model:
    """The first subgraph: tensors, inputs, and operators in the order of execution."""

    def __init__(self, data):
        data = bytearray(data)
        if len(data) < 8 or data[4:8] != b"TFL3":
            raise Failure("not a TensorFlow Lite file: the mark TFL3 is missing at byte 4")
        try:
            root = View(Table(data, encode.Get(packer.uoffset, data, 0)))
            buffers = root.children(4)
            graph = root.children(2)[0]
            self.tensors = [Tensor(view, buffers) for view in graph.children(0)]
            self.inputs = [self.tensors[i] for i in graph.array(1, np.int32)]
            self.outputs = [self.tensors[i] for i in graph.array(2, np.int32)]
            self.operators = [Operator(view, root.children(1), self.tensors) for view in graph.children(3)]
        except (IndexError, ValueError, OverflowError, UnicodeDecodeError) as error:
            raise Failure(f"damaged TensorFlow Lite file: {error}") from error
        except Exception as error:
            if type(error).__module__ == "struct":
                raise Failure(f"damaged TensorFlow Lite file: {error}") from error
            raise
