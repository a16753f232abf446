#!/usr/bin/env python3
"""Writes ONNX files with inputs and what onnxruntime computes, for the tests to compare with.

    python3 -m venv venv && venv/bin/pip install numpy onnx onnxruntime onnxscript torch
    venv/bin/python host-trainer/tests/onnx/make.py

For each network there are NAME.onnx; NAME.in, inputs one after the other; and NAME.out, the outputs. They are f32, little-
endian, in the order height, width, channels: pictures are transposed here, and vectors are as they are.

Networks of one operator are in float32 and quantized by `quantize_static`; those of PyTorch come from both of its exporters.
onnxruntime computes without graph optimizations, so that a quantized network is what ONNX says: operators on real numbers
between DequantizeLinear and QuantizeLinear. The script prints how much its fused integer kernels differ from that.

All numbers are drawn with fixed seeds.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

HERE = Path(__file__).parent
INPUTS = 4


def channels_last(array):
    return np.moveaxis(array, 1, -1) if array.ndim >= 3 else array


def run(path, inputs, optimized=False):
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return [session.run(None, dict(zip(names, arrays))) for arrays in inputs]


def draw(shapes, count, seed):
    rng = np.random.default_rng(seed)
    return [[rng.normal(0, 1.2, shape).astype(np.float32) for shape in shapes] for _ in range(count)]


def write(name, inputs):
    """Writes the inputs and the outputs of a network that is there."""
    path = HERE / f"{name}.onnx"
    outputs = run(path, inputs)
    order = (lambda arrays: arrays) if name.startswith("linear_") else (lambda arrays: map(channels_last, arrays))
    join = lambda all: b"".join(np.ascontiguousarray(a, a.dtype).tobytes() for arrays in all for a in order(arrays))
    (HERE / f"{name}.in").write_bytes(join(inputs))
    (HERE / f"{name}.out").write_bytes(join(outputs))
    fused = run(path, inputs, optimized=True)
    pairs = [(a, b) for x, y in zip(outputs, fused) for a, b in zip(x, y)]
    differing = sum(int((a != b).sum()) for a, b in pairs)
    most = max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in pairs)
    size = path.stat().st_size
    print(f"{name}: {size} bytes, {sum(a.size for a, _ in pairs)} outputs, fused kernels differ in {differing}, by {most:.3g}")


class Reader(CalibrationDataReader):
    def __init__(self, names, inputs):
        self.inputs = iter([dict(zip(names, arrays)) for arrays in inputs])

    def get_next(self):
        return next(self.inputs, None)


def quantize(model, name, shapes, activations=QuantType.QInt8, **options):
    """Quantizes a network with random inputs and writes it."""
    options = {"WeightSymmetric": True, **options}
    types = options.pop("types", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        onnx.save(model, path)
        quant_pre_process(str(path), str(path), skip_optimization=types is not None)
        names = [i.name for i in onnx.load(path).graph.input]
        quantize_static(
            str(path),
            str(HERE / f"{name}.onnx"),
            Reader(names, draw(shapes, 16, 7)),
            quant_format=options.pop("quant_format", QuantFormat.QDQ),
            per_channel=options.pop("per_channel", True),
            activation_type=activations,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=types,
            extra_options=options,
        )


def network(name, nodes, shapes, constants, opset=20):
    """A network of nodes; its inputs are `x`, `y`..., its output is `z`."""
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip("xyw", shapes)]
    output = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    return model


def both(name, nodes, shapes, constants=None, opset=20, kinds=("float32", "int8"), **options):
    """A network in float32 and in int8; uint8 and others where they are asked for."""
    model = network(name, nodes, shapes, constants or {}, opset)
    inputs = draw(shapes, INPUTS, sum(name.encode()))
    for kind in kinds:
        if kind == "float32":
            onnx.save(model, HERE / f"{name}_float32.onnx")
        else:
            types = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
            # Every operator, whatever comes before it.
            forced = dict(types=sorted({n.op_type for n in nodes}), ForceQuantizeNoInputCheck=True)
            quantize(model, f"{name}_{kind}", shapes, types[kind], **{**forced, **options})
        write(f"{name}_{kind}", inputs)


def node(kind, inputs="x", output="z", **attributes):
    return helper.make_node(kind, inputs.split(" "), output.split(" "), **attributes)


def weights(*shape, seed=1, scale=0.4):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def operators():
    x = [1, 6, 7, 5]
    all_kinds = ("float32", "int8", "uint8")
    conv = dict(w=weights(8, 6, 3, 3), b=weights(8, seed=2))
    both("conv", [node("Conv", "x w b", "a", pads=[1, 0, 2, 1], strides=[2, 1]), node("Relu", "a")], [x], conv, kinds=all_kinds)
    both("conv_same_upper", [node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2])], [x], dict(w=conv["w"]))
    both("conv_same_lower", [node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2])], [x], dict(w=conv["w"]), kinds=("float32",))
    both("conv_groups", [node("Conv", "x w b", group=3, dilations=[2, 1], pads=[2, 1, 2, 1])], [x], dict(w=weights(9, 2, 3, 3), b=weights(9)))
    both("conv_depthwise", [node("Conv", "x w b", "a", group=6, pads=[1, 1, 1, 1], strides=[1, 2]), node("Clip", "a low high")], [x],
         dict(w=weights(12, 1, 3, 3), b=weights(12), low=np.float32(0), high=np.float32(6)))
    both("conv_per_tensor", [node("Conv", "x w b")], [x], conv, kinds=("int8",), per_channel=False)
    both("conv_1d", [node("Conv", "x w b", pads=[1, 1])], [[1, 4, 9]], dict(w=weights(3, 4, 3), b=weights(3)))
    both("conv_transpose", [node("ConvTranspose", "x w b", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])], [[1, 4, 3, 5]],
         dict(w=weights(4, 3, 4, 4), b=weights(3)))
    both("gemm", [node("Gemm", "x w b", transB=1)], [[1, 20]], dict(w=weights(7, 20), b=weights(7)), kinds=all_kinds)
    both("flatten_gemm", [node("Flatten", "x", "a"), node("Gemm", "a w b", transB=0)], [x], dict(w=weights(210, 9, scale=0.1), b=weights(9)))
    both("linear_matmul", [node("MatMul", "x w", "a"), node("Add", "a b")], [[1, 5, 6]], dict(w=weights(6, 4), b=weights(4)))
    both("batch_norm", [node("Conv", "x w", "a", pads=[1, 1, 1, 1]), node("BatchNormalization", "a s b m v", "c", epsilon=1e-3), node("Relu", "c")], [x],
         dict(w=conv["w"], s=weights(8, seed=3), b=weights(8, seed=4), m=weights(8, seed=5), v=np.abs(weights(8, seed=6)) + 0.1), kinds=("float32",))
    both("batch_norm_alone", [node("BatchNormalization", "x s b m v")], [x],
         dict(s=weights(6, seed=3), b=weights(6, seed=4), m=weights(6, seed=5), v=np.abs(weights(6, seed=6)) + 0.1), kinds=("float32",))
    both("max_pool", [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1)], [x])
    both("average_pool", [node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 1], count_include_pad=1)], [x])
    both("average_pool_ceil", [node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], [x])
    both("global_average_pool", [node("GlobalAveragePool")], [x])
    both("reduce_mean", [node("ReduceMean", "x axes", keepdims=0)], [x], dict(axes=ints(2, 3)))
    both("reduce_mean_13", [node("ReduceMean", "x", axes=[-2, -1], keepdims=1)], [x], opset=13, kinds=("float32",))
    for kind, attributes in dict(LeakyRelu=dict(alpha=0.1), Sigmoid={}, Tanh={}, HardSwish={}, HardSigmoid=dict(alpha=1 / 6)).items():
        both(kind.lower(), [node(kind, **attributes)], [x])
    # Activations that onnxruntime's quantizer leaves by themselves, as it does in symmetric networks.
    scaled = dict(c=np.float32(1.7), low=np.float32(-0.7), high=np.float32(1.1), six=np.float32(6), zero=np.float32(0))
    for kind, inputs in dict(relu="a", clip="a low high", relu6="a zero six").items():
        nodes = [node("Mul", "x c", "a"), node("Relu" if kind == "relu" else "Clip", inputs)]
        kinds = ("int8",) if kind == "clip" else ("float32", "int8")
        both(kind, nodes, [x], {k: v for k, v in scaled.items() if k in f"c {inputs}".split()}, kinds=kinds, ActivationSymmetric=True)
    both("prelu", [node("PRelu", "x s")], [x], dict(s=weights(6, 1, 1)))
    both("softmax", [node("Softmax", "x", axis=1)], [x])
    both("softmax_vector", [node("Softmax", "x")], [[1, 10]], kinds=("float32",))
    for kind in ("Add", "Sub", "Mul"):
        both(kind.lower(), [node(kind, "x y")], [x, x], kinds=all_kinds if kind == "Add" else ("float32", "int8"))
    both("add_constant", [node("Add", "x c")], [x], dict(c=weights(6, 1, 1)))
    both("sub_constant_first", [node("Sub", "c x")], [x], dict(c=weights(6, 1, 1)))
    both("mul_channels", [node("GlobalAveragePool", "x", "a"), node("Sigmoid", "a", "s"), node("Mul", "x s")], [x])
    both("div_constant", [node("Div", "x c")], [x], dict(c=np.float32(6)), kinds=("float32",))
    both("concat", [node("Concat", "x y", axis=1)], [x, [1, 2, 7, 5]])
    both("concat_rows", [node("Relu", "y", "a"), node("Concat", "x a", axis=2)], [x, [1, 6, 2, 5]])
    both("pad", [node("Pad", "x pads")], [x], dict(pads=ints(0, 1, 2, 0, 0, 0, 1, 3)))
    both("slice", [node("Slice", "x begin end axes steps")], [x], dict(begin=ints(1, -1), end=ints(6, -9), axes=ints(1, 2), steps=ints(2, -3)))
    both("split", [node("Split", "x", "a b", axis=1, num_outputs=2), node("Sub", "b a")], [x])
    both("gather", [node("Gather", "x i", axis=2)], [x], dict(i=np.int64(-2)), kinds=("float32",))
    both("resize", [node("Resize", "x  scales", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")], [x],
         dict(scales=np.array([1, 1, 2, 3], np.float32)))
    both("resize_sizes", [node("Resize", "x   sizes", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")], [x],
         dict(sizes=ints(1, 6, 14, 10)), kinds=("float32",))
    both("linear_transposes", [node("Transpose", "x", "a", perm=[0, 3, 1, 2]), node("Conv", "a w b", "c"), node("Transpose", "c", perm=[0, 2, 3, 1])],
         [[1, 7, 5, 6]], conv, kinds=("float32",))
    both("qlinear", [node("Conv", "x w b", "a"), node("Relu", "a", "c"), node("GlobalAveragePool", "c", "d"), node("Flatten", "d", "e"), node("MatMul", "e m")],
         [x], dict(**conv, m=weights(8, 5)), kinds=("int8",), quant_format=QuantFormat.QOperator)


def pytorch():
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, channels, filters, stride):
            super().__init__()
            self.first = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
            self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
            self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(2))
            self.skip = nn.Conv2d(channels, filters, 1, stride) if stride != 1 else nn.Identity()

        def forward(self, x):
            y = F.relu(self.norms[0](self.first(x)))
            return F.relu(self.norms[1](self.second(y)) + self.skip(x))

    def separable(channels, filters, stride):
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels), nn.ReLU6(),
            nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU6())

    class Activations(nn.Module):
        """Operators that residual and separable networks have not."""

        def __init__(self):
            super().__init__()
            self.conv, self.slopes = nn.Conv2d(2, 6, 3, padding=1), nn.PReLU(6)
            self.up, self.dense = nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Linear(4 * 5 * 5, 6)

        def forward(self, x):
            x = self.slopes(F.hardswish(self.conv(x)))
            x = F.leaky_relu(F.silu(F.max_pool2d(x, 2)), 0.1)
            x = F.interpolate(self.up(x), scale_factor=2, mode="nearest")
            x = F.pad(x, (1, 1, 1, 1))[:, :, 2:-1, 2:-1]
            a, b = x.chunk(2, 1)
            x = F.avg_pool2d(torch.cat([a, b * 2], 1), 3, ceil_mode=True)
            x = torch.tanh(self.dense(F.dropout(F.hardsigmoid(x), 0.5, self.training).view(x.size(0), -1)))
            return torch.softmax(x, -1)

    torch.manual_seed(1)
    networks = dict(
        residual=(nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(8, 8, 1), Block(8, 12, 2),
                                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10), nn.Softmax(-1)), [1, 3, 12, 12]),
        separable=(nn.Sequential(nn.Conv2d(1, 8, (5, 3), 2, (2, 1)), nn.BatchNorm2d(8), nn.ReLU6(), separable(8, 12, 1), separable(12, 16, 2),
                                 nn.AvgPool2d(3), nn.Flatten(), nn.Dropout(), nn.Linear(16 * 2, 5)), [1, 1, 24, 12]),
        activations=(Activations(), [1, 2, 8, 8]),
    )
    for name, (module, shape) in networks.items():
        # Batch normalization with numbers as after training.
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, 0, 0.2)
                nn.init.uniform_(part.running_var, 0.3, 1.5)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.3)
        module.eval()
        inputs = draw([shape], INPUTS, len(name))
        for exporter, dynamo in (("dynamo", True), ("script", False)):
            path = HERE / f"torch_{name}_{exporter}.onnx"
            # One keeps its weights in a file beside it.
            external = name == "residual"
            options = dict(external_data=external) if dynamo else dict(dynamic_axes={"x": {0: "batch"}})
            torch.onnx.export(module, (torch.randn(shape),), str(path), dynamo=dynamo, input_names=["x"], verbose=False, **options)
            model = onnx.load(path)
            # Descriptions of the machine that exported it.
            for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph, model):
                del part.metadata_props[:]
                part.doc_string = ""
            for part in model.graph.node:
                part.doc_string = ""
            if dynamo and external:
                (HERE / f"{path.name}.data").unlink(missing_ok=True)
                onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=64)
            else:
                onnx.save(model, path)
            with torch.no_grad():
                ours = [module(torch.from_numpy(arrays[0])).numpy() for arrays in inputs]
            theirs = [outputs[0] for outputs in run(path, inputs)]
            print(f"PyTorch and onnxruntime differ by {max(np.abs(a - b).max() for a, b in zip(ours, theirs)):.3g}")
            write(f"torch_{name}_{exporter}", inputs)
        for kind, activations in (("int8", QuantType.QInt8), ("uint8", QuantType.QUInt8)):
            quantize(onnx.load(HERE / f"torch_{name}_dynamo.onnx"), f"torch_{name}_{kind}", [shape], activations)
            write(f"torch_{name}_{kind}", inputs)


if __name__ == "__main__":
    for old in HERE.glob("*.*"):
        if old.suffix in (".onnx", ".in", ".out", ".data") and len(sys.argv) == 1:
            old.unlink()
    operators()
    pytorch()
