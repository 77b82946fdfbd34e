"""Reading MatConvNet's networks: MAT files up to version 7.2; fields are found by name, because their order differs between releases."""
import io

import numpy as np
import scipy.io

from onnx_file import Failure

HDF5 = b"\x89HDF\r\n\x1a\n"


def read_mat(data):
    """{variable: value}; structs are {field: value}, cells lists, text str, numbers arrays."""
    if data[:8] == HDF5 or data[512:520] == HDF5:
        raise Failure("the file is a MAT file of version 7.3 (HDF5); save it again in MATLAB or Octave with the option -v7")
    try:
        loaded = scipy.io.loadmat(io.BytesIO(data), struct_as_record=True, squeeze_me=False)
    except Exception as error:  # whatever scipy stumbles over
        raise Failure(f"not a MAT file, or a damaged one: {error}") from error
    return {name: plain(value) for name, value in loaded.items() if not name.startswith("__")}


def plain(value):
    if isinstance(value, np.void):
        return {name: plain(value[name]) for name in value.dtype.names}
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names:
        return plain(value.flat[0]) if value.size == 1 else [plain(entry) for entry in value.flat]
    if value.dtype == object:
        return [plain(entry) for entry in value.flat]
    if value.dtype.kind == "U":
        return str(value.flat[0]) if value.size else ""
    return value


def layer_weights(layer):
    """Filters (outputs, channels, height, width) and biases: of the cell `weights`, or of two fields of their own."""
    if "weights" in layer and len(layer["weights"]) == 2:
        filters, biases = layer["weights"]
    elif "filters" in layer and "biases" in layer:
        filters, biases = layer["filters"], layer["biases"]
    else:
        raise Failure(f"layer {layer.get('name')} has neither weights nor filters and biases")
    filters = np.asarray(filters, np.float32)
    filters = filters.reshape(filters.shape + (1,) * (4 - filters.ndim))  # trailing sides of 1 are not stored
    return [filters.transpose(3, 2, 0, 1), np.asarray(biases, np.float32).reshape(-1)]


def read(data):
    """({layer: [filters, biases]}, average image as height x width x RGB or None)."""
    variables = read_mat(data)
    layers = variables.get("layers")
    if not isinstance(layers, list):
        raise Failure("the file has no variable `layers`: is it a network of MatConvNet?")
    found = {}
    for layer in layers:
        if isinstance(layer, dict) and layer.get("type") == "conv":
            found[layer.get("name")] = layer_weights(layer)
        elif isinstance(layer, dict) and layer.get("type") in ("lrn", "normalize"):
            param = np.ravel(layer["param"]).astype(float)
            if not np.allclose(param, [5, 2, 1e-4, 0.75]):
                raise Failure(f"layer {layer.get('name')} normalises with {param.tolist()}, not as CNN-F does")
        elif isinstance(layer, dict) and layer.get("type") == "bnorm":
            raise Failure("the network has batch normalisation: it is another one than CNN-F")
    meta = variables.get("meta") or variables
    normalization = meta.get("normalization") or {}
    mean = normalization.get("averageImage")
    return found, None if mean is None or np.size(mean) == 0 else np.asarray(mean, np.float32)
