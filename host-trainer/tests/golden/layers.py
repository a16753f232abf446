"""Writes layers.json: what PyTorch computes, in float64, for one network of each kind of layer and for residual ones:
outputs, gradients of the inputs and of the parameters, and the running statistics of batch normalization.

    python layers.py

Needs PyTorch (2.x, the CPU suffices). Names, shapes and order of parameters are those of the networks in
src/nn/tests.rs; both sides make the same inputs, parameters and weights of the loss, by `numbers`. Of a tensor the file
has at most VALUES elements, evenly spread, and one sum over all of them."""

import json
import math
import os
import zlib

import torch
import torch.nn.functional as F

IMAGES = 3
VALUES = 40


def numbers(seed, count):
    """Multiples of 2^-22 on [-1, 1): the upper bits of Knuth's linear congruential generator, by their seed."""
    state, result = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        result.append((state >> 41) / 2**22 - 1.0)
    return torch.tensor(result, dtype=torch.float64)


def single(x):
    """A constant as float32 holds it: so the layers have them."""
    return torch.tensor(x, dtype=torch.float32).double().item()


# Of the case "dropout", a bit for each value of all images, most significant bits first: whether it is kept. The trainer
# draws it, from its own generator, for a step whose seed is 0; PyTorch computes with it.
KEPT = 0xba2d10f7dcb0d6eedf6e3737a2f3391e3b1720f9d57bfad913c578d7


