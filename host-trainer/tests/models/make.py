#!/usr/bin/env python3
"""Writes small TensorFlow Lite files, inputs for them and what TensorFlow Lite Micro computes, for the importer's tests.

Each `NAME.tflite` has beside it `NAME.in`, inputs for a few inferences one after the other (all inputs of the first, all
of the second, and so on), and `NAME.out`, the outputs in the same way: bytes as they are in memory, little-endian. The
interpreter is TensorFlow Lite Micro's own, on this machine.

    python3 -m venv venv && venv/bin/pip install tflite_micro flatbuffers numpy
    venv/bin/python host-trainer/tests/models/make.py

Values are drawn with a seed from each model's name, so that a file changes only where its model or the interpreter's
results do. Numbers of float32 models are such that every sum is exact, whatever its order, except behind functions like
the hyperbolic tangent.
"""

import math
import zlib
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.compression import model_editor as editor
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

HERE = Path(__file__).parent
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
NONE, RELU, RELU6 = (getattr(schema.ActivationFunctionType, name) for name in ("NONE", "RELU", "RELU6"))
TYPES = {"int8": schema.TensorType.INT8, "int16": schema.TensorType.INT16, "float32": schema.TensorType.FLOAT32,
         "int32": schema.TensorType.INT32, "int64": schema.TensorType.INT64}
KINDS = ["int8", "int16", "float32"]
INFERENCES = 3
SMALL = {"LOGISTIC", "TANH", "RELU", "RELU6", "PRELU"}  # without options


def f32(value):
    return float(np.float32(value))


