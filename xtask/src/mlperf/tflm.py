#!/usr/bin/env python3
"""Inputs for an int8 network and what TensorFlow Lite Micro answers to them, as files of bytes.

    pip install tflite_micro numpy
    tflm.py MODEL.tflite INPUTS OUTPUTS --random COUNT
    tflm.py MODEL.tflite INPUTS OUTPUTS --cifar10 RECORDS LABELS

Random inputs are uniform over all values, from a fixed seed. CIFAR-10's records (plain or gzip) become pictures of
32 x 32 x 3 values, pixels less 128; their labels are written to LABELS.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from tflite_micro import runtime


def cifar10(records, labels):
    content = Path(records).read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if len(content) == 0 or len(content) % 3073:
        raise SystemExit(f"{records}: {len(content)} bytes are no records of 3073")
    content = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    content[:, 0].tofile(labels)
    planes = content[:, 1:].reshape(-1, 3, 32, 32)
    return (planes.transpose(0, 2, 3, 1).astype(np.int16) - 128).astype(np.int8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("inputs")
    parser.add_argument("outputs")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--random", type=int, metavar="COUNT")
    what.add_argument("--cifar10", nargs=2, metavar=("RECORDS", "LABELS"))
    options = parser.parse_args()

    interpreter = runtime.Interpreter.from_file(options.model)
    details = interpreter.get_input_details(0)
    shape = [int(size) for size in details["shape"]]
    if details["dtype"] != np.int8:
        raise SystemExit(f"{options.model}: the input is {details['dtype']}, not int8")
    if options.random:
        inputs = np.random.default_rng(1).integers(-128, 128, (options.random, *shape), dtype=np.int8)
    else:
        inputs = cifar10(*options.cifar10).reshape(-1, *shape)
    outputs = []
    for values in inputs:
        interpreter.set_input(values, 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).copy())
    inputs.tofile(options.inputs)
    np.stack(outputs).tofile(options.outputs)


main()