class Layers:
    """Layers over NHWC, which take their parameters one after the other: weights, then biases."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.taken = 0
        self.statistics = []

    def take(self, *shape):
        count = torch.Size(shape).numel()
        self.taken += count
        if self.taken > len(self.parameters):
            # Counting, with parameters that nobody sees.
            return numbers(self.taken, count).reshape(shape)
        return self.parameters[self.taken - count:self.taken].reshape(shape)

    def conv(self, x, filters, filter, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, bias=True):
        weights = self.take(filters, *filter, x.shape[3] // groups).permute(0, 3, 1, 2)
        bias = self.take(filters) if bias else None
        return nhwc(F.conv2d(pad(nchw(x), padding), weights, bias, stride, 0, dilation, groups))

    def depthwise(self, x, filter, multiplier=1, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1)):
        channels = x.shape[3]
        weights = self.take(*filter, channels * multiplier).permute(2, 0, 1).unsqueeze(1)
        bias = self.take(channels * multiplier)
        return nhwc(F.conv2d(pad(nchw(x), padding), weights, bias, stride, 0, dilation, channels))

    def transposed(self, x, filters, filter, bias=True, **options):
        weights = self.take(filters, *filter, x.shape[3]).permute(3, 0, 1, 2)
        return nhwc(F.conv_transpose2d(nchw(x), weights, self.take(filters) if bias else None, **options))

    def locally_connected(self, x, filters, filter, stride, padding):
        x = pad(nchw(x), padding)
        channels = x.shape[1]
        rows, columns = [(x.shape[2 + i] - filter[i]) // stride[i] + 1 for i in range(2)]
        # [image][channel, row and column of the filter][pixel]
        patches = F.unfold(x, filter, stride=stride).reshape(-1, channels, *filter, rows * columns)
        weights = self.take(rows * columns, filters, *filter, channels)
        bias = self.take(rows * columns, filters)
        return (torch.einsum("nchwp,pfhwc->npf", patches, weights) + bias).reshape(-1, rows, columns, filters)

    def dense(self, x, outputs, bias=True):
        weights = self.take(outputs, x[0].numel())
        return F.linear(x.flatten(1), weights, self.take(outputs) if bias else None)[:, None, None, :]

    def batch_norm(self, x, momentum=0.1, epsilon=1e-5):
        channels = x.shape[3]
        gamma, beta = self.take(channels), self.take(channels)
        mean, variance = torch.zeros(channels).double(), torch.ones(channels).double()
        y = nhwc(F.batch_norm(nchw(x), mean, variance, gamma, beta, True, single(momentum), single(epsilon)))
        self.statistics += [mean, variance]
        return y

    def prelu(self, x):
        return nhwc(F.prelu(nchw(x), self.take(x.shape[3])))


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def pad(x, padding, value=0.0):
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value)


def max_pool(x, window, stride=None, padding=(0, 0, 0, 0)):
    return nhwc(F.max_pool2d(pad(nchw(x), padding, float("-inf")), window, stride or window))


def average_pool(x, window, stride=None, padding=(0, 0, 0, 0), including_padding=False):
    x, stride = nchw(x), stride or window
    sums = F.avg_pool2d(pad(x, padding), window, stride, divisor_override=1)
    counts = F.avg_pool2d(pad(torch.ones_like(x), padding), window, stride, divisor_override=1)
    return nhwc(sums / (window[0] * window[1] if including_padding else counts))


def global_average(x):
    return x.mean(dim=(1, 2), keepdim=True)


def pyramid(x, levels, pool):
    bins = [nhwc(pool(nchw(x), level)).flatten(1) for level in levels]
    return torch.cat(bins, 1)[:, None, None, :]


def blur(x, taps, stride, mode, max=1):
    x = nchw(F.max_pool2d(nchw(x), max, 1).permute(0, 2, 3, 1))
    row = torch.ones(1, dtype=torch.float64)
    for _ in range(taps - 1):
        row = F.pad(row, (0, 1)) + F.pad(row, (1, 0))
    row /= row.sum()
    before, after = (taps - 1) // 2, taps // 2
    filters = (row[:, None] * row).expand(x.shape[1], 1, taps, taps)
    return nhwc(F.conv2d(F.pad(x, (before, after, before, after), mode), filters, None, stride, groups=x.shape[1]))


def local_response(x, size, alpha, beta, k):
    # PyTorch divides alpha by the size.
    return nhwc(F.local_response_norm(nchw(x), size, single(alpha) * size, single(beta), single(k)))


def corners(size, outputs):
    """The nearest of `size` rows or columns for each output, where the first and the last fall together."""
    return [math.floor(i * (size - 1) / (outputs - 1) + 0.5) for i in range(outputs)]


def hard_sigmoid(x):
    # The gradient of F.hardsigmoid has 1 / 6 in float32, even for float64.
    return F.relu6(x + 3.0) / 6.0


def leaky_relu(slope):
    return lambda x: F.leaky_relu(x, single(slope))


def dropout(x, rate):
    count = x.numel()
    kept = torch.tensor([KEPT >> (count - 1 - i) & 1 for i in range(count)], dtype=torch.float64)
    return x * kept.reshape(x.shape) / (1.0 - single(rate))


def joined(join, pixel=False):
    def network(net, x):
        channels = x.shape[3]
        first = net.depthwise(x, (1, 1))
        second = net.conv(x, channels, (3, 3), padding=(1, 1, 1, 1))
        return join(first, global_average(second) if pixel else second)
    return network


def behind(function):
    """A layer behind a convolution of 1 x 1."""
    return lambda net, x: function(net, net.conv(x, x.shape[3], (1, 1)))


def plain(function):
    """One without parameters."""
    return behind(lambda net, x: function(x))


def residual(net, x):
    x = F.relu(net.batch_norm(net.conv(x, 5, (3, 3), padding=(1, 1, 1, 1), bias=False)))
    y = F.relu6(net.batch_norm(net.conv(x, 6, (3, 3), (2, 2), (1, 1, 1, 1))))
    y = net.conv(y, 6, (3, 3), padding=(1, 1, 1, 1))
    short = net.conv(x, 6, (1, 1), (2, 2))
    x = F.relu(short + y)
    x = x + x
    x = x * torch.sigmoid(global_average(x))
    return net.dense(torch.cat([x, short, x], 3), 4)


def basic_blocks(net, x):
    """Two blocks of ResNet-8."""
    same = (1, 1, 1, 1)
    x = F.relu(net.batch_norm(net.conv(x, 4, (3, 3), padding=same)))
    y = F.relu(net.batch_norm(net.conv(x, 4, (3, 3), padding=same)))
    y = net.batch_norm(net.conv(y, 4, (3, 3), padding=same))
    x = F.relu(x + y)
    y = F.relu(net.batch_norm(net.conv(x, 8, (3, 3), (2, 2), same)))
    y = net.batch_norm(net.conv(y, 8, (3, 3), padding=same))
    x = F.relu(net.conv(x, 8, (1, 1), (2, 2)) + y)
    return net.dense(global_average(x), 5)


def inverted_residual(net, x):
    """A block of MobileNet v2 with MobileNet v3's activation and gate."""
    y = F.hardswish(net.batch_norm(net.conv(x, 8, (1, 1), bias=False)))
    y = F.hardswish(net.batch_norm(net.depthwise(y, (3, 3), padding=(1, 1, 1, 1))))
    gate = hard_sigmoid(net.dense(F.relu(net.dense(global_average(y), 3)), 8))
    y = net.batch_norm(net.conv(y * gate, 4, (1, 1), bias=False))
    return net.dense(global_average(x + y), 5)


def reshaped(net, x):
    x = net.conv(x, 2, (1, 1)).reshape(-1, 2, 12, 2)
    return net.conv(x, 3, (2, 2))


