"""The same networks and steps as `train_speed.rs`, in PyTorch.

    train_speed.py lenet|resnet8|alexnet BATCH SECONDS channels_last|contiguous
"""

import json
import sys
import time

import torch
from torch import nn


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    ), (1, 28, 28)


class Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.same = nn.Identity() if stride == 1 else nn.ZeroPad2d((0, 1, 0, 1))
        self.first = nn.Conv2d(channels, filters, 3, stride, padding=1 if stride == 1 else 0, bias=False)
        self.second = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(filters), nn.BatchNorm2d(filters)])
        self.short = nn.Identity() if stride == 1 else nn.Conv2d(channels, filters, 1, stride)

    def forward(self, x):
        y = torch.relu(self.norms[0](self.first(self.same(x))))
        return torch.relu(self.norms[1](self.second(y)) + self.short(x))


def resnet8():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    ), (3, 32, 32)


def alexnet():
    def conv(channels, filters, size, stride, padding):
        return nn.Conv2d(channels, filters, size, stride, padding), nn.ReLU(inplace=True)

    return nn.Sequential(
        *conv(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), *conv(64, 192, 5, 1, 2), nn.MaxPool2d(3, 2),
        *conv(192, 384, 3, 1, 1), *conv(384, 256, 3, 1, 1), *conv(256, 256, 3, 1, 1), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(inplace=True),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 1000),
    ), (3, 224, 224)


def main():
    name, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    memory_format = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}[sys.argv[4]]
    torch.set_num_threads(2)
    torch.manual_seed(1)
    model, shape = {"lenet": lenet, "resnet8": resnet8, "alexnet": alexnet}[name]()
    model = model.to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    images = torch.rand(batch, *shape).to(memory_format=memory_format)
    labels = torch.arange(batch) % 10

    def step():
        optimizer.zero_grad(set_to_none=False)
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    for _ in range(3):
        step()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    speed = steps * batch / (time.perf_counter() - start)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(json.dumps({"images_per_second": speed, "peak_bytes": 1024 * int(peak.split()[1]), "version": torch.__version__}))


main()
