"""Reading Caffe's weight files (caffe.proto): names and blobs of layers, in all three generations of the format."""
import warnings

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from onnx_file import Failure

# Message: field: (number, type, repeated). What is left out is skipped by the parser. Blobs stay bytes until they are wanted, and their packed numbers
# bytes too: lists of 60 million Python floats would need gigabytes.
MESSAGES = {
    "Shape": {"dim": (1, "INT64", True)},
    "Blob": {"num": (1, "INT32", False), "channels": (2, "INT32", False), "height": (3, "INT32", False), "width": (4, "INT32", False),
             "data": (5, "BYTES", True), "shape": (7, "Shape", False), "double_data": (8, "BYTES", True)},
    "UnpackedBlob": {"data": (5, "FLOAT", True), "double_data": (8, "DOUBLE", True)},
    "OldestLayer": {"name": (1, "STRING", False), "type": (2, "STRING", False), "blobs": (50, "BYTES", True)},
    "OldLayer": {"layer": (1, "OldestLayer", False), "name": (4, "STRING", False), "type": (5, "INT32", False), "blobs": (6, "BYTES", True)},
    "Layer": {"name": (1, "STRING", False), "type": (2, "STRING", False), "blobs": (7, "BYTES", True)},
    "Net": {"name": (1, "STRING", False), "layers": (2, "OldLayer", True), "layer": (100, "Layer", True)},
}


def message_classes():
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="caffe_weights.proto", package="caffe_weights", syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for key, (number, kind, repeated) in fields.items():
            entry = message.field.add(name=key, number=number, label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL)
            if kind in MESSAGES:
                entry.type, entry.type_name = field.TYPE_MESSAGE, ".caffe_weights." + kind
            else:
                entry.type = getattr(field, "TYPE_" + kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName("caffe_weights." + name)) for name in MESSAGES}


CLASSES = message_classes()


def parse(kind, data):
    message = CLASSES[kind]()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            message.ParseFromString(data)
        if caught:  # a group's end without its beginning is only a warning
            raise DecodeError(str(caught[0].message))
    except DecodeError as error:
        raise Failure(f"not a Caffe weight file, or a damaged one: {error}") from error
    return message


def blob_array(data, what):
    blob = parse("Blob", data)
    # Packed numbers are one piece of bytes; a writer may also repeat the field, once a number.
    numbers = np.frombuffer(b"".join(blob.data), "<f4") if blob.data else np.frombuffer(b"".join(blob.double_data), "<f8")
    if numbers.size == 0:
        plain = parse("UnpackedBlob", data)
        numbers = np.array(plain.data or plain.double_data)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    if numbers.size != np.prod(shape, dtype=np.int64):
        raise Failure(f"{what} of shape {shape} has {numbers.size} numbers")
    return numbers.reshape(shape).astype(np.float32)


def read(data):
    """{layer: [arrays]} of the layers that have blobs, as (outputs, channels, height, width) row by row."""
    net = parse("Net", data)
    layers = list(net.layer)
    for old in net.layers:
        layers.append(old.layer if old.HasField("layer") else old)
    found = {layer.name: [blob_array(blob, f"layer {layer.name}") for blob in layer.blobs] for layer in layers if layer.blobs}
    if not found:
        raise Failure("the file holds no layer with weights: is it a Caffe weight file?")
    return found