class Model:
    """A network that grows operator by operator."""

    def __init__(self, name):
        self.name = name
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.tensors, self.operators, self.inputs, self.outputs = [], [], [], []

    def tensor(self, kind, shape, scale=None, zero=0, data=None, axis=None, name=None):
        quantization = None
        if scale is not None:
            scales = [f32(s) for s in np.atleast_1d(scale)]
            zeros = [int(zero)] * len(scales)
            quantization = editor.Quantization(scales=scales, zero_points=zeros, axis=axis)
        new = editor.Tensor(shape=tuple(shape), dtype=TYPES[kind], data=data, quantization=quantization,
                            name=name or f"{self.name}/{len(self.tensors)}")
        self.tensors.append(new)
        return new

    def value(self, kind, shape, scale=0.05, zero=3, name=None):
        """A tensor that is computed: int16's scale is a 256th, float32 has none."""
        if kind == "float32":
            return self.tensor(kind, shape, name=name)
        return self.tensor(kind, shape, scale if kind == "int8" else scale / 256, zero if kind == "int8" else 0, name=name)

    def input(self, kind, shape, scale=0.05, zero=3, name="input"):
        new = self.value(kind, shape, scale, zero, name)
        self.inputs.append(new)
        return new

    def integers(self, numbers, kind="int32"):
        numbers = np.array(numbers, kind)
        return self.tensor(kind, numbers.shape, data=numbers)

    def constant(self, kind, shape, scale=0.05, zero=0):
        if kind == "float32":
            return self.tensor(kind, shape, data=(2 * self.random.integers(-8, 8, shape) + 1).astype(np.float32) / 8)
        like = self.value(kind, shape, scale, zero)
        self.tensors.pop()
        scale, zero = like.quantization.scales, like.quantization.zero_points[0]
        return self.tensor(kind, shape, scale, zero, self.some(kind, shape))

    def some(self, kind, shape):
        """Random values, a fifth of them extreme. None of float32 is zero: a product would have a sign that TensorFlow Lite
        Micro's clamp leaves as it is, and bareconv's does not."""
        if kind == "float32":
            return (2 * self.random.integers(-32, 32, shape) + 1).astype(np.float32) / 8
        info = np.iinfo(kind)
        values = self.random.integers(info.min, info.max + 1, shape)
        extremes = self.random.choice([info.min, info.min + 1, -1, 0, 1, info.max], shape)
        return np.where(self.random.random(shape) < 0.2, extremes, values).astype(kind)

    def filters(self, kind, shape, input, axis, outputs, per_channel=True, bias="usual"):
        """Weights and a bias: int8 for integers. The bias of int16 is of 64 bits, or 32, or there is none."""
        if kind == "float32":
            weights = self.tensor(kind, shape, data=self.random.integers(-8, 9, shape).astype(np.float32) / 4)
            numbers = self.random.integers(-64, 65, outputs).astype(np.float32) / 8
            return [weights, self.tensor(kind, (outputs,), data=numbers)] if bias else [weights]
        values = np.maximum(self.some("int8", shape), -127)
        scales = self.random.uniform(0.001, 0.01, outputs if per_channel else 1).astype(np.float32)
        weights = self.tensor("int8", shape, scales, 0, values, axis if per_channel else None)
        if not bias:
            return [weights]
        reach = 1 << 12 if kind == "int8" else 1 << 20
        width = "int32" if kind == "int8" or bias == "int32" else "int64"
        numbers = self.random.integers(-reach, reach, outputs).astype(width)
        of = scales * np.float32(input.quantization.scales[0])
        return [weights, self.tensor(width, (outputs,), of, 0, numbers, 0 if per_channel else None)]

    def operator(self, opcode, inputs, outputs, table=None, **options):
        outputs = outputs if isinstance(outputs, list) else [outputs]
        node = editor.Operator(opcode=getattr(schema.BuiltinOperator, opcode), inputs=inputs, outputs=outputs)
        if table:
            node._fb.builtinOptionsType = getattr(schema.BuiltinOptions, f"{table}Options")
            node._fb.builtinOptions = getattr(schema, f"{table}OptionsT")(**options)
        self.operators.append(node)
        return outputs[0]

    def bytes(self):
        graph = editor.Subgraph(tensors=self.tensors, operators=self.operators, inputs=self.inputs, outputs=self.outputs)
        return bytes(editor.Model(subgraphs=[graph]).build())

    def write(self, *outputs):
        self.outputs = list(outputs)
        model = self.bytes()
        interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 20)
        given, answers = [], []
        for _ in range(INFERENCES):
            for number, tensor in enumerate(self.inputs):
                kind = next(kind for kind, type in TYPES.items() if type == tensor.dtype)
                values = self.some(kind, tensor.shape)
                given.append(values.tobytes())
                interpreter.set_input(values, number)
            interpreter.invoke()
            for number, tensor in enumerate(self.outputs):
                answer = interpreter.get_output(number)
                assert answer.shape == tuple(tensor.shape), (self.name, answer.shape, tensor.shape)
                answers.append(answer.tobytes())
        (HERE / f"{self.name}.tflite").write_bytes(model)
        (HERE / f"{self.name}.in").write_bytes(b"".join(given))
        (HERE / f"{self.name}.out").write_bytes(b"".join(answers))

    # Operators that several models have.

    def conv(self, kind, input, filters, size, stride=(1, 1), dilation=(1, 1), padding=SAME, activation=NONE, groups=1,
             scale=0.08, zero=-9, **more):
        weights = self.filters(kind, (filters, *size, input.shape[3] // groups), input, 0, filters, **more)
        output = self.value(kind, (1, *along(input, size, stride, dilation, padding), filters), scale, zero)
        return self.operator("CONV_2D", [input, *weights], output, "Conv2D", padding=padding, strideH=stride[0],
                             strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1],
                             fusedActivationFunction=activation)

    def depthwise(self, kind, input, multiplier, size, stride=(1, 1), dilation=(1, 1), padding=SAME, activation=NONE,
                  scale=0.05, zero=-9, **more):
        channels = input.shape[3] * multiplier
        weights = self.filters(kind, (1, *size, channels), input, 3, channels, **more)
        output = self.value(kind, (1, *along(input, size, stride, dilation, padding), channels), scale, zero)
        return self.operator("DEPTHWISE_CONV_2D", [input, *weights], output, "DepthwiseConv2D", padding=padding,
                             strideH=stride[0], strideW=stride[1], depthMultiplier=multiplier, dilationHFactor=dilation[0],
                             dilationWFactor=dilation[1], fusedActivationFunction=activation)

    def dense(self, kind, input, outputs, shape=None, activation=NONE, scale=0.1, zero=-9, **more):
        inputs = input.shape[-1] if len(input.shape) == 2 or shape else int(np.prod(input.shape))
        weights = self.filters(kind, (outputs, inputs), input, 0, outputs, **{"per_channel": False, **more})
        output = self.value(kind, shape or (1, outputs), scale, zero)
        return self.operator("FULLY_CONNECTED", [input, *weights], output, "FullyConnected",
                             fusedActivationFunction=activation, keepNumDims=len(output.shape) > 2)

    def pool(self, opcode, kind, input, window, stride=None, padding=VALID, activation=NONE):
        stride = stride or window
        output = self.like(kind, input, (1, *along(input, window, stride, (1, 1), padding), input.shape[3]))
        return self.operator(opcode, [input], output, "Pool2D", padding=padding, strideH=stride[0], strideW=stride[1],
                             filterHeight=window[0], filterWidth=window[1], fusedActivationFunction=activation)

    def like(self, kind, tensor, shape):
        """A value with the quantization of another."""
        if kind == "float32":
            return self.value(kind, shape)
        of = tensor.quantization
        return self.tensor(kind, shape, of.scales, of.zero_points[0])

    def pad(self, kind, input, paddings, value=None):
        shape = [size + sum(pair) for size, pair in zip(input.shape, paddings)]
        output = self.like(kind, input, shape)
        constant = self.integers(paddings)
        if value is None:
            return self.operator("PAD", [input, constant], output, "Pad")
        number = self.like(kind, input, (1,))
        self.tensors.pop()
        scale, zero = (None, 0) if kind == "float32" else (number.quantization.scales, number.quantization.zero_points[0])
        number = self.tensor(kind, (1,), scale, zero, np.array([value], kind))
        return self.operator("PADV2", [input, constant, number], output, "PadV2")

    def reshape(self, kind, input, shape, opcode="RESHAPE"):
        output = self.like(kind, input, shape)
        if opcode == "RESHAPE":
            return self.operator(opcode, [input, self.integers(shape)], output, "Reshape", newShape=list(shape))
        if opcode == "SQUEEZE":
            return self.operator(opcode, [input], output, "Squeeze", squeezeDims=[])
        return self.operator(opcode, [input, self.integers([1])], output, "ExpandDims")

    def activation(self, opcode, kind, input, scale=None, zero=0):
        output = self.like(kind, input, input.shape) if scale is None else self.value(kind, input.shape, scale, zero)
        return self.operator(opcode, [input], output)


def along(input, size, stride, dilation, padding):
    """Rows and columns of an output."""
    extents = [(s - 1) * d + 1 for s, d in zip(size, dilation)]
    if padding == VALID:
        return [(n - e) // s + 1 for n, e, s in zip(input.shape[1:3], extents, stride)]
    return [-(-n // s) for n, s in zip(input.shape[1:3], stride)]


def convolutions():
    for kind in KINDS:
        m = Model(f"conv_2d_{kind}")
        m.write(m.conv(kind, m.input(kind, (1, 6, 7, 3)), 5, (3, 3), stride=(2, 2), activation=RELU))
        m = Model(f"conv_2d_{kind}_dilated")
        m.write(m.conv(kind, m.input(kind, (1, 8, 6, 4)), 4, (3, 2), dilation=(2, 3), padding=VALID, activation=RELU6))
        m = Model(f"depthwise_conv_2d_{kind}")
        m.write(m.depthwise(kind, m.input(kind, (1, 7, 5, 4)), 1, (3, 3), stride=(2, 2), activation=RELU6))
        m = Model(f"depthwise_conv_2d_{kind}_multiplier")
        m.write(m.depthwise(kind, m.input(kind, (1, 6, 7, 3)), 2, (2, 3), dilation=(2, 2), padding=VALID))
        for padding, name in [(SAME, "same"), (VALID, "valid")]:
            m = Model(f"transpose_conv_{kind}_{name}")
            input, size, filters, stride = m.input(kind, (1, 3, 4, 3)), (3, 2), 4, (2, 2)
            whole = [6, 8] if padding == SAME else [7, 8]
            weights = m.filters(kind, (filters, *size, 3), input, 0, filters)
            shape = m.integers([1, *whole, filters])
            output = m.value(kind, (1, *whole, filters), 0.05, -9)
            m.write(m.operator("TRANSPOSE_CONV", [shape, weights[0], input, *weights[1:]], output, "TransposeConv",
                               padding=padding, strideH=2, strideW=2))
        m = Model(f"fully_connected_{kind}")
        m.write(m.dense(kind, m.input(kind, (1, 19)), 6, activation=RELU))
        m = Model(f"fully_connected_{kind}_picture")
        m.write(m.dense(kind, m.input(kind, (1, 2, 3, 4)), 5, bias=None if kind != "int16" else "usual"))
    m = Model("conv_2d_int8_per_tensor")
    m.write(m.conv("int8", m.input("int8", (1, 5, 5, 3)), 4, (3, 3), per_channel=False))
    m = Model("conv_2d_int8_groups")
    m.write(m.conv("int8", m.input("int8", (1, 5, 4, 6)), 4, (3, 3), groups=2, activation=RELU))
    m = Model("conv_2d_int8_no_bias")
    m.write(m.conv("int8", m.input("int8", (1, 4, 4, 3)), 4, (1, 1), bias=None))
    m = Model("conv_2d_int16_bias_32")
    m.write(m.conv("int16", m.input("int16", (1, 4, 4, 3)), 4, (3, 3), bias="int32", activation=RELU))
    # So many taps that sums could overflow 32 bits.
    m = Model("conv_2d_int16_many_taps")
    m.write(m.conv("int16", m.input("int16", (1, 2, 2, 130)), 2, (3, 3)))
    m = Model("fully_connected_int16_many_taps")
    m.write(m.dense("int16", m.input("int16", (1, 1200)), 2))
    m = Model("depthwise_conv_2d_int8_per_tensor")
    m.write(m.depthwise("int8", m.input("int8", (1, 5, 5, 3)), 1, (3, 3), per_channel=False))
    m = Model("fully_connected_int8_per_channel")
    m.write(m.dense("int8", m.input("int8", (1, 9)), 5, per_channel=True))
    scale_product()
    m = Model("fully_connected_int8_rows")
    m.write(m.dense("int8", m.input("int8", (1, 3, 8)), 5, shape=(1, 3, 5)))


def requantized(sum, scale):
    """TensorFlow Lite Micro's double rounding of a sum that is not negative, by a scale below a half."""
    fraction, exponent = math.frexp(scale)
    high = (sum * math.floor(fraction * 2**31 + 0.5) + (1 << 30)) >> 31
    return (high + (1 << (-exponent - 1))) >> -exponent


def scale_product():
    """A dense layer whose weights share one scale: its outputs are one less, or one more, if the product of the input's and
    the weights' scale is rounded to single precision before it is divided by the output's."""
    m = Model("fully_connected_int8_scale_product")
    input = np.float32(0.05)
    # A product that is far from a number of single precision.
    candidates = m.random.uniform(0.001, 0.01, 1000).astype(np.float32)
    exact = np.float64(input) * candidates.astype(np.float64)
    weight = candidates[np.argmax(np.abs(exact - (input * candidates).astype(np.float64)) / exact)]
    # Sums of up to 30 bits.
    output = np.float32(1.3 * 2**22 * input * weight)
    scales = [np.float64(input) * np.float64(weight) / np.float64(output), np.float64(input * weight) / np.float64(output)]
    biases = []
    for step in range(8, 136, 8):
        near = int((step + 0.5) / scales[0])
        differ = [sum for sum in range(near - 200, near + 200) if requantized(sum, scales[0]) != requantized(sum, scales[1])]
        biases += differ[:1]
    assert len(biases) >= 4 and max(biases) < 2**31, biases
    given = m.input("int8", (1, 3), input)
    weights = m.tensor("int8", (len(biases), 3), weight, 0, np.zeros((len(biases), 3), np.int8))
    bias = m.tensor("int32", (len(biases),), input * weight, 0, np.array(biases, np.int32))
    m.write(m.operator("FULLY_CONNECTED", [given, weights, bias], m.value("int8", (1, len(biases)), output, -128),
                       "FullyConnected"))


def pools():
    for kind in KINDS:
        for opcode, name in [("MAX_POOL_2D", "max_pool_2d"), ("AVERAGE_POOL_2D", "average_pool_2d")]:
            m = Model(f"{name}_{kind}")
            # Windows of 4 pixels: their averages are exact in float32.
            m.write(m.pool(opcode, kind, m.input(kind, (1, 6, 5, 3)), (2, 2), activation=RELU))
            m = Model(f"{name}_{kind}_same")
            window = (2, 4) if opcode[0] == "A" else (3, 2)
            m.write(m.pool(opcode, kind, m.input(kind, (1, 5, 8, 2)), window, stride=(1, 2), padding=SAME, activation=RELU6))
        m = Model(f"mean_{kind}")
        output = m.value(kind, (1, 3), 0.04, -20)
        m.write(m.operator("MEAN", [m.input(kind, (1, 4, 2, 3)), m.integers([1, 2])], output, "Reducer", keepDims=False))
        m = Model(f"mean_{kind}_kept")
        input = m.input(kind, (1, 2, 4, 3))
        m.write(m.operator("MEAN", [input, m.integers([-3, -2])], m.like(kind, input, (1, 1, 1, 3)), "Reducer", keepDims=True))


def activations():
    fixed = {"LOGISTIC": {"int8": (1 / 256, -128), "int16": (256 / 32768, 0)},
             "TANH": {"int8": (1 / 128, 0), "int16": (256 / 32768, 0)}}
    for kind in KINDS:
        for opcode in ["LOGISTIC", "TANH"]:
            m = Model(f"{opcode.lower()}_{kind}")
            m.write(m.activation(opcode, kind, m.input(kind, (1, 4, 5, 3)), *fixed[opcode].get(kind, (None,))))
        for opcode in ["RELU", "RELU6"]:
            m = Model(f"{opcode.lower()}_{kind}")
            m.write(m.activation(opcode, kind, m.input(kind, (1, 4, 5, 3), 0.1)))
        m = Model(f"relu_{kind}_requantized")
        m.write(m.activation("RELU", kind, m.input(kind, (1, 4, 5, 3), 0.1), 0.06, -128))
        for slope in [0.1, -0.5]:
            m = Model(f"leaky_relu_{kind}_{'negative' if slope < 0 else 'tenth'}")
            slope = slope if kind != "float32" else round(slope * 8) / 8
            m.write(m.operator("LEAKY_RELU", [m.input(kind, (1, 3, 4, 5))], m.value(kind, (1, 3, 4, 5), 0.06, 7), "LeakyRelu", alpha=slope))
        m = Model(f"prelu_{kind}")
        input = m.input(kind, (1, 3, 4, 5))
        slopes = m.constant("float32" if kind == "float32" else "int8", (1, 1, 5), 0.01)
        m.write(m.operator("PRELU", [input, slopes], m.value(kind, (1, 3, 4, 5), 0.07, 5)))
        m = Model(f"softmax_{kind}")
        scale, zero = {"int8": (1 / 256, -128), "int16": (256 / 32768, 0)}.get(kind, (1, 0))
        m.write(m.operator("SOFTMAX", [m.input(kind, (1, 10), 0.1)], m.value(kind, (1, 10), scale, zero), "Softmax", beta=1.0))
        if kind != "int16":
            m = Model(f"hard_swish_{kind}")
            m.write(m.operator("HARD_SWISH", [m.input(kind, (1, 4, 5, 3), 0.06, 10)], m.value(kind, (1, 4, 5, 3), 0.04, -100), "HardSwish"))


def arithmetic():
    for kind in KINDS:
        for number, (opcode, table) in enumerate([("ADD", "Add"), ("SUB", "Sub"), ("MUL", "Mul")]):
            activation = [RELU, NONE, RELU6][number]
            m = Model(f"{opcode.lower()}_{kind}")
            inputs = [m.input(kind, (1, 3, 4, 5), 0.05, 3, "first"), m.input(kind, (1, 3, 4, 5), 0.03, -7, "second")]
            m.write(m.operator(opcode, inputs, m.value(kind, (1, 3, 4, 5), 0.09, -30), table, fusedActivationFunction=activation))
            m = Model(f"{opcode.lower()}_{kind}_constant")
            inputs = [m.input(kind, (1, 3, 4, 5), 0.05, 3), m.constant(kind, (1, 1, 1, 5), 0.04, 1)]
            m.write(m.operator(opcode, inputs, m.value(kind, (1, 3, 4, 5), 0.07, -30), table, fusedActivationFunction=NONE))
        m = Model(f"sub_{kind}_small_first")
        inputs = [m.input(kind, (1, 1, 1, 5), 0.05, 3, "first"), m.input(kind, (1, 3, 4, 5), 0.03, -7, "second")]
        m.write(m.operator("SUB", inputs, m.value(kind, (1, 3, 4, 5), 0.09, -30), "Sub", fusedActivationFunction=RELU))


def arrangement():
    for kind in KINDS:
        m = Model(f"concatenation_{kind}")
        shapes = [(1, 3, 4, 2), (1, 3, 4, 5), (1, 3, 4, 1)]
        inputs = [m.input(kind, shape, name=f"part {number}") for number, shape in enumerate(shapes)]
        m.write(m.operator("CONCATENATION", inputs, m.value(kind, (1, 3, 4, 8)), "Concatenation", axis=-1))
        m = Model(f"concatenation_{kind}_rows")
        inputs = [m.input(kind, (1, 2, 4, 2)), m.constant(kind, (1, 1, 4, 2), 0.05, 3)]
        m.write(m.operator("CONCATENATION", inputs, m.value(kind, (1, 3, 4, 2)), "Concatenation", axis=1))
        m = Model(f"pad_{kind}")
        m.write(m.pad(kind, m.input(kind, (1, 3, 4, 2)), [(0, 0), (1, 2), (0, 1), (0, 0)]))
        m = Model(f"padv2_{kind}")
        m.write(m.pad(kind, m.input(kind, (1, 3, 4, 2)), [(0, 0), (1, 0), (2, 1), (0, 3)], value=-5))
        m = Model(f"reshape_{kind}")
        m.write(m.reshape(kind, m.input(kind, (1, 3, 4, 2)), (1, 6, 4)))
        m = Model(f"squeeze_{kind}")
        m.write(m.reshape(kind, m.input(kind, (1, 1, 4, 2)), (4, 2), "SQUEEZE"))
        m = Model(f"expand_dims_{kind}")
        m.write(m.reshape(kind, m.input(kind, (1, 4, 2)), (1, 1, 4, 2), "EXPAND_DIMS"))
        m = Model(f"strided_slice_{kind}")
        input = m.input(kind, (1, 5, 6, 4))
        numbers = [m.integers(n) for n in ([0, 4, 1, 0], [1, 0, 6, 0], [1, -2, 3, 1])]
        m.write(m.operator("STRIDED_SLICE", [input, *numbers], m.value(kind, (1, 2, 2, 4)), "StridedSlice", endMask=8))
        m = Model(f"strided_slice_{kind}_shrunk")
        input = m.input(kind, (1, 5, 6, 4))
        numbers = [m.integers(n) for n in ([0, -2, 0, 1], [1, 0, 6, 3], [1, 1, 1, 1])]
        m.write(m.operator("STRIDED_SLICE", [input, *numbers], m.value(kind, (1, 6, 2)), "StridedSlice", shrinkAxisMask=2))
        m = Model(f"split_{kind}")
        parts = [m.value(kind, (1, 3, 2, 2)) for _ in range(3)]
        m.operator("SPLIT", [m.integers([3]), m.input(kind, (1, 3, 2, 6))], parts, "Split", numSplits=3)
        m.write(*parts)
        for name, size, options in [("", (6, 8), {}), ("_half_pixel", (4, 3), {"halfPixelCenters": True}), ("_corners", (5, 7), {"alignCorners": True})]:
            m = Model(f"resize_nearest_neighbor_{kind}{name}")
            inputs = [m.input(kind, (1, 3, 4, 2)), m.integers(size)]
            m.write(m.operator("RESIZE_NEAREST_NEIGHBOR", inputs, m.value(kind, (1, *size, 2)), "ResizeNearestNeighbor", **options))
    m = Model("split_v_int8")
    parts = [m.value("int8", (1, 3, size, 2)) for size in (1, 3)]
    m.operator("SPLIT_V", [m.input("int8", (1, 3, 4, 2)), m.integers([1, 3]), m.integers([2])], parts, "SplitV", numSplits=2)
    m.write(*parts)
    m = Model("slice_int8")
    inputs = [m.input("int8", (1, 3, 4, 5)), m.integers([0, 1, 0, 2]), m.integers([1, 2, -1, 3])]
    m.write(m.operator("SLICE", inputs, m.value("int8", (1, 2, 4, 3)), "Slice"))


def quantization():
    for kind in ["int8", "int16"]:
        m = Model(f"quantize_float32_{kind}")
        m.write(m.operator("QUANTIZE", [m.input("float32", (1, 3, 4, 5))], m.value(kind, (1, 3, 4, 5), 0.07, 5), "Quantize"))
        m = Model(f"dequantize_{kind}")
        m.write(m.operator("DEQUANTIZE", [m.input(kind, (1, 3, 4, 5))], m.value("float32", (1, 3, 4, 5)), "Dequantize"))
        for to in ["int8", "int16"]:
            m = Model(f"quantize_{kind}_{to}")
            m.write(m.operator("QUANTIZE", [m.input(kind, (1, 3, 4, 5))], m.value(to, (1, 3, 4, 5), 0.07, 5), "Quantize"))


def networks():
    """What passes over a graph make smaller, or must leave alone."""
    for kind in KINDS:
        # A padding, a convolution, an activation of its own and a pooling: one layer.
        m = Model(f"network_{kind}_one_layer")
        x = m.pad(kind, m.input(kind, (1, 6, 6, 2)), [(0, 0), (1, 1), (1, 1), (0, 0)])
        x = m.activation("RELU", kind, m.conv(kind, x, 4, (3, 3), padding=VALID, zero=-60))
        m.write(m.pool("MAX_POOL_2D", kind, x, (2, 2)))
        # The same before a depthwise convolution, then channels that are padded.
        m = Model(f"network_{kind}_depthwise")
        x = m.pad(kind, m.input(kind, (1, 7, 7, 3)), [(0, 0), (0, 1), (0, 1), (0, 0)])
        x = m.activation("RELU6", kind, m.depthwise(kind, x, 1, (3, 3), stride=(2, 2), padding=VALID))
        m.write(m.pad(kind, x, [(0, 0), (0, 0), (0, 0), (1, 2)]))
        # A residual block: the padded value is read twice, and the sum has an activation behind it.
        m = Model(f"network_{kind}_residual")
        x = m.pad(kind, m.input(kind, (1, 5, 5, 3)), [(0, 0), (1, 1), (1, 1), (0, 0)])
        y = m.conv(kind, x, 3, (3, 3), zero=-20)
        y = m.operator("ADD", [x, y], m.value(kind, (1, 7, 7, 3), 0.09, -3), "Add")
        y = m.activation("RELU", kind, y)
        y = m.operator("MEAN", [y, m.integers([1, 2])], m.like(kind, y, (1, 3)), "Reducer") if kind != "float32" else m.reshape(kind, y, (1, 147))
        m.write(m.dense(kind, y, 4))
        # Nothing but names: reshapes of reshapes, a slice of everything, a concatenation of one, a pad of nothing.
        m = Model(f"network_{kind}_moves")
        x = m.reshape(kind, m.input(kind, (1, 4, 3, 2)), (1, 24))
        x = m.reshape(kind, x, (1, 2, 6, 2))
        numbers = [m.integers(n) for n in ([0, 0, 0, 0], [1, 2, 6, 2], [1, 1, 1, 1])]
        x = m.operator("STRIDED_SLICE", [x, *numbers], m.like(kind, x, (1, 2, 6, 2)), "StridedSlice")
        x = m.operator("CONCATENATION", [x], m.like(kind, x, (1, 2, 6, 2)), "Concatenation", axis=3)
        x = m.pad(kind, x, [(0, 0)] * 4)
        m.write(m.pool("MAX_POOL_2D", kind, x, (1, 1), activation=RELU))
        # Constants alone at first, and a branch that nothing needs.
        m = Model(f"network_{kind}_constants")
        input = m.input(kind, (1, 3, 4, 5))
        zeros = m.constant(kind, (1, 1, 1, 5), 0.04, 1)
        x = m.pad(kind, m.operator("MUL", [zeros, m.constant(kind, (1, 1, 1, 5), 0.04, 1)], m.value(kind, (1, 1, 1, 5), 0.05, 0), "Mul"),
                  [(0, 0), (1, 1), (0, 0), (0, 0)])
        x = m.reshape(kind, x, (1, 3, 1, 5))
        m.activation("TANH", kind, input, *({"int8": (1 / 128, 0), "int16": (256 / 32768, 0)}.get(kind, (None,))))
        m.write(m.operator("ADD", [input, x], m.value(kind, (1, 3, 4, 5), 0.07, -30), "Add"))
    # What must stay: another number in the border, an output zero point in the way of ReLU6, two readers.
    m = Model("network_int8_border")
    x = m.pad("int8", m.input("int8", (1, 5, 5, 2)), [(0, 0), (1, 1), (1, 1), (0, 0)], value=9)
    m.write(m.conv("int8", x, 3, (3, 3), padding=VALID))
    m = Model("network_int8_two_readers")
    x = m.conv("int8", m.input("int8", (1, 6, 6, 2)), 3, (3, 3), zero=-60)
    m.write(m.activation("RELU", "int8", x), m.pool("MAX_POOL_2D", "int8", x, (2, 2)))
    # A pooling with a border does not lose its padding to the border's zeros.
    m = Model("network_int8_pooled_border")
    x = m.pad("int8", m.input("int8", (1, 5, 5, 2)), [(0, 0), (1, 0), (1, 0), (0, 0)])
    y = m.pool("MAX_POOL_2D", "int8", x, (2, 2), padding=VALID)
    m.write(y, m.pool("AVERAGE_POOL_2D", "int8", x, (3, 3), stride=(1, 1), padding=VALID))
    m = Model("network_int8_low_border")
    x = m.pad("int8", m.input("int8", (1, 5, 5, 2)), [(0, 0), (1, 0), (1, 0), (0, 0)], value=-128)
    m.write(m.pool("MAX_POOL_2D", "int8", x, (2, 2), padding=VALID))
    # A ReLU that moves to another scale cannot be fused; one that keeps it can.
    m = Model("network_int8_relu_scale")
    x = m.conv("int8", m.input("int8", (1, 5, 5, 2)), 3, (3, 3), zero=-60)
    m.write(m.activation("RELU", "int8", x, 0.03, -128))


def refused():
    """What the importer does not read: files alone, in a folder of their own."""
    folder = HERE / "refused"
    folder.mkdir(exist_ok=True)

    def write(m, *outputs, change=None):
        m.outputs = list(outputs)
        if change:
            change(m)
        (folder / f"{m.name}.tflite").write_bytes(m.bytes())

    for opcode in ["GELU", "RESIZE_BILINEAR", "TRANSPOSE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BITCAST"]:
        m = Model(opcode.lower())
        x = m.activation("RELU", "int8", m.input("int8", (1, 3, 4, 2)))
        write(m, m.activation(opcode, "int8", x))
    m = Model("custom")
    x = m.input("int8", (1, 3, 4, 2))
    output = m.value("int8", (1, 3, 4, 2))
    m.operators.append(editor.Operator(opcode=schema.BuiltinOperator.CUSTOM, custom_code="MyVeryOwn", inputs=[x], outputs=[output]))
    write(m, output)
    m = Model("two_operators")
    x = m.activation("ELU", "int8", m.input("int8", (1, 3, 4, 2)))
    write(m, m.activation("GELU", "int8", m.activation("RELU", "int8", x)))
    m = Model("hybrid")
    x = m.input("float32", (1, 4, 4, 3))
    weights = m.tensor("int8", (2, 1, 1, 3), [0.1, 0.1], 0, m.some("int8", (2, 1, 1, 3)), 0)
    write(m, m.operator("CONV_2D", [x, weights], m.value("float32", (1, 4, 4, 2)), "Conv2D", strideH=1, strideW=1))
    m = Model("batch")
    write(m, m.activation("RELU", "int8", m.input("int8", (2, 3, 4, 2))))
    m = Model("fused_n1")
    write(m, m.conv("int8", m.input("int8", (1, 4, 4, 3)), 2, (1, 1), activation=schema.ActivationFunctionType.RELU_N1_TO_1))
    m = Model("lowest_weight")
    x = m.input("int8", (1, 4, 4, 1))
    weights = m.tensor("int8", (1, 1, 1, 1), [0.1], 0, np.full((1, 1, 1, 1), -128, np.int8), 0)
    write(m, m.operator("CONV_2D", [x, weights], m.value("int8", (1, 4, 4, 1)), "Conv2D", strideH=1, strideW=1))
    m = Model("channel_mean")
    write(m, m.operator("MEAN", [m.input("int8", (1, 4, 2, 3)), m.integers([3])], m.value("int8", (1, 4, 2)), "Reducer"))
    m = Model("scales")
    parts = [m.input("int8", (1, 2, 2, 1)), m.input("int8", (1, 2, 2, 1), scale=0.07)]
    write(m, m.operator("CONCATENATION", parts, m.value("int8", (1, 2, 2, 2)), "Concatenation", axis=3))
    m = Model("five_dimensions")
    write(m, m.activation("RELU", "int8", m.input("int8", (1, 2, 2, 2, 2))))
    # One weight, and as many plain convolutions as the output has pixels.
    m = Model("transpose_conv_strides")
    x = m.input("int8", (1, 1, 1, 1))
    weights = m.filters("int8", (1, 1, 1, 1), x, 0, 1)
    size = (1, 65536, 16384, 1)
    write(m, m.operator("TRANSPOSE_CONV", [m.integers(size), weights[0], x, weights[1]], m.value("int8", size),
                        "TransposeConv", padding=SAME, strideH=65536, strideW=16384))
    m = Model("int32")
    m.inputs.append(m.tensor("int32", (1, 4)))
    write(m, m.operator("RELU", m.inputs, m.tensor("int32", (1, 4))))


if __name__ == "__main__":
    convolutions()
    pools()
    activations()
    arithmetic()
    arrangement()
    quantization()
    networks()
    refused()