NETWORKS = {
    "convolution": ([6, 7, 3], lambda net, x: net.conv(x, 9, (3, 3), padding=(1, 1, 1, 1))),
    "large filter, one channel": ([9, 8, 1], lambda net, x: net.conv(x, 6, (5, 5), padding=(2, 2, 2, 2))),
    "17 filters": ([5, 6, 5], lambda net, x: net.conv(x, 17, (3, 2))),
    "stride": ([9, 11, 2], lambda net, x: net.conv(x, 3, (3, 4), (2, 3), (1, 2, 0, 1))),
    "stride above filter": ([7, 8, 3], lambda net, x: net.conv(x, 4, (1, 2), (3, 3))),
    "dilation": ([9, 8, 3], lambda net, x: net.conv(x, 5, (3, 2), padding=(3, 1, 2, 3), dilation=(2, 3))),
    "dilation and stride": ([10, 9, 2], lambda net, x: net.conv(x, 3, (3, 3), (2, 2), (2, 2, 2, 2), (2, 2))),
    "groups": ([5, 6, 6], lambda net, x: net.conv(x, 9, (3, 3), padding=(1, 1, 1, 1), groups=3, bias=False)),
    "1 x 1": ([4, 3, 20], lambda net, x: net.conv(x, 10, (1, 1))),
    "two convolutions": ([7, 7, 4], lambda net, x: net.conv(net.conv(x, 6, (3, 3), (2, 2), (1, 1, 1, 1)), 5, (2, 2))),
    "convolutions with dilation and groups": (
        [9, 8, 4],
        lambda net, x: net.conv(net.conv(x, 6, (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2)),
                                4, (2, 3), (2, 1), (0, 1, 1, 0), groups=2)),
    "depthwise": ([6, 7, 5], behind(lambda net, x: net.depthwise(x, (3, 3), padding=(1, 1, 1, 1)))),
    "depthwise, multiplier": (
        [7, 9, 3], behind(lambda net, x: net.depthwise(x, (2, 3), 3, (2, 2), (1, 0, 2, 1), (2, 1)))),
    "transposed": (
        [4, 5, 3], behind(lambda net, x: net.transposed(x, 6, (3, 3), stride=2, padding=1, output_padding=1))),
    # PyTorch's padding is symmetric: the rows and columns of two sides are cut off.
    "transposed, odd": (
        [3, 4, 2], behind(lambda net, x: net.transposed(x, 3, (2, 4), bias=False, stride=(1, 3))[:, 1:, :-1])),
    "locally connected": (
        [5, 6, 3], behind(lambda net, x: net.locally_connected(x, 3, (3, 2), (2, 1), (1, 0, 0, 1)))),
    "dense": ([1, 1, 37], lambda net, x: net.dense(x, 29)),
    "dense of a map": ([4, 3, 5], behind(lambda net, x: net.dense(x, 3, bias=False))),
    "maximum": ([6, 8, 5], plain(lambda x: max_pool(x, (2, 2)))),
    "overlapping maxima": ([7, 8, 3], plain(lambda x: max_pool(x, (3, 3), (2, 1), (1, 0, 1, 2)))),
    "average": ([6, 7, 5], plain(lambda x: nhwc(F.avg_pool2d(nchw(x), (2, 3))))),
    "average, padding left out": ([5, 6, 2], plain(lambda x: average_pool(x, (3, 3), (2, 2), (1, 2, 0, 1)))),
    "average, padding counted": ([5, 6, 2], plain(lambda x: average_pool(x, (3, 3), (2, 2), (1, 2, 0, 1), True))),
    "global average": ([5, 6, 7], plain(global_average)),
    "pyramid of maxima": ([5, 7, 3], plain(lambda x: pyramid(x, [1, 2, 3], F.adaptive_max_pool2d))),
    "pyramid of averages": ([5, 7, 3], plain(lambda x: pyramid(x, [1, 3], F.adaptive_avg_pool2d))),
    "blurred maxima": ([7, 8, 3], plain(lambda x: blur(x, 3, 2, "reflect", 2))),
    "blur": ([6, 7, 2], plain(lambda x: blur(x, 4, 2, "constant"))),
    "batch normalization": ([3, 5, 4], behind(lambda net, x: net.batch_norm(x))),
    "batch normalization of the input": ([3, 2, 3], lambda net, x: net.batch_norm(x, 0.3, 0.01)),
    "batch normalization of pixels": ([1, 1, 6], behind(lambda net, x: net.batch_norm(x))),
    "local response": ([3, 4, 9], plain(lambda x: local_response(x, 5, 0.3, 0.75, 2.0))),
    "local response, any power": ([2, 2, 4], plain(lambda x: local_response(x, 3, 0.5, 0.6, 1.0))),
    "dropout": ([5, 5, 3], plain(lambda x: dropout(x, 0.4))),
    "relu": ([5, 5, 3], plain(F.relu)),
    "relu6": ([5, 5, 3], plain(F.relu6)),
    "leaky relu": ([5, 5, 3], plain(leaky_relu(0.1))),
    "leaky relu, negative slope": ([5, 5, 3], plain(leaky_relu(-0.5))),
    "prelu": ([5, 5, 3], behind(lambda net, x: net.prelu(x))),
    "hard swish": ([5, 5, 3], plain(F.hardswish)),
    "hard sigmoid": ([5, 5, 3], plain(hard_sigmoid)),
    "sigmoid": ([5, 5, 3], plain(torch.sigmoid)),
    "tanh": ([5, 5, 3], plain(torch.tanh)),
    "softmax": ([3, 2, 7], plain(lambda x: F.softmax(x, 3))),
    "relu before pooling": (
        [7, 8, 3], lambda net, x: max_pool(F.relu(net.conv(x, 5, (3, 3))), (3, 3), (2, 2))),
    "sum": ([4, 5, 3], joined(torch.add)),
    "sum with a pixel": ([4, 5, 3], joined(torch.add, True)),
    "difference": ([4, 5, 3], joined(torch.sub)),
    "difference with a pixel": ([4, 5, 3], joined(torch.sub, True)),
    "product": ([4, 5, 3], joined(torch.mul)),
    "product with a pixel": ([4, 5, 3], joined(torch.mul, True)),
    "one below the other": ([4, 5, 3], joined(lambda a, b: torch.cat([a, b], 1))),
    "side by side": ([4, 5, 3], joined(lambda a, b: torch.cat([a, b], 2))),
    "channels": ([4, 5, 3], joined(lambda a, b: torch.cat([a, b], 3))),
    "upsampling": ([3, 4, 5], plain(lambda x: nhwc(F.interpolate(nchw(x), (6, 12), mode="nearest")))),
    "resizing by centres": ([3, 5, 3], plain(lambda x: nhwc(F.interpolate(nchw(x), (5, 3), mode="nearest-exact")))),
    "resizing by corners": ([4, 5, 2], plain(lambda x: x[:, corners(4, 9)][:, :, corners(5, 8)])),
    "padding": ([4, 5, 3], plain(lambda x: F.pad(x, (2, 1, 0, 3, 1, 2)))),
    "slice": ([6, 7, 5], plain(lambda x: x[:, 1::2].flip(2)[:, :, ::2, :-1])),
    "reshape": ([4, 6, 2], reshaped),
    "flatten": ([2, 3, 2], lambda net, x: net.conv(net.conv(x, 2, (1, 1)).reshape(-1, 1, 1, 12), 3, (1, 1))),
    "residual": ([8, 7, 3], residual),
    "basic blocks": ([8, 8, 3], basic_blocks),
    "inverted residual": ([6, 5, 4], inverted_residual),
}


