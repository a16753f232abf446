#!/usr/bin/env python3
"""Writes the golden vectors: what TensorFlow Lite Micro computes, for the tests to compare with.

Each vector is a model of one operator, run by TensorFlow Lite Micro's own interpreter on this machine.

    python3 -m venv venv && venv/bin/pip install tflite_micro flatbuffers numpy
    venv/bin/python tests/golden/make.py

Values are drawn with a fixed seed, so the files change only where the interpreter's results do.

The format of the files, one per operator:

    # a comment, to the end of the line
    case <name>             begins a record; everything up to the next `case` belongs to it
    <key> <value> ...       a field: one or more numbers, separated by spaces

Numbers are decimal; an f32 is printed with the digits that bring back its exact bits. Fields that several files share:

    input_shape, output_shape   height, width, channels
    input, output               int8 or int16 values in the order row, column, channel
    input_scale, input_zero_point, output_scale, output_zero_point
    window, stride, dilation    vertical, horizontal
    padding                     rows and columns at the top, left, bottom and right
    filter_shape                output channels, height, width, input channels; depthwise: height, width, output channels
    weights                     int8 values, ordered as filter_shape says
    weight_scales               one for each output channel
    bias                        int32, one for each output channel
    second, second_shape, second_scale, second_zero_point
                                the second input of an operator that has two
    before, after               rows, columns and channels of padding
    begin, end                  rows, columns and channels of a slice, as STRIDED_SLICE has them
    axis                        0 rows, 1 columns, 2 channels
    bits, input_bits, output_bits
                                8 or 16: the type of integers; 32: f32
    activation                  0 for none fused into the operator, 1 for ReLU; ReLU6 is 2 in the files of depthwise
                                convolution and 3 in those of operators with two inputs
    relu                        1 where a ReLU is fused into the operator, 3 for a ReLU6, otherwise 0
    groups                      of the input channels and the filters
    bias_bits                   32 or 64: the type of the bias
    dense                       1 where the operator is FULLY_CONNECTED, 0 where it is CONV_2D
"""

from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.compression import model_editor as editor
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

HERE = Path(__file__).parent
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
EXTREMES = np.array([-128, -127, -1, 0, 1, 126, 127], np.int8)


def f32(value):
    return float(np.float32(value))


def tensor(shape, scale, zero_point, data=None, dtype=schema.TensorType.INT8, axis=None):
    scales = [f32(s) for s in np.atleast_1d(scale)]
    quantization = editor.Quantization(scales=scales, zero_points=[int(zero_point)] * len(scales), axis=axis)
    return editor.Tensor(shape=tuple(shape), dtype=dtype, data=data, quantization=quantization)


def run(operator, options_type, options, inputs, output, values, source=0):
    """Runs one operator; `inputs[source]` is the model's input, the others are constants."""
    node = editor.Operator(opcode=operator, inputs=inputs, outputs=[output])
    node._fb.builtinOptionsType = options_type
    node._fb.builtinOptions = options
    graph = editor.Subgraph(tensors=[*inputs, output], operators=[node], inputs=[inputs[source]], outputs=[output])
    model = bytes(editor.Model(subgraphs=[graph]).build())
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
    interpreter.set_input(values.reshape(inputs[source].shape), 0)
    interpreter.invoke()
    return interpreter.get_output(0)


def text(value):
    if isinstance(value, (float, np.floating)):
        return repr(float(np.float32(value))) if value == int(value) else str(np.float32(value))
    return str(int(value))


