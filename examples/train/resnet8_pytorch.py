"""The recipe of resnet8.toml in PyTorch, quantized by TensorFlow Lite: what the accuracy of `host-trainer` is measured
against.

    pip install torch tensorflow
    python resnet8_pytorch.py --train data_batch_1.bin ... --test test_batch.bin --seeds 1 2 3

Architecture, initial weights, augmentation, optimizer, schedule, batch size and epochs are those of the description; only
the random numbers differ. The trained network goes through TensorFlow Lite's own converter (full integer, filters per
channel, ranges of activations from 512 training images) and runs in its interpreter.
"""

import argparse
import gzip
import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CALIBRATION_IMAGES = 512
EPSILON = 1e-5


def records(paths):
    """Images [count, 3, 32, 32] and labels of CIFAR-10's binary records, plain or gzip."""
    parts = []
    for path in paths:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            data = np.frombuffer(file.read(), np.uint8)
        if len(data) % 3073:
            sys.exit(f"{path}: {len(data)} bytes are no whole number of CIFAR-10's records of 3,073")
        parts.append(data.reshape(-1, 3073))
    data = np.concatenate(parts)
    return torch.from_numpy(data[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(data[:, 0].astype(np.int64))


class Conv(nn.Module):
    """A convolution with TensorFlow's "same" padding, and batch normalization where there is no bias."""

    def __init__(self, inputs, filters, size, stride=1, norm=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, filters, size, stride, bias=not norm)
        bound = math.sqrt(6 / (inputs * size * size))
        nn.init.uniform_(self.conv.weight, -bound, bound)
        self.norm = nn.BatchNorm2d(filters, eps=EPSILON) if norm else None
        if not norm:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        total = max(0, self.conv.kernel_size[0] - self.conv.stride[0])
        x = self.conv(F.pad(x, (total // 2, total - total // 2) * 2))
        return self.norm(x) if self.norm else x


class ResNet8(nn.Module):
    """Three stacks of 16, 32 and 64 filters."""

    def __init__(self):
        super().__init__()
        self.first = Conv(3, 16, 3)
        self.stacks = nn.ModuleList()
        inputs = 16
        for filters, stride in [(16, 1), (32, 2), (64, 2)]:
            parts = [Conv(inputs, filters, 3, stride), Conv(filters, filters, 3)]
            if stride > 1:
                parts.append(Conv(inputs, filters, 1, stride, norm=False))
            self.stacks.append(nn.ModuleList(parts))
            inputs = filters
        self.dense = nn.Linear(64, 10)
        bound = math.sqrt(6 / 64)
        nn.init.uniform_(self.dense.weight, -bound, bound)
        nn.init.zeros_(self.dense.bias)

    def forward(self, x):
        x = F.relu(self.first(x))
        for parts in self.stacks:
            y = parts[1](F.relu(parts[0](x)))
            x = F.relu(y + (parts[2](x) if len(parts) > 2 else x))
        return self.dense(x.mean((2, 3)))


def augmented(images, generator):
    """Half of the images flipped, each moved by up to 4 pixels; black beyond the edge."""
    count = len(images)
    padded = F.pad(images, (4, 4, 4, 4))
    flip = torch.rand(count, generator=generator) < 0.5
    y, x = torch.randint(0, 9, (2, count), generator=generator)
    rows = (y[:, None] + torch.arange(32))[:, None, :, None]
    columns = torch.arange(32)
    columns = torch.where(flip[:, None], 31 - columns, columns)
    columns = (x[:, None] + columns)[:, None, None, :]
    return padded[torch.arange(count)[:, None, None, None], torch.arange(3)[None, :, None, None], rows, columns]


def rate(step, steps, peak=0.1, warm_up=0.05):
    position = (step + 0.5) / steps
    if position < warm_up:
        return peak * position / warm_up
    return peak * (0.5 + 0.5 * math.cos(math.pi * (position - warm_up) / (1 - warm_up)))


def train(images, labels, normalize, seed, epochs, batch=64):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = ResNet8().to(memory_format=torch.channels_last)
    decayed = [m.weight for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    others = [p for p in model.parameters() if not any(p is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    per_epoch = math.ceil(len(images) / batch)
    start = time.time()
    for epoch in range(epochs):
        model.train()
        right, total = 0, 0.0
        for step, chosen in enumerate(torch.randperm(len(images), generator=generator).split(batch)):
            for group in optimizer.param_groups:
                group["lr"] = rate(epoch * per_epoch + step, epochs * per_epoch)
            x = normalize(augmented(images[chosen], generator)).contiguous(memory_format=torch.channels_last)
            scores = model(x)
            loss = F.cross_entropy(scores, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (scores.argmax(1) == labels[chosen]).sum().item()
            total += loss.item() * len(chosen)
        print(
            f"seed {seed}, epoch {epoch + 1} of {epochs}: loss {total / len(images):.4f}, "
            f"{100 * right / len(images):.2f} % of augmented training images, {time.time() - start:.0f} s",
            flush=True,
        )
    return model.eval()


def accuracy(model, images, labels, normalize):
    with torch.no_grad():
        scores = torch.cat([model(normalize(part)) for part in images.split(500)])
    return (scores.argmax(1) == labels).float().mean().item()


def to_keras(model):
    """The same network with the same numbers in Keras, from which TensorFlow Lite converts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    layers = tf.keras.layers

    def conv(x, part):
        c = part.conv
        layer = layers.Conv2D(c.out_channels, c.kernel_size, c.stride, padding="same", use_bias=part.norm is None)
        x = layer(x)
        weights = c.weight.detach().permute(2, 3, 1, 0).numpy()
        layer.set_weights([weights] if part.norm else [weights, c.bias.detach().numpy()])
        if part.norm:
            norm = layers.BatchNormalization(epsilon=EPSILON)
            x = norm(x)
            n = part.norm
            norm.set_weights([t.detach().numpy() for t in (n.weight, n.bias, n.running_mean, n.running_var)])
        return x

    image = tf.keras.Input((32, 32, 3), batch_size=1)
    x = layers.ReLU()(conv(image, model.first))
    for parts in model.stacks:
        y = conv(layers.ReLU()(conv(x, parts[0])), parts[1])
        x = layers.ReLU()(layers.Add()([y, conv(x, parts[2]) if len(parts) > 2 else x]))
    x = layers.GlobalAveragePooling2D()(x)
    dense = layers.Dense(10)
    scores = dense(x)
    dense.set_weights([model.dense.weight.detach().numpy().T, model.dense.bias.detach().numpy()])
    return tf.keras.Model(image, scores)


def int8_accuracy(model, training, images, labels):
    """Accuracy after TensorFlow Lite's conversion, in its own interpreter. Images are normalized here, [n, 3, 32, 32]."""
    keras = to_keras(model)
    import tensorflow as tf

    def arranged(x):
        return x.permute(0, 2, 3, 1).contiguous().numpy()

    training, images = arranged(training), arranged(images)
    with torch.no_grad():
        ours = model(torch.from_numpy(images[:64]).permute(0, 3, 1, 2)).numpy()
    theirs = np.concatenate([keras(images[i : i + 1]).numpy() for i in range(64)])
    if not np.allclose(ours, theirs, atol=1e-3):
        sys.exit(f"Keras computes other scores than PyTorch: by up to {np.abs(ours - theirs).max()}")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in training)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = source["quantization"]
    integers = np.clip(np.round(images / scale) + zero_point, -128, 127).astype(np.int8)
    right = 0
    for image, label in zip(integers, labels.numpy()):
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(target["index"])[0].argmax() == label)
    return right / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--test", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", metavar="FILE", help="where the accuracies go, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, labels = records(options.train)
    test_images, test_labels = records(options.test)
    mean = images.double().mean().item()
    deviation = images.double().std(correction=0).item()

    def normalize(x):
        return (x.float() - mean) / deviation

    # The whole range of levels occurs, as in any photograph's.
    calibration = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:CALIBRATION_IMAGES]]
    results = []
    for seed in options.seeds:
        model = train(images, labels, normalize, seed, options.epochs)
        result = {"seed": seed, "f32": accuracy(model, test_images, test_labels, normalize)}
        result["int8"] = int8_accuracy(model, normalize(calibration), normalize(test_images), test_labels)
        print(f"seed {seed}: f32 {100 * result['f32']:.2f} %, int8 {100 * result['int8']:.2f} %", flush=True)
        results.append(result)
        if options.json:
            with open(options.json + ".part", "w") as file:
                json.dump({"test_images": len(test_labels), "results": results}, file, indent=1)
            os.replace(options.json + ".part", options.json)
    for name in ["f32", "int8"]:
        mean = sum(result[name] for result in results) / len(results)
        print(f"{name}: {100 * mean:.2f} % on average of {len(results)}")


if __name__ == "__main__":
    main()