def sample(tensor):
    """At most VALUES elements, and the sum of all, each times a number of its own."""
    flat = tensor.detach().flatten()
    count = len(flat)
    chosen = [i * count // VALUES for i in range(VALUES)] if count > VALUES else range(count)
    rounded = [float(f"{flat[i].item():.12g}") for i in chosen]
    return {"count": count, "values": rounded, "sum": float(f"{(flat * numbers(9, count)).sum().item():.12g}")}


def case(name, shape, network):
    seed = zlib.crc32(name.encode())
    x = (2.0 * numbers(seed + 1, IMAGES * torch.Size(shape).numel())).reshape(IMAGES, *shape).requires_grad_()
    count = Layers([])
    network(count, x)
    parameters = (2.0 * numbers(seed + 2, count.taken)).requires_grad_()
    net = Layers(parameters)
    y = network(net, x)
    loss = (y.flatten() * numbers(seed + 3, y.numel())).sum()
    loss.backward()
    result = {"seed": seed, "outputs": sample(y), "inputs": sample(x.grad), "parameters": sample(parameters.grad)}
    if net.statistics:
        result["state"] = sample(torch.cat(net.statistics))
    return result


cases = {name: case(name, *network) for name, network in NETWORKS.items()}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.json"), "w") as file:
    file.write(f'{{"torch": "{torch.__version__.split("+")[0]}", "images": {IMAGES}, "cases": {{\n')
    file.write(",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items()))
    file.write("\n}}\n")