def write(name, cases):
    lines = ["# Written by make.py from TensorFlow Lite Micro's results; do not edit."]
    for title, fields in cases:
        lines += ["", f"case {title}"]
        for key, value in fields.items():
            flat = np.asarray(value).ravel() if not isinstance(value, float) else [value]
            lines.append(" ".join([key, *(text(v) for v in flat)]))
    (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")


def some_int8(random, shape, extremes=0.2):
    """Random int8 values, a part of them extreme."""
    values = random.integers(-128, 128, shape, dtype=np.int8)
    chosen = random.random(shape) < extremes
    return np.where(chosen, random.choice(EXTREMES, shape), values).astype(np.int8)


def along(size, window, stride, dilation, padding):
    """Output size, and padding before and after, as TensorFlow has them."""
    extent = (window - 1) * dilation + 1
    if padding == VALID:
        return (size - extent) // stride + 1, 0, 0
    out = -(-size // stride)
    total = max((out - 1) * stride + extent - size, 0)
    return out, total // 2, total - total // 2


def geometry(shape, window, stride, dilation, padding):
    rows = along(shape[0], window[0], stride[0], dilation[0], padding)
    columns = along(shape[1], window[1], stride[1], dilation[1], padding)
    return [rows[0], columns[0]], [rows[1], columns[1], rows[2], columns[2]]


def softmax(random):
    cases = []
    for scale, beta, channels in [
        (0.1, 1.0, 10), (0.0039215689, 1.0, 10), (1.0, 1.0, 10), (0.25, 0.5, 33), (0.017, 3.0, 7),
        (1e-4, 1.0, 5), (40.0, 1.0, 4), (0.5, 1.0, 1), (0.05, 1.0, 2), (0.08, 1.0, 300), (1e-7, 1.0, 3),
    ]:
        pixels = 6 if channels < 100 else 2
        values = some_int8(random, (pixels, channels))
        values[0, :] = 127
        values[1, :] = np.linspace(-128, 127, channels).astype(np.int8)
        source = tensor((1, 1, pixels, channels), scale, 3)
        target = tensor((1, 1, pixels, channels), 1 / 256, -128)
        options = schema.SoftmaxOptionsT(beta=beta)
        kind = schema.BuiltinOperator.SOFTMAX, schema.BuiltinOptions.SoftmaxOptions
        out = run(*kind, options, [source], target, values)
        cases.append((f"scale {scale} beta {beta} channels {channels}", {
            "input_scale": np.float32(scale), "beta": np.float32(beta), "channels": channels,
            "input": values, "output": out,
        }))
    write("softmax", cases)


def leaky_relu(random):
    cases = []
    values = np.arange(-128, 128).astype(np.int8)
    for slope, in_scale, in_zero, out_scale, out_zero in [
        (0.1, 0.05, 0, 0.05, 0), (0.1, 0.05, 10, 0.03, -90), (0.01, 0.1, -128, 0.2, -128), (0.3, 0.07, 127, 0.01, 5),
        (-0.5, 0.02, -7, 0.011, -30), (1.5, 0.02, 3, 0.05, 64), (0.0, 0.04, -20, 0.02, -128),
        (-0.390625, 0.03, 0, 0.015625, 0),  # scale * slope / scale is -0.75 in f32, not in f64
        (0.5, 0.00137, 0, 0.0018266666, 0),  # scale / scale is 0.75 in f32, less in f64
    ]:
        source = tensor((1, 256), in_scale, in_zero)
        target = tensor((1, 256), out_scale, out_zero)
        kind = schema.BuiltinOperator.LEAKY_RELU, schema.BuiltinOptions.LeakyReluOptions
        out = run(*kind, schema.LeakyReluOptionsT(alpha=slope), [source], target, values)
        cases.append((f"slope {slope} from {in_scale} {in_zero} to {out_scale} {out_zero}", {
            "slope": np.float32(slope), "input_scale": np.float32(in_scale), "input_zero_point": in_zero,
            "output_scale": np.float32(out_scale), "output_zero_point": out_zero, "input": values, "output": out,
        }))
    write("leaky_relu", cases)


def pool(random, name, operator):
    cases = []
    for shape, window, stride, padding in [
        ((4, 4, 3), (2, 2), (2, 2), VALID), ((5, 7, 4), (3, 3), (2, 2), SAME), ((6, 5, 5), (3, 2), (1, 2), SAME),
        ((7, 7, 9), (7, 7), (1, 1), VALID), ((5, 5, 1), (4, 4), (1, 1), SAME), ((3, 8, 34), (2, 5), (1, 3), SAME),
        ((1, 9, 6), (1, 4), (1, 4), SAME), ((18, 18, 2), (17, 18), (1, 1), VALID),
    ]:
        values = some_int8(random, shape)
        out_size, pads = geometry(shape, window, stride, (1, 1), padding)
        source = tensor((1, *shape), 0.1, -5)
        target = tensor((1, *out_size, shape[2]), 0.1, -5)
        options = schema.Pool2DOptionsT(padding=padding, strideH=stride[0], strideW=stride[1],
                                        filterHeight=window[0], filterWidth=window[1])
        out = run(operator, schema.BuiltinOptions.Pool2DOptions, options, [source], target, values)
        assert out.shape == (1, *out_size, shape[2])
        cases.append((f"{shape} window {window} stride {stride} padding {pads}", {
            "input_shape": shape, "window": window, "stride": stride, "padding": pads,
            "output_shape": out.shape[1:], "input": values, "output": out,
        }))
    write(name, cases)


def pool_int16(random, name, operator):
    cases = []
    for shape, window, stride, padding in [
        ((4, 4, 3), (2, 2), (2, 2), VALID), ((5, 7, 4), (3, 3), (2, 2), SAME), ((6, 5, 5), (3, 2), (1, 2), SAME),
        ((7, 7, 9), (7, 7), (1, 1), VALID), ((3, 8, 18), (2, 5), (1, 3), SAME), ((1, 9, 6), (1, 4), (1, 4), SAME),
    ]:
        values = some_int16(random, shape)
        out_size, pads = geometry(shape, window, stride, (1, 1), padding)
        source = tensor((1, *shape), 0.001, 0, dtype=schema.TensorType.INT16)
        target = tensor((1, *out_size, shape[2]), 0.001, 0, dtype=schema.TensorType.INT16)
        options = schema.Pool2DOptionsT(padding=padding, strideH=stride[0], strideW=stride[1],
                                        filterHeight=window[0], filterWidth=window[1])
        out = run(operator, schema.BuiltinOptions.Pool2DOptions, options, [source], target, values)
        assert out.shape == (1, *out_size, shape[2])
        cases.append((f"{shape} window {window} stride {stride} padding {pads}", {
            "input_shape": shape, "window": window, "stride": stride, "padding": pads,
            "output_shape": out.shape[1:], "input": values, "output": out,
        }))
    write(name, cases)


def mean(random, name, dtype, some):
    """The mean over height and width."""
    cases = []
    signed8 = dtype == schema.TensorType.INT8
    for shape, in_scale, in_zero, out_scale, out_zero in [
        ((2, 2, 5), 0.1, -5, 0.1, -5), ((3, 3, 17), 0.1, 0, 0.1, 0), ((7, 7, 9), 0.05, -128, 0.02, -128),
        ((4, 5, 4), 0.05, 12, 0.11, -30), ((1, 1, 33), 0.05, 12, 0.049, 20), ((8, 8, 3), 0.02, 127, 0.02, -128),
        ((5, 1, 8), 0.5, -7, 0.0625, 3), ((25, 5, 2), 0.02, -128, 0.01, -128), ((16, 17, 2), 1e-6, 4, 40.0, 9),
        ((2, 3, 12), 1.0, 1, 0.003, -4),
    ]:
        if not signed8:
            in_zero = out_zero = 0
        values = some(random, shape)
        values[:, :, 0] = np.iinfo(values.dtype).min
        values[:, :, -1] = np.iinfo(values.dtype).max
        source = tensor((1, *shape), in_scale, in_zero, dtype=dtype)
        axis = editor.Tensor(shape=(2,), dtype=schema.TensorType.INT32, data=np.array([1, 2], np.int32))
        target = tensor((1, 1, 1, shape[2]), out_scale, out_zero, dtype=dtype)
        kind = schema.BuiltinOperator.MEAN, schema.BuiltinOptions.ReducerOptions
        out = run(*kind, schema.ReducerOptionsT(keepDims=True), [source, axis], target, values)
        cases.append((f"{shape} from {in_scale} {in_zero} to {out_scale} {out_zero}", {
            "input_shape": shape, "input_scale": np.float32(in_scale), "input_zero_point": in_zero,
            "output_scale": np.float32(out_scale), "output_zero_point": out_zero, "input": values, "output": out,
        }))
    write(name, cases)


def conv2d(random):
    cases = []
    for shape, filters, filter_size, stride, dilation, padding, relu, per_channel in [
        ((5, 5, 1), 3, (3, 3), (1, 1), (1, 1), VALID, 0, True), ((6, 7, 3), 5, (3, 3), (2, 2), (1, 1), SAME, 1, True),
        ((8, 6, 4), 4, (3, 2), (1, 1), (2, 2), SAME, 0, True), ((4, 4, 8), 6, (1, 1), (1, 1), (1, 1), VALID, 1, True),
        ((9, 9, 2), 7, (5, 5), (2, 1), (1, 1), SAME, 0, True), ((7, 8, 5), 2, (2, 3), (1, 1), (3, 2), VALID, 1, True),
        ((5, 5, 6), 9, (4, 4), (3, 3), (1, 1), SAME, 0, False),
    ]:
        values = some_int8(random, shape)
        weights = np.maximum(some_int8(random, (filters, *filter_size, shape[2])), -127)
        in_scale, in_zero = f32(0.05), int(random.integers(-128, 128))
        scales = random.uniform(0.001, 0.02, filters).astype(np.float32) if per_channel else np.full(filters, 0.01, np.float32)
        taps = filter_size[0] * filter_size[1] * shape[2]
        bias = random.integers(-2000 * 8, 2000 * 8, filters, dtype=np.int32)
        out_scale = f32(in_scale * 0.01 * 74 * 74 * np.sqrt(taps) / 50)
        out_zero = -128 if relu else int(random.integers(-40, 40))
        out_size, pads = geometry(shape, filter_size, stride, dilation, padding)
        source = tensor((1, *shape), in_scale, in_zero)
        kernel = tensor(weights.shape, scales, 0, weights, axis=0)
        biases = tensor((filters,), scales * np.float32(in_scale), 0, bias, schema.TensorType.INT32, axis=0)
        target = tensor((1, *out_size, filters), out_scale, out_zero)
        options = schema.Conv2DOptionsT(padding=padding, strideH=stride[0], strideW=stride[1], fusedActivationFunction=relu,
                                        dilationHFactor=dilation[0], dilationWFactor=dilation[1])
        kind = schema.BuiltinOperator.CONV_2D, schema.BuiltinOptions.Conv2DOptions
        out = run(*kind, options, [source, kernel, biases], target, values)
        assert out.shape == (1, *out_size, filters)
        cases.append((f"{shape} to {filters}, filter {filter_size} stride {stride} dilation {dilation} padding {pads}", {
            "input_shape": shape, "filter_shape": weights.shape, "stride": stride, "dilation": dilation,
            "padding": pads, "output_shape": out.shape[1:], "input_scale": np.float32(in_scale),
            "input_zero_point": in_zero, "weight_scales": scales, "output_scale": np.float32(out_scale),
            "output_zero_point": out_zero, "relu": relu, "weights": weights, "bias": bias,
            "input": values, "output": out,
        }))
    write("conv2d", cases)


def depthwise_conv2d(random):
    cases = []
    relu, relu6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6
    for shape, multiplier, filter_size, stride, dilation, padding, activation in [
        ((5, 5, 4), 1, (3, 3), (1, 1), (1, 1), SAME, 0), ((6, 7, 8), 1, (3, 3), (2, 2), (1, 1), SAME, relu6),
        ((8, 6, 3), 2, (3, 2), (1, 1), (2, 2), SAME, 0), ((9, 5, 1), 8, (5, 4), (2, 2), (1, 1), SAME, relu),
        ((7, 7, 5), 1, (7, 7), (1, 1), (1, 1), VALID, 0), ((6, 9, 2), 3, (1, 5), (1, 3), (1, 1), VALID, relu6),
        ((4, 4, 18), 1, (3, 3), (1, 1), (1, 1), SAME, relu),
    ]:
        values = some_int8(random, shape)
        channels = shape[2] * multiplier
        weights = np.maximum(some_int8(random, (*filter_size, channels)), -127)
        in_scale, in_zero = f32(0.05), int(random.integers(-128, 128))
        scales = random.uniform(0.001, 0.02, channels).astype(np.float32)
        taps = filter_size[0] * filter_size[1]
        bias = random.integers(-2000 * 4, 2000 * 4, channels, dtype=np.int32)
        out_scale = f32(in_scale * 0.01 * 74 * 74 * np.sqrt(taps) / 50)
        out_zero = -128 if activation else int(random.integers(-40, 40))
        out_size, pads = geometry(shape, filter_size, stride, dilation, padding)
        source = tensor((1, *shape), in_scale, in_zero)
        kernel = tensor((1, *weights.shape), scales, 0, weights[None], axis=3)
        biases = tensor((channels,), scales * np.float32(in_scale), 0, bias, schema.TensorType.INT32, axis=0)
        target = tensor((1, *out_size, channels), out_scale, out_zero)
        options = schema.DepthwiseConv2DOptionsT(
            padding=padding, strideH=stride[0], strideW=stride[1], depthMultiplier=multiplier,
            fusedActivationFunction=activation, dilationHFactor=dilation[0], dilationWFactor=dilation[1])
        kind = schema.BuiltinOperator.DEPTHWISE_CONV_2D, schema.BuiltinOptions.DepthwiseConv2DOptions
        out = run(*kind, options, [source, kernel, biases], target, values)
        assert out.shape == (1, *out_size, channels)
        cases.append((
            f"{shape} times {multiplier}, filter {filter_size} stride {stride} dilation {dilation} padding {pads}", {
                "input_shape": shape, "filter_shape": weights.shape, "stride": stride, "dilation": dilation,
                "padding": pads, "output_shape": out.shape[1:], "input_scale": np.float32(in_scale),
                "input_zero_point": in_zero, "weight_scales": scales, "output_scale": np.float32(out_scale),
                "output_zero_point": out_zero, "activation": {0: 0, relu: 1, relu6: 2}[activation],
                "weights": weights, "bias": bias, "input": values, "output": out,
            }))
    write("depthwise_conv2d", cases)
def grouped(random):
    """Convolutions whose filters see a group of the input channels each."""
    cases = []
    for shape, filters, filter_size, groups, stride, padding in [
        ((5, 5, 4), 6, (3, 3), 2, (1, 1), SAME), ((4, 6, 6), 3, (1, 1), 3, (1, 1), VALID),
        ((6, 5, 3), 9, (2, 3), 3, (2, 1), SAME), ((3, 3, 12), 8, (3, 3), 4, (1, 1), VALID),
    ]:
        values = some_int8(random, shape)
        weights = np.maximum(some_int8(random, (filters, *filter_size, shape[2] // groups)), -127)
        in_scale, in_zero, scales = f32(0.05), int(random.integers(-128, 128)), random.uniform(0.001, 0.02, filters).astype(np.float32)
        bias = random.integers(-2000 * 8, 2000 * 8, filters, dtype=np.int32)
        out_scale = f32(in_scale * 0.01 * 74 * 74 * np.sqrt(weights[0].size) / 50)
        out_size, pads = geometry(shape, filter_size, stride, (1, 1), padding)
        source, target = tensor((1, *shape), in_scale, in_zero), tensor((1, *out_size, filters), out_scale, 9)
        kernel = tensor(weights.shape, scales, 0, weights, axis=0)
        biases = tensor((filters,), scales * np.float32(in_scale), 0, bias, schema.TensorType.INT32, axis=0)
        options = schema.Conv2DOptionsT(padding=padding, strideH=stride[0], strideW=stride[1], dilationHFactor=1, dilationWFactor=1)
        kind = schema.BuiltinOperator.CONV_2D, schema.BuiltinOptions.Conv2DOptions
        out = run(*kind, options, [source, kernel, biases], target, values)
        cases.append((f"{shape} to {filters} in {groups} groups, filter {filter_size} stride {stride} padding {pads}", {
            "input_shape": shape, "filter_shape": weights.shape, "groups": groups, "stride": stride, "dilation": (1, 1),
            "padding": pads, "output_shape": out.shape[1:], "input_scale": np.float32(in_scale),
            "input_zero_point": in_zero, "weight_scales": scales, "output_scale": np.float32(out_scale),
            "output_zero_point": 9, "relu": 0, "weights": weights, "bias": bias, "input": values, "output": out,
        }))
    write("conv2d_groups", cases)


def some_int16(random, shape, extremes=0.2):
    """Random int16 values, a part of them extreme."""
    values = random.integers(-32768, 32768, shape, dtype=np.int16)
    chosen = random.random(shape) < extremes
    return np.where(chosen, random.choice(np.array([-32768, -32767, -1, 0, 1, 32767], np.int16), shape), values).astype(np.int16)


def conv2d_int16(random):
    """int16 activations with int8 weights. The type of the bias decides the arithmetic: 32 bits have two roundings,
    64 bits one, with a multiplier of 16 bits."""
    cases = []
    for shape, filters, filter_size, stride, dilation, padding, relu, bits in [
        ((5, 5, 1), 3, (3, 3), (1, 1), (1, 1), VALID, 0, 64), ((6, 7, 3), 5, (3, 3), (2, 2), (1, 1), SAME, 1, 64),
        ((8, 6, 4), 4, (3, 2), (1, 1), (2, 2), SAME, 3, 64), ((4, 4, 8), 6, (1, 1), (1, 1), (1, 1), VALID, 0, 64),
        ((5, 5, 1), 3, (3, 3), (1, 1), (1, 1), VALID, 0, 32), ((6, 7, 3), 5, (3, 3), (2, 2), (1, 1), SAME, 1, 32),
        ((4, 4, 8), 6, (1, 1), (1, 1), (1, 1), VALID, 3, 32), ((1, 9, 17), 2, (1, 3), (1, 1), (1, 1), SAME, 0, 64),
    ]:
        values = some_int16(random, shape)
        weights = np.maximum(some_int8(random, (filters, *filter_size, shape[2])), -127)
        in_scale = f32(0.0005)
        scales = random.uniform(0.001, 0.02, filters).astype(np.float32)
        taps = filter_size[0] * filter_size[1] * shape[2]
        bias = random.integers(-1 << 22, 1 << 22, filters).astype(np.int64 if bits == 64 else np.int32)
        # Six is inside the output's range, and so is what lies beyond it.
        out_scale = f32(0.0003) if relu == 3 else f32(in_scale * 0.01 * 74 * 19000 * np.sqrt(taps) / 12000)
        out_size, pads = geometry(shape, filter_size, stride, dilation, padding)
        kinds = schema.TensorType
        source = tensor((1, *shape), in_scale, 0, dtype=kinds.INT16)
        kernel = tensor(weights.shape, scales, 0, weights, axis=0)
        biases = tensor((filters,), scales * np.float32(in_scale), 0, bias, kinds.INT64 if bits == 64 else kinds.INT32, axis=0)
        target = tensor((1, *out_size, filters), out_scale, 0, dtype=kinds.INT16)
        options = schema.Conv2DOptionsT(padding=padding, strideH=stride[0], strideW=stride[1], fusedActivationFunction=relu,
                                        dilationHFactor=dilation[0], dilationWFactor=dilation[1])
        kind = schema.BuiltinOperator.CONV_2D, schema.BuiltinOptions.Conv2DOptions
        out = run(*kind, options, [source, kernel, biases], target, values)
        cases.append((f"{shape} to {filters}, filter {filter_size} stride {stride} dilation {dilation} padding {pads}, bias int{bits}", {
            "input_shape": shape, "filter_shape": weights.shape, "stride": stride, "dilation": dilation,
            "padding": pads, "output_shape": out.shape[1:], "input_scale": np.float32(in_scale),
            "weight_scales": scales, "output_scale": np.float32(out_scale), "relu": relu, "bias_bits": bits,
            "weights": weights, "bias": bias, "input": values, "output": out,
        }))
    write("conv2d_int16", cases)


def dense_int16(random):
    cases = []
    for inputs, outputs, relu in [(1, 1, 0), (10, 4, 1), (33, 5, 0), (64, 8, 3), (127, 3, 0)]:
        values = some_int16(random, (inputs,))
        weights = np.maximum(some_int8(random, (outputs, inputs)), -127)
        bias = random.integers(-1 << 22, 1 << 22, outputs).astype(np.int64)
        in_scale, weight_scale = f32(0.0004), f32(0.009)
        out_scale = f32(0.0003) if relu == 3 else f32(in_scale * weight_scale * 74 * 19000 * np.sqrt(inputs) / 12000)
        kinds = schema.TensorType
        source = tensor((1, inputs), in_scale, 0, dtype=kinds.INT16)
        kernel = tensor(weights.shape, weight_scale, 0, weights)
        biases = tensor((outputs,), np.float32(in_scale) * np.float32(weight_scale), 0, bias, kinds.INT64)
        target = tensor((1, outputs), out_scale, 0, dtype=kinds.INT16)
        kind = schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOptions.FullyConnectedOptions
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=relu)
        out = run(*kind, options, [source, kernel, biases], target, values)
        cases.append((f"{inputs} to {outputs}", {
            "input_shape": [1, 1, inputs], "filter_shape": [outputs, 1, 1, inputs], "output_shape": [1, 1, outputs],
            "stride": [1, 1], "dilation": [1, 1], "padding": [0, 0, 0, 0], "input_scale": np.float32(in_scale),
            "weight_scales": np.full(outputs, weight_scale, np.float32), "output_scale": np.float32(out_scale),
            "relu": relu, "bias_bits": 64, "weights": weights, "bias": bias, "input": values, "output": out,
        }))
    write("dense_int16", cases)


def some_heavy(random, shape, low, high, dtype):
    """Numbers of a sign, so that their products pile up, but for a few."""
    values = random.integers(low, high + 1, shape)
    return np.where(random.random(shape) < 0.05, -values, values).astype(dtype)


def int16_wide(random):
    """int16 activations with int8 weights, and so many taps that sums do not fit 32 bits."""
    cases = []
    kinds = schema.TensorType
    for shape, filters, filter_size, padding, relu in [
        ((1, 1, 640), 2, (1, 1), VALID, 1), ((1, 1, 2100), 1, (1, 1), VALID, 0), ((3, 2, 130), 2, (3, 3), SAME, 0),
        ((1, 3, 300), 2, (1, 2), VALID, 1),
    ]:
        taps = filter_size[0] * filter_size[1] * shape[2]
        signs = (-1) ** np.arange(filters).reshape(-1, 1, 1, 1)
        values = some_heavy(random, shape, 30000, 32767, np.int16)
        weights = (signs * some_heavy(random, (filters, *filter_size, shape[2]), 110, 127, np.int8)).astype(np.int8)
        bias = random.integers(-1 << 30, 1 << 30, filters).astype(np.int64)
        in_scale, weight_scale = f32(0.0004), f32(0.009)
        out_scale = f32(in_scale * weight_scale * 127 * taps)
        dense = shape[:2] == (1, 1)
        out_size, pads = geometry(shape, filter_size, (1, 1), (1, 1), padding)
        source = tensor((1, shape[2]) if dense else (1, *shape), in_scale, 0, dtype=kinds.INT16)
        biases = tensor((filters,), np.float32(in_scale) * np.float32(weight_scale), 0, bias, kinds.INT64)
        target = tensor((1, filters) if dense else (1, *out_size, filters), out_scale, 0, dtype=kinds.INT16)
        if dense:
            kind = schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOptions.FullyConnectedOptions
            options = schema.FullyConnectedOptionsT(fusedActivationFunction=relu)
            kernel = tensor((filters, taps), weight_scale, 0, weights)
        else:
            kernel = tensor(weights.shape, [weight_scale] * filters, 0, weights, axis=0)
            kind = schema.BuiltinOperator.CONV_2D, schema.BuiltinOptions.Conv2DOptions
            options = schema.Conv2DOptionsT(padding=padding, strideH=1, strideW=1, fusedActivationFunction=relu,
                                            dilationHFactor=1, dilationWFactor=1)
        out = run(*kind, options, [source, kernel, biases], target, values)
        cases.append((f"{shape} to {filters}, filter {filter_size} padding {pads}", {
            "input_shape": shape, "filter_shape": weights.shape, "output_shape": [*out_size, filters],
            "stride": [1, 1], "dilation": [1, 1], "padding": pads, "dense": int(dense), "input_scale": np.float32(in_scale),
            "weight_scales": np.full(filters, weight_scale, np.float32), "output_scale": np.float32(out_scale),
            "relu": relu, "bias_bits": 64, "weights": weights, "bias": bias, "input": values, "output": out,
        }))
    write("int16_wide", cases)


def depthwise_conv2d_int16(random):
    cases = []
    relu, relu6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6
    for shape, multiplier, filter_size, stride, dilation, padding, activation in [
        ((5, 5, 4), 1, (3, 3), (1, 1), (1, 1), SAME, 0), ((6, 7, 3), 2, (3, 2), (2, 2), (1, 1), SAME, relu),
        ((7, 5, 2), 1, (2, 3), (1, 1), (2, 2), VALID, relu6),
    ]:
        values = some_int16(random, shape)
        channels = shape[2] * multiplier
        weights = np.maximum(some_int8(random, (*filter_size, channels)), -127)
        in_scale = f32(0.0005)
        scales = random.uniform(0.001, 0.02, channels).astype(np.float32)
        taps = filter_size[0] * filter_size[1]
        bias = random.integers(-1 << 20, 1 << 20, channels).astype(np.int64)
        out_scale = f32(0.0003) if activation == relu6 else f32(in_scale * 0.01 * 74 * 19000 * np.sqrt(taps) / 12000)
        out_size, pads = geometry(shape, filter_size, stride, dilation, padding)
        kinds = schema.TensorType
        source = tensor((1, *shape), in_scale, 0, dtype=kinds.INT16)
        kernel = tensor((1, *weights.shape), scales, 0, weights[None], axis=3)
        biases = tensor((channels,), scales * np.float32(in_scale), 0, bias, kinds.INT64, axis=0)
        target = tensor((1, *out_size, channels), out_scale, 0, dtype=kinds.INT16)
        options = schema.DepthwiseConv2DOptionsT(
            padding=padding, strideH=stride[0], strideW=stride[1], depthMultiplier=multiplier,
            fusedActivationFunction=activation, dilationHFactor=dilation[0], dilationWFactor=dilation[1])
        kind = schema.BuiltinOperator.DEPTHWISE_CONV_2D, schema.BuiltinOptions.DepthwiseConv2DOptions
        out = run(*kind, options, [source, kernel, biases], target, values)
        cases.append((
            f"{shape} times {multiplier}, filter {filter_size} stride {stride} dilation {dilation} padding {pads}", {
                "input_shape": shape, "filter_shape": weights.shape, "stride": stride, "dilation": dilation,
                "padding": pads, "output_shape": out.shape[1:], "input_scale": np.float32(in_scale),
                "weight_scales": scales, "output_scale": np.float32(out_scale),
                "activation": {0: 0, relu: 1, relu6: 2}[activation],
                "weights": weights, "bias": bias, "input": values, "output": out,
            }))
    write("depthwise_conv2d_int16", cases)


def dense(random):
    cases = []
    for inputs, outputs, relu in [(1, 1, 0), (10, 4, 1), (33, 5, 0), (64, 8, 1), (127, 3, 0)]:
        values = some_int8(random, (inputs,))
        weights = np.maximum(some_int8(random, (outputs, inputs)), -127)
        bias = random.integers(-20000, 20000, outputs, dtype=np.int32)
        in_scale, weight_scale, in_zero = f32(0.04), f32(0.009), int(random.integers(-128, 128))
        out_scale = f32(in_scale * weight_scale * 74 * 74 * np.sqrt(inputs) / 50)
        out_zero = -128 if relu else 7
        source = tensor((1, inputs), in_scale, in_zero)
        kernel = tensor(weights.shape, weight_scale, 0, weights)
        biases = tensor((outputs,), np.float32(in_scale) * np.float32(weight_scale), 0, bias, schema.TensorType.INT32)
        target = tensor((1, outputs), out_scale, out_zero)
        kind = schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOptions.FullyConnectedOptions
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=relu)
        out = run(*kind, options, [source, kernel, biases], target, values)
        cases.append((f"{inputs} to {outputs}", {
            "input_shape": [1, 1, inputs], "filter_shape": [outputs, 1, 1, inputs], "output_shape": [1, 1, outputs],
            "input_scale": np.float32(in_scale), "input_zero_point": in_zero,
            "weight_scales": np.full(outputs, weight_scale, np.float32), "output_scale": np.float32(out_scale),
            "output_zero_point": out_zero, "relu": relu, "weights": weights, "bias": bias,
            "input": values, "output": out,
        }))
    write("dense", cases)


def transposed_conv(random, int16=False):
    kinds = schema.TensorType
    cases = []
    for shape, filters, filter_size, stride, out_size, padding, relu in [
        ((4, 5, 3), 4, (3, 3), (2, 2), (8, 10), SAME, 0), ((3, 3, 8), 2, (2, 2), (2, 2), (6, 6), VALID, 0),
        ((3, 4, 2), 5, (4, 4), (2, 2), (6, 8), SAME, 1), ((3, 3, 4), 3, (3, 3), (2, 2), (7, 7), VALID, 0),
        ((5, 4, 6), 7, (3, 2), (1, 1), (5, 4), SAME, 0), ((2, 3, 1), 1, (5, 5), (3, 2), (6, 6), SAME, 0),
        ((3, 3, 2), 3, (3, 3), (2, 2), (8, 8), VALID, 0),
    ]:
        values = some_int16(random, shape) if int16 else some_int8(random, shape)
        weights = np.maximum(some_int8(random, (filters, *filter_size, shape[2])), -127)
        in_scale, in_zero = (f32(0.0005), 0) if int16 else (f32(0.05), int(random.integers(-128, 128)))
        scales = random.uniform(0.001, 0.02, filters).astype(np.float32)
        reach = 1 << 22 if int16 else 2000 * 8
        bias = random.integers(-reach, reach, filters).astype(np.int64 if int16 else np.int32)
        taps = filter_size[0] * filter_size[1] * shape[2] / (stride[0] * stride[1])
        out_scale = f32(in_scale * 0.01 * 74 * (19000 / 12000 if int16 else 74 / 50) * np.sqrt(taps))
        out_zero = 0 if int16 else -128 if relu else int(random.integers(-40, 40))
        dtype = kinds.INT16 if int16 else kinds.INT8
        pads, extra = [0] * 4, [0] * 2
        for axis in 0, 1:
            reach = (shape[axis] - 1) * stride[axis] + filter_size[axis]
            total = max(reach - out_size[axis], 0)
            pads[axis], pads[axis + 2] = total // 2, total - total // 2
            extra[axis] = out_size[axis] - (reach - total)
        size = editor.Tensor(shape=(4,), dtype=schema.TensorType.INT32,
                             data=np.array([1, *out_size, filters], np.int32), quantization=None)
        source = tensor((1, *shape), in_scale, in_zero, dtype=dtype)
        kernel = tensor(weights.shape, scales, 0, weights, axis=0)
        biases = tensor((filters,), scales * np.float32(in_scale), 0, bias, kinds.INT64 if int16 else kinds.INT32, axis=0)
        target = tensor((1, *out_size, filters), out_scale, out_zero, dtype=dtype)
        options = schema.TransposeConvOptionsT(padding=padding, strideH=stride[0], strideW=stride[1],
                                               fusedActivationFunction=relu)
        kind = schema.BuiltinOperator.TRANSPOSE_CONV, schema.BuiltinOptions.TransposeConvOptions
        out = run(*kind, options, [size, kernel, source, biases], target, values, source=2)
        cases.append((f"{shape} to {(*out_size, filters)}, filter {filter_size} stride {stride} padding {pads}", {
            "input_shape": shape, "filter_shape": weights.shape, "stride": stride, "padding": pads,
            "output_padding": extra, "output_shape": out.shape[1:], "input_scale": np.float32(in_scale),
            "input_zero_point": in_zero, "weight_scales": scales, "output_scale": np.float32(out_scale),
            "output_zero_point": out_zero, "relu": relu, "weights": weights, "bias": bias,
            "input": values, "output": out,
        }))
    write("transposed_conv_int16" if int16 else "transposed_conv", cases)


INT8, INT16, FLOAT32, INT32 = (getattr(schema.TensorType, t) for t in ("INT8", "INT16", "FLOAT32", "INT32"))


def quantized(random, shape, dtype):
    return some_int8(random, shape) if dtype == INT8 else some_int16(random, shape)


def quantization_of(name, scale, zero_point):
    return {f"{name}_scale": np.float32(scale), f"{name}_zero_point": zero_point}


PAIRS = [
    ((5, 5, 8), (5, 5, 8), (0.1, -5), (0.1, -5), (0.2, 3)),
    ((5, 5, 8), (5, 5, 8), (0.05, 127), (0.07, -128), (0.09, -20)),
    ((4, 5, 9), (4, 5, 9), (0.02, -128), (0.3, 4), (0.25, -128)),
    ((5, 5, 8), (5, 5, 8), (1.0, 0), (1e-3, 9), (0.031, 100)),
    ((5, 5, 8), (5, 5, 8), (0.013, 3), (0.0171, -9), (2.0, 5)),
    ((7, 5, 4), (7, 5, 4), (0.9, -7), (0.7, 6), (0.06, 0)),
    ((6, 5, 7), (1, 1, 7), (0.04, 12), (0.01, -30), (0.04, 1)),
    ((6, 5, 7), (1, 1, 1), (0.04, 12), (0.11, -30), (0.1, 1)),
    ((3, 4, 6), (3, 4, 1), (0.023529, 0), (0.00390625, -128), (0.0235, -3)),
    ((3, 4, 6), (1, 4, 6), (0.033, -1), (0.035, 1), (0.05, -40)),
    ((5, 5, 8), (5, 5, 8), (0.25, 0), (1e-9, 0), (0.25, 0)),
    ((5, 5, 8), (5, 5, 8), (0.5, 0), (0.5, 0), (1.0, 0)),  # ties
]
# The first input is the smaller one.
SMALL_FIRST = [(second_shape, shape, *scales) for shape, second_shape, *scales in PAIRS if shape != second_shape]


def elementwise(random, name, operator, dtype, relus, product, pairs=PAIRS):
    """Addition, subtraction or multiplication of two tensors, the second a constant."""
    titled = {schema.BuiltinOperator.ADD: "Add", schema.BuiltinOperator.SUB: "Sub", schema.BuiltinOperator.MUL: "Mul"}[operator]
    cases = []
    for number, (shape, second_shape, first, second, out) in enumerate(pairs):
        (in_scale, in_zero), (second_scale, second_zero), (out_scale, out_zero) = first, second, out
        if product:  # outputs that use their range
            out_scale = f32(in_scale * second_scale * [20, 90, 200, 64][number % 4])
        if dtype == INT16:
            in_zero = second_zero = out_zero = 0
            if product:
                out_scale = f32(out_scale * 256)
        relu = relus[number % len(relus)]
        values, others = quantized(random, shape, dtype), quantized(random, second_shape, dtype)
        source = tensor((1, *shape), in_scale, in_zero, dtype=dtype)
        constant = tensor((1, *second_shape), second_scale, second_zero, others, dtype=dtype)
        target = tensor((1, *np.maximum(shape, second_shape)), out_scale, out_zero, dtype=dtype)
        options = getattr(schema, f"{titled}OptionsT")(fusedActivationFunction=relu)
        kind = operator, getattr(schema.BuiltinOptions, f"{titled}Options")
        result = run(*kind, options, [source, constant], target, values)
        cases.append((f"{shape} and {second_shape}, {in_scale} {in_zero} and {second_scale} {second_zero}", {
            "input_shape": shape, "second_shape": second_shape, **quantization_of("input", in_scale, in_zero),
            **quantization_of("second", second_scale, second_zero), **quantization_of("output", out_scale, out_zero),
            "activation": relu, "input": values, "second": others, "output": result,
        }))
    write(name, cases)


def concatenation(random):
    cases = []
    for dtype in [INT8, INT16]:
        for shape, second_shape, axis in [((3, 4, 5), (3, 4, 2), 3), ((3, 4, 5), (3, 2, 5), 2), ((3, 4, 5), (1, 4, 5), 1)]:
            values, others = quantized(random, shape, dtype), quantized(random, second_shape, dtype)
            whole = list(shape)
            whole[axis - 1] += second_shape[axis - 1]
            zero = -3 if dtype == INT8 else 0
            source = tensor((1, *shape), 0.1, zero, dtype=dtype)
            constant = tensor((1, *second_shape), 0.1, zero, others, dtype=dtype)
            target = tensor((1, *whole), 0.1, zero, dtype=dtype)
            kind = schema.BuiltinOperator.CONCATENATION, schema.BuiltinOptions.ConcatenationOptions
            result = run(*kind, schema.ConcatenationOptionsT(axis=axis), [source, constant], target, values)
            assert result.shape == (1, *whole)
            cases.append((f"{shape} and {second_shape}", {
                "input_shape": shape, "second_shape": second_shape, "output_shape": whole, "axis": axis - 1,
                "input": values, "second": others, "output": result,
            }))
    write("concatenation", cases)


def pad(random):
    cases = []
    for dtype in [INT8, INT16]:
        for shape, before, after in [
            ((3, 4, 5), (1, 2, 0), (2, 0, 0)), ((3, 4, 5), (0, 0, 2), (0, 0, 1)), ((2, 3, 4), (1, 1, 1), (2, 2, 2)),
            ((2, 3, 4), (0, 0, 0), (0, 3, 0)),
        ]:
            values = quantized(random, shape, dtype)
            whole = [b + s + a for b, s, a in zip(before, shape, after)]
            zero = -7 if dtype == INT8 else 0
            source = tensor((1, *shape), 0.1, zero, dtype=dtype)
            paddings = np.array([[0, 0], *zip(before, after)], np.int32)
            constant = editor.Tensor(shape=(4, 2), dtype=INT32, data=paddings)
            target = tensor((1, *whole), 0.1, zero, dtype=dtype)
            kind = schema.BuiltinOperator.PAD, schema.BuiltinOptions.PadOptions
            result = run(*kind, schema.PadOptionsT(), [source, constant], target, values)
            cases.append((f"{shape} by {before} and {after}", {
                "input_shape": shape, "before": before, "after": after, "output_shape": whole,
                "input_zero_point": zero, "input": values, "output": result,
            }))
    write("pad", cases)


def strided_slice(random):
    """Masks are written as the beginnings and ends that they stand for: the furthest that there are."""
    cases = []
    furthest = 2 ** 31 - 1
    for dtype in [INT8, INT16, FLOAT32]:
        for shape, begin, end, stride, masks in [
            ((3, 4, 5), (0, 0, 0), (3, 4, 5), (1, 1, 1), (0, 0)), ((3, 4, 5), (1, 1, 2), (3, 3, 4), (1, 1, 1), (0, 0)),
            ((5, 6, 7), (0, 1, 0), (5, 6, 7), (2, 3, 4), (0, 0)), ((3, 4, 5), (-2, -3, -1), (-1, 4, 9), (1, 2, 1), (0, 0)),
            ((3, 4, 5), (-1, 3, 4), (-9, 0, 1), (-1, -2, -3), (0, 0)), ((4, 4, 3), (0, 0, 0), (0, 0, 0), (1, -1, 1), (7, 7)),
            ((4, 4, 3), (2, 1, 1), (0, 0, 3), (-1, -1, 1), (0, 3)), ((4, 4, 3), (9, 0, -9), (-9, 9, 9), (-3, 7, 2), (0, 0)),
            ((6, 1, 8), (0, 0, 6), (6, 1, 0), (1, 1, -2), (0, 0)), ((2, 3, 4), (1, 0, 0), (2, 3, 4), (1, 1, 1), (0, 0)),
        ]:
            values = quantized(random, shape, dtype) if dtype != FLOAT32 else random.normal(size=shape).astype(np.float32)
            masks = [[mask >> axis & 1 for axis in range(3)] for mask in masks]
            ends = [[-furthest, furthest][(s > 0) == last] for last in (False, True) for s in stride]
            begins = [f if m else b for b, m, f in zip(begin, masks[0], ends[:3])]
            stops = [f if m else e for e, m, f in zip(end, masks[1], ends[3:])]
            whole = np.zeros(shape)[tuple(slice(*p) for p in zip(
                [None if m else b for b, m in zip(begin, masks[0])], [None if m else e for e, m in zip(end, masks[1])], stride,
            ))].shape
            bits = [sum(m << (axis + 1) for axis, m in enumerate(mask)) for mask in masks]
            if dtype == FLOAT32:
                source, target = (editor.Tensor(shape=(1, *s), dtype=dtype) for s in (shape, whole))
            else:
                scale = (0.1, -7 if dtype == INT8 else 0)
                source, target = (tensor((1, *s), *scale, dtype=dtype) for s in (shape, whole))
            constants = [
                editor.Tensor(shape=(4,), dtype=INT32, data=np.array(numbers, np.int32))
                for numbers in [(0, *begin), (1, *end), (1, *stride)]
            ]
            options = schema.StridedSliceOptionsT(beginMask=bits[0], endMask=bits[1])
            kind = schema.BuiltinOperator.STRIDED_SLICE, schema.BuiltinOptions.StridedSliceOptions
            result = run(*kind, options, [source, *constants], target, values)
            assert result.shape == (1, *whole)
            cases.append((f"{shape} {begin} {end} {stride} {masks}", {
                "bits": {INT8: 8, INT16: 16, FLOAT32: 32}[dtype], "input_shape": shape, "output_shape": whole,
                "begin": begins, "end": stops, "stride": stride, "input": values, "output": result,
            }))
    write("strided_slice", cases)


def split(random):
    """The outputs one after the other."""
    cases = []
    for dtype in [INT8, INT16]:
        for shape, axis, count in [((3, 4, 6), 3, 2), ((3, 4, 6), 2, 4), ((4, 3, 5), 1, 2), ((2, 2, 9), 3, 3)]:
            values = quantized(random, shape, dtype)
            part = list(shape)
            part[axis - 1] //= count
            scale = (0.1, -7 if dtype == INT8 else 0)
            source = tensor((1, *shape), *scale, dtype=dtype)
            along = editor.Tensor(shape=(), dtype=INT32, data=np.array([axis], np.int32))
            targets = [tensor((1, *part), *scale, dtype=dtype) for _ in range(count)]
            node = editor.Operator(opcode=schema.BuiltinOperator.SPLIT, inputs=[along, source], outputs=targets)
            node._fb.builtinOptionsType = schema.BuiltinOptions.SplitOptions
            node._fb.builtinOptions = schema.SplitOptionsT(numSplits=count)
            graph = editor.Subgraph(tensors=[along, source, *targets], operators=[node], inputs=[source], outputs=targets)
            model = bytes(editor.Model(subgraphs=[graph]).build())
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
            interpreter.set_input(values.reshape(1, *shape), 0)
            interpreter.invoke()
            results = [interpreter.get_output(number) for number in range(count)]
            cases.append((f"{shape} axis {axis} in {count}", {
                "bits": 8 if dtype == INT8 else 16, "input_shape": shape, "output_shape": part, "axis": axis - 1,
                "input": values, "output": np.stack(results),
            }))
    write("split", cases)


def upsample(random):
    cases = []
    kind = schema.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR, schema.BuiltinOptions.ResizeNearestNeighborOptions
    options = {"asymmetric": {}, "half_pixel": {"halfPixelCenters": True}, "align_corners": {"alignCorners": True}}
    for dtype, shape, size in [
        (INT8, (2, 3, 5), (4, 6)), (INT8, (2, 3, 5), (6, 3)), (INT8, (3, 2, 1), (15, 14)),
        (INT8, (1, 1, 4), (4, 6)), (INT8, (4, 9, 2), (4, 27)), (INT8, (2, 1, 1), (80, 39)),
        # Other ratios, up, down and both.
        (INT8, (2, 3, 4), (3, 5)), (INT8, (7, 5, 3), (3, 4)), (INT8, (3, 10, 2), (10, 3)),
        (INT8, (5, 5, 3), (1, 1)), (INT8, (1, 6, 2), (2, 1)),
        # Where single precision makes a difference.
        (INT8, (2, 1, 1), (82, 1)), (INT8, (1, 2, 1), (1, 94)), (INT8, (1, 4, 1), (1, 196)),
        (INT8, (1, 127, 1), (1, 1000)), (INT8, (1, 500, 1), (1, 333)), (INT8, (1, 49, 1), (1, 2401)),
        (INT16, (2, 3, 3), (5, 4)), (FLOAT32, (2, 3, 3), (5, 4)),
    ]:
        for name, option in options.items():
            values = quantized(random, shape, dtype) if dtype != FLOAT32 else random.normal(size=shape).astype(np.float32)
            whole = [*size, shape[2]]
            scale = (0.1, -7 if dtype == INT8 else 0)
            source = tensor((1, *shape), *scale, dtype=dtype)
            constant = editor.Tensor(shape=(2,), dtype=INT32, data=np.array(size, np.int32))
            target = tensor((1, *whole), *scale, dtype=dtype)
            if dtype == FLOAT32:
                source, target = (editor.Tensor(shape=(1, *s), dtype=dtype) for s in (shape, whole))
            arguments = schema.ResizeNearestNeighborOptionsT(**option)
            result = run(*kind, arguments, [source, constant], target, values)
            cases.append((f"{name} {shape} to {size}", {
                "bits": {INT8: 8, INT16: 16, FLOAT32: 32}[dtype], "input_shape": shape, "output_shape": whole,
                "input": values, "output": result,
            }))
    write("upsample", cases)


def quantize(random):
    kind = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOptions.QuantizeOptions
    cases = []
    for dtype, scale, zero in [
        (INT8, 0.1, 3), (INT8, 0.5, -128), (INT8, 0.0235294, 12), (INT8, 1.0, 0), (INT16, 0.001, 0), (INT16, 0.25, 0),
    ]:
        steps = 160 if dtype == INT8 else 40000
        values = (random.uniform(-steps, steps, 150) * scale).astype(np.float32)
        # Halves, and what lies just beside them.
        halves = (random.integers(-steps, steps, 100) + 0.5).astype(np.float32) * np.float32(scale)
        below, above = np.nextafter(halves, np.float32(-1e9)), np.nextafter(halves, np.float32(1e9))
        values = np.concatenate([values, halves, below, above, np.array([0, -0.0, 1e-30, 4000, -4000], np.float32)])
        source = editor.Tensor(shape=(1, len(values)), dtype=FLOAT32)
        target = tensor((1, len(values)), scale, zero, dtype=dtype)
        result = run(*kind, schema.QuantizeOptionsT(), [source], target, values)
        cases.append((f"to {scale} {zero}", {
            "bits": 8 if dtype == INT8 else 16, **quantization_of("output", scale, zero), "input": values, "output": result,
        }))
    write("quantize", cases)


def requantize(random):
    kind = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOptions.QuantizeOptions
    cases = []
    for from_type, in_scale, in_zero, to_type, out_scale, out_zero in [
        (INT8, 0.1, 0, INT8, 0.1, 5), (INT8, 0.1, -5, INT8, 0.07, 9), (INT8, 0.02, 127, INT8, 0.3, -128),
        (INT8, 0.5, -128, INT8, 0.003, 1), (INT8, 0.25, 3, INT8, 0.5, 0), (INT8, 1e-9, 3, INT8, 7.0, 4),
        (INT8, 0.1, -9, INT16, 0.0004, 0), (INT8, 0.5, 100, INT16, 0.001, 0), (INT16, 0.0004, 0, INT8, 0.1, -9),
        (INT16, 0.003, 0, INT8, 0.5, 11), (INT16, 0.0004, 0, INT16, 0.0007, 0), (INT16, 0.0004, 0, INT16, 0.0002, 0),
    ]:
        if from_type == INT8:
            values = np.arange(-128, 128).astype(np.int8)
        else:
            values = some_int16(random, (300,))
        source = tensor((1, len(values)), in_scale, in_zero, dtype=from_type)
        target = tensor((1, len(values)), out_scale, out_zero, dtype=to_type)
        result = run(*kind, schema.QuantizeOptionsT(), [source], target, values)
        cases.append((f"from {in_scale} {in_zero} to {out_scale} {out_zero}", {
            "input_bits": 8 if from_type == INT8 else 16, "output_bits": 8 if to_type == INT8 else 16,
            **quantization_of("input", in_scale, in_zero), **quantization_of("output", out_scale, out_zero),
            "input": values, "output": result,
        }))
    write("requantize", cases)


def dequantize(random):
    cases = []
    for dtype, scale, zero in [(INT8, 0.1, 3), (INT8, 0.0235294, -128), (INT16, 0.001, 0), (INT16, 3.1e-5, 0)]:
        values = np.arange(-128, 128).astype(np.int8) if dtype == INT8 else some_int16(random, (300,))
        source = tensor((1, len(values)), scale, zero, dtype=dtype)
        target = editor.Tensor(shape=(1, len(values)), dtype=FLOAT32)
        kind = schema.BuiltinOperator.DEQUANTIZE, schema.BuiltinOptions.DequantizeOptions
        result = run(*kind, schema.DequantizeOptionsT(), [source], target, values)
        cases.append((f"from {scale} {zero}", {
            "bits": 8 if dtype == INT8 else 16, **quantization_of("input", scale, zero),
            "input": values, "output": result,
        }))
    write("dequantize", cases)


def unary(operator, options_type, options, source, target, values):
    out = run(getattr(schema.BuiltinOperator, operator), options_type, options, [source], target, values)
    return {**quantization_of("input", source.quantization.scales[0], source.quantization.zero_points[0]),
            **quantization_of("output", target.quantization.scales[0], target.quantization.zero_points[0]),
            "input": values, "output": out}


def activations():
    """Every int8 value through several quantizations: the case's name begins with the operator's."""
    values = np.arange(-128, 128).astype(np.int8)
    none = schema.BuiltinOptions.NONE, None
    cases = []
    fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    scales = [(0.1, 0), (0.05, -128), (0.0235294, 17), (0.5, 127), (1.0, -3), (0.003, 50), (7.5, 1), (1e-5, 0), (0.0625, 0)]
    for operator, (out_scale, out_zero) in fixed.items():
        for scale, zero in scales:
            case = unary(operator, *none, tensor((1, 256), scale, zero), tensor((1, 256), out_scale, out_zero), values)
            cases.append((f"{operator} {scale} {zero}", case))
    hard_swish = schema.BuiltinOptions.HardSwishOptions, schema.HardSwishOptionsT()
    ratios = [
        ((0.1, 0), (0.1, 0)), ((0.05, -128), (0.03, -120)), ((0.0235294, 17), (0.02, -100)), ((0.5, 127), (0.3, 100)),
        ((0.002, -3), (0.001, 9)), ((0.03, 5), (0.0003, 0)), ((0.01, 0), (2.0, 0)), ((3.0, -40), (1.5, -60)),
        ((0.0117, 0), (0.02, -128)), ((0.0118, 0), (0.005, 127)),
    ]
    for source, target in ratios:
        case = unary("HARD_SWISH", *hard_swish, tensor((1, 256), *source), tensor((1, 256), *target), values)
        cases.append((f"HARD_SWISH {source} to {target}", case))
    for source, target in [*ratios, ((0.04, 3), (0.04, 3))]:
        case = unary("RELU", *none, tensor((1, 256), *source), tensor((1, 256), *target), values)
        cases.append((f"RELU {source} to {target}", case))
    for scale, zero in [(0.1, 0), (0.05, -128), (0.0235294, 17), (0.5, 127), (0.01, -3), (1.0, 0)]:
        source = tensor((1, 256), scale, zero)
        cases.append((f"RELU6 {scale} {zero}", unary("RELU6", *none, source, tensor((1, 256), scale, zero), values)))
    write("activations", cases)


def activations_int16():
    none = schema.BuiltinOptions.NONE, None
    def every(step):
        return np.unique(np.concatenate([np.arange(-32768, 32768, step), np.arange(-8, 9), [32767]])).astype(np.int16)
    cases = []
    for operator in ["LOGISTIC", "TANH"]:
        # Powers of two, numbers near one, and any.
        for scale in [2 ** -12, 2 ** -11, 2 ** -10, 2 ** -12 * 1.0006, 2 ** -11 * 1.0008, 0.00033, 0.001, 0.01, 1.3, 1e-5]:
            # Once every interval of the table, from both sides.
            values = every(121 if scale == 0.00033 else 1021)
            source = tensor((1, len(values)), scale, 0, dtype=INT16)
            target = tensor((1, len(values)), 1 / 32768, 0, dtype=INT16)
            cases.append((f"{operator} {scale}", unary(operator, *none, source, target, values)))
    values = every(1021)
    for source, target in [(0.001, 0.001), (0.001, 0.0004), (0.002, 0.05)]:
        source = tensor((1, len(values)), source, 0, dtype=INT16)
        target = tensor((1, len(values)), target, 0, dtype=INT16)
        cases.append((f"RELU {source.quantization.scales[0]}", unary("RELU", *none, source, target, values)))
        for slope in [0.1, -0.3, 1.7]:
            options = schema.BuiltinOptions.LeakyReluOptions, schema.LeakyReluOptionsT(alpha=slope)
            case = unary("LEAKY_RELU", *options, source, target, values)
            cases.append((f"LEAKY_RELU {slope}", {"slope": np.float32(slope), **case}))
    for scale in [0.001, 0.0002, 0.0001]:
        source = tensor((1, len(values)), scale, 0, dtype=INT16)
        cases.append((f"RELU6 {scale}", unary("RELU6", *none, source, source_like(source), values)))
    write("activations_int16", cases)


def source_like(source):
    return tensor(source.shape, source.quantization.scales[0], 0, dtype=source.dtype)


def prelu(random):
    cases = []
    for dtype in [INT8, INT16]:
        for channels, source, target, (scale, zero) in [
            (1, (0.1, 3), (0.1, 3), (0.01, 0)), (3, (0.05, -128), (0.03, -90), (0.02, 10)),
            (5, (0.03, 20), (0.07, 5), (0.003, -128)), (8, (0.05, 0), (0.05, 0), (0.0078125, 127)),
        ]:
            low, high = (-128, 128) if dtype == INT8 else (-32768, 32768)
            values = random.integers(low, high, (6, 7, channels)).astype(np.int8 if dtype == INT8 else np.int16)
            values.flat[:2] = low, high - 1
            slopes = some_int8(random, (channels,))
            if dtype == INT16:
                source, target = (source[0] / 256, 0), (target[0] / 256, 0)
            node = [tensor((1, 6, 7, channels), *source, dtype=dtype), tensor((1, 1, channels), scale, zero, slopes)]
            output = tensor((1, 6, 7, channels), *target, dtype=dtype)
            out = run(schema.BuiltinOperator.PRELU, schema.BuiltinOptions.NONE, None, node, output, values)
            name = "int8" if dtype == INT8 else "int16"
            cases.append((f"{name} channels {channels}", {
                **quantization_of("input", *source), **quantization_of("output", *target),
                **quantization_of("slope", scale, zero), "slopes": slopes, "input": values, "output": out,
            }))
    write("prelu", cases)


def softmax_int16(random):
    cases = []
    options = schema.BuiltinOptions.SoftmaxOptions
    # Pairs whose difference goes through all intervals of the table of exponentials, and vectors.
    ladder = np.stack([np.full(513, 32767), 32767 - np.arange(513) * 128 + np.arange(513) % 7], 1)
    inputs = [(10 / 65535, 1.0, np.maximum(ladder, -32768))]
    for scale, beta, channels in [(0.001, 1.0, 10), (0.0003, 1.0, 33), (0.0005, 2.0, 3), (1e-5, 1.0, 40), (0.5, 1.0, 4), (0.01, 1.0, 1)]:
        values = random.integers(-32768, 32768, (6, channels))
        values[0, :] = 32767
        values[1, :] = np.linspace(-32768, 32767, channels)
        values[2, :] = np.linspace(-3000, 3000, channels)
        inputs.append((scale, beta, values))
    for scale, beta, values in inputs:
        values = values.astype(np.int16)
        shape = (1, 1, *values.shape)
        source = tensor(shape, scale, 0, dtype=INT16)
        target = tensor(shape, 1 / 32768, 0, dtype=INT16)
        out = run(schema.BuiltinOperator.SOFTMAX, options, schema.SoftmaxOptionsT(beta=beta), [source], target, values)
        cases.append((f"scale {scale} beta {beta} channels {values.shape[1]}", {
            "input_scale": np.float32(scale), "beta": np.float32(beta), "channels": values.shape[1],
            "input": values, "output": out,
        }))
    write("softmax_int16", cases)


if __name__ == "__main__":
    seed = np.random.default_rng
    softmax(seed(1))
    leaky_relu(seed(2))
    pool(seed(3), "max_pool", schema.BuiltinOperator.MAX_POOL_2D)
    pool(seed(4), "average_pool", schema.BuiltinOperator.AVERAGE_POOL_2D)
    pool_int16(seed(30), "max_pool_int16", schema.BuiltinOperator.MAX_POOL_2D)
    pool_int16(seed(31), "average_pool_int16", schema.BuiltinOperator.AVERAGE_POOL_2D)
    mean(seed(32), "mean", schema.TensorType.INT8, some_int8)
    mean(seed(33), "mean_int16", schema.TensorType.INT16, some_int16)
    conv2d(seed(5))
    dense(seed(6))
    depthwise_conv2d(seed(7))
    depthwise_conv2d_int16(seed(70))
    grouped(seed(60))
    conv2d_int16(seed(61))
    dense_int16(seed(62))
    int16_wide(seed(67))
    transposed_conv(seed(20))
    transposed_conv(seed(21), int16=True)
    for number, (operator, relus) in enumerate([("ADD", [0, 1, 3]), ("SUB", [0, 1]), ("MUL", [0, 1, 3])]):
        for dtype, name in [(INT8, operator.lower()), (INT16, f"{operator.lower()}_int16")]:
            kind = getattr(schema.BuiltinOperator, operator)
            elementwise(seed(50 + number), name, kind, dtype, relus, operator == "MUL")
    elementwise(seed(63), "sub_small_first", schema.BuiltinOperator.SUB, INT8, [0, 1], False, SMALL_FIRST)
    elementwise(seed(64), "sub_small_first_int16", schema.BuiltinOperator.SUB, INT16, [0, 1], False, SMALL_FIRST)
    concatenation(seed(53))
    strided_slice(seed(65))
    split(seed(66))
    pad(seed(54))
    upsample(seed(55))
    quantize(seed(56))
    requantize(seed(57))
    dequantize(seed(58))
    activations()
    activations_int16()
    prelu(seed(70))
    softmax_int16(seed(71))
