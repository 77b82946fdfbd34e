"""
CNN-F (Chatfield et al. 2014) from its two published files to ONNX, up to relu7, called features. Both become the same: RGB, channel first, the mean
picture subtracted by the first node, so that eddh.mean is 0.
"""
import numpy as np

import caffe
import matconvnet
from onnx_file import Failure, Network

SIDE = 224
# outputs, inputs, kernel, stride, pad
CONVOLUTIONS = {"conv1": (64, 3, 11, 4, 0), "conv2": (256, 64, 5, 1, 2), "conv3": (256, 256, 3, 1, 1), "conv4": (256, 256, 3, 1, 1),
                "conv5": (256, 256, 3, 1, 1)}
DENSE = {"fc6": (4096, 256 * 6 * 6), "fc7": (4096, 4096), "fc8": (1000, 4096)}


def checked(layers, classifier):
    """Shapes as this network has them, whatever shape the file gives the same numbers."""
    out = {}
    wanted = {name: (k, c, size, size) for name, (k, c, size, _, _) in CONVOLUTIONS.items()}
    wanted.update(DENSE)
    for name, shape in wanted.items():
        if name == "fc8" and not classifier:
            continue
        if name not in layers:
            raise Failure(f"layer {name} is missing: is it CNN-F?")
        blobs = layers[name]
        if len(blobs) != 2 or blobs[0].size != np.prod(shape) or blobs[1].size != shape[0]:
            raise Failure(f"layer {name} has weights of {[b.shape for b in blobs]}; CNN-F has {shape} and {shape[0]}")
        out[name] = (blobs[0].reshape(shape), blobs[1].reshape(-1))
    return out


def from_caffe(data, classifier=False):
    """RGB weights of a Caffe file, which has BGR: the first layer's inputs are turned round."""
    layers = checked(caffe.read(data), classifier)
    weight, bias = layers["conv1"]
    layers["conv1"] = (weight[:, ::-1], bias)
    return layers


def from_matconvnet(data, classifier=False):
    """RGB weights and the mean picture. fc6 is a convolution there: its (channel, y, x) order is ours already."""
    layers, mean = matconvnet.read(data)
    return checked(layers, classifier), mean


def caffe_mean(data):
    """RGB mean picture of VGG_mean.mat, which has BGR."""
    mean = matconvnet.read_mat(data).get("image_mean")
    if mean is None:
        raise Failure("the file of the mean has no variable image_mean")
    return np.asarray(mean, np.float32)[:, :, ::-1]


def mean_of(mean, pixel):
    """C x H x W picture, or C x 1 x 1 with `pixel` or where there is no more."""
    if mean is None:
        mean = np.float32([[[123.68, 116.779, 103.939]]])
    if mean.ndim != 3 or mean.shape[2] != 3:
        raise Failure(f"mean picture of shape {mean.shape}")
    mean = mean.transpose(2, 0, 1)
    if mean.shape[1:] == (1, 1) or pixel:
        return mean.mean((1, 2), keepdims=True)
    if mean.shape[1:] != (SIDE, SIDE):
        raise Failure(f"mean picture of {mean.shape[1]} x {mean.shape[2]}, the network takes {SIDE} x {SIDE}")
    return mean


def write(path, layers, mean, classifier=False, crop=False, half=False, source="CNN-F"):
    network = Network(SIDE, half)
    metadata = {"eddh.channels": "RGB", "eddh.std": "1 1 1", "eddh.resize": "crop" if crop else "squash", "eddh.source": source}
    if crop:
        metadata["eddh.resize_short"] = 256
    tensor = "image"
    if mean.shape[1:] == (1, 1):
        metadata["eddh.mean"] = " ".join(f"{v:.9g}" for v in mean.ravel())
    else:
        metadata["eddh.mean"] = "0 0 0"
        tensor = network.add("Add", ["image", network.constant("mean", -mean[None])], "centred", (3, SIDE, SIDE))
    for i, (name, (_, _, _, stride, pad)) in enumerate(CONVOLUTIONS.items(), 1):
        tensor = network.conv(tensor, name, *layers[name], (stride, stride), [pad] * 4)
        tensor = network.elementwise("Relu", tensor, f"relu{i}")
        if i <= 2:
            # ONNX divides alpha by the size; the paper's 1e-4 is before that.
            tensor = network.elementwise("LRN", tensor, f"norm{i}", size=5, alpha=5e-4, beta=0.75, bias=2.0)
        if i in (1, 2, 5):
            channels, side, _ = network.shape[tensor]
            side = -(-(side - 3) // 2) + 1  # Caffe's windows may reach over the edge: 54 becomes 27
            tensor = network.add("MaxPool", [tensor], f"pool{i}", (channels, side, side), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    tensor = network.flatten(tensor, "flat")
    for i in (6, 7):
        tensor = network.dense(tensor, f"fc{i}", *layers[f"fc{i}"])
        # A network that ends in "features" is imported whole; any other ends, unless told otherwise, where its last dense layer begins.
        tensor = network.elementwise("Relu", tensor, "features" if i == 7 and not classifier else f"relu{i}")
    if classifier:
        tensor = network.elementwise("Softmax", network.dense(tensor, "fc8", *layers["fc8"]), "prob", axis=1)
    network.save(path, tensor, metadata)
