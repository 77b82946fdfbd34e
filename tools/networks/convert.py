#!/usr/bin/env python3
"""Published networks to ONNX files for eddh_import_backbone. Needs Debian's python3-numpy, -scipy, -onnx, -protobuf and -flatbuffers."""
import argparse
import sys

import onnx_file


def read(path):
    with open(path, "rb") as file:
        return file.read()


def cnn_f(arguments):
    import cnn_f as network
    data = read(arguments.input)
    if arguments.input.endswith(".mat"):
        layers, mean = network.from_matconvnet(data, arguments.classifier)
    else:
        layers, mean = network.from_caffe(data, arguments.classifier), None
    if arguments.mean:
        mean = network.caffe_mean(read(arguments.mean))
    network.write(arguments.output, layers, network.mean_of(mean, arguments.pixel_mean), arguments.classifier, arguments.crop, arguments.half,
                  arguments.source or "CNN-F, Chatfield et al. 2014, University of Oxford")


def tflite(arguments):
    import tflite_to_onnx
    data = read(arguments.input)
    if arguments.bytes:
        first, end = (int(n) for n in arguments.bytes.split(":"))
        data = data[first:end]
    tflite_to_onnx.convert(data, arguments.output, arguments.tensor, arguments.size, arguments.mean, arguments.std, arguments.half,
                           {"eddh.source": arguments.source} if arguments.source else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for name, function, help_text in (("cnn-f", cnn_f, "imagenet-vgg-f.mat or VGG_CNN_F.caffemodel"), ("tflite", tflite, "TensorFlow Lite")):
        kind = kinds.add_parser(name, help=help_text)
        kind.set_defaults(function=function)
        kind.add_argument("input")
        kind.add_argument("output")
        kind.add_argument("--half", action="store_true", help="store weights as float16")
        kind.add_argument("--source", help="origin and licence, for the file's metadata")
        if name == "cnn-f":
            kind.add_argument("--mean", help="VGG_mean.mat, which the Caffe file comes with")
            kind.add_argument("--pixel-mean", action="store_true", help="one mean colour instead of the mean picture")
            kind.add_argument("--classifier", action="store_true", help="keep fc8 and softmax (eddh cuts them off)")
            kind.add_argument("--crop", action="store_true", help="short side to 256 and the centre, instead of squashing")
        else:
            kind.add_argument("--tensor", help="where the features are; a map is averaged (default: the file's output)")
            kind.add_argument("--size", type=int, help="side of the picture, if not the file's")
            kind.add_argument("--mean", type=float)
            kind.add_argument("--std", type=float)
            kind.add_argument("--bytes", help="FIRST:END, the network's place in the file")
    arguments = parser.parse_args()
    try:
        arguments.function(arguments)
    except (onnx_file.Failure, OSError) as failure:
        sys.exit(f"convert.py: {failure}")


if __name__ == "__main__":
    main()
