"""Writes optimizers.json: PyTorch's parameters after each of six steps, in float64.

    python optimizers.py

Needs PyTorch (2.x, the CPU suffices)."""

import json
import os

import torch

torch.manual_seed(1)
start = torch.randn(7, dtype=torch.float64)
gradients = [torch.randn(7, dtype=torch.float64) * 10.0 ** (i - 3) for i in range(6)]
# As the numbers that float32 holds, so that both sides begin alike.
start = start.float().double()
gradients = [g.float().double() for g in gradients]


def f(x):
    """A constant as float32 holds it."""
    return torch.tensor(x, dtype=torch.float32).double().item()


def run(make, clip_norm=None, clip_value=None):
    p = torch.nn.Parameter(start.clone())
    optimizer = make([p])
    result = []
    for g in gradients:
        p.grad = g.clone()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([p], clip_norm)
        if clip_value is not None:
            torch.nn.utils.clip_grad_value_([p], clip_value)
        optimizer.step()
        result.append(p.detach().tolist())
    return result


cases = []


def case(rule, make, rate, weight_decay, **clip):
    cases.append({"rule": rule, "rate": rate, "weight_decay": weight_decay, **clip,
                  "parameters": run(lambda p: make(p, lr=f(rate), weight_decay=f(weight_decay)), **clip)})


def sgd(momentum, nesterov):
    return ({"kind": "sgd", "momentum": momentum, "nesterov": nesterov},
            lambda p, **o: torch.optim.SGD(p, momentum=f(momentum), nesterov=nesterov, **o))


def adam(kind, cls, beta1=0.9, beta2=0.999, epsilon=1e-8):
    return ({"kind": kind, "beta1": beta1, "beta2": beta2, "epsilon": epsilon},
            lambda p, **o: cls(p, betas=(f(beta1), f(beta2)), eps=f(epsilon), **o))


case(*sgd(0.0, False), 0.1, 0.0)
case(*sgd(0.9, False), 0.1, 0.01)
case(*sgd(0.9, True), 0.1, 0.01)
case(*sgd(0.9, True), 0.1, 0.01, clip_norm=0.5)
case(*sgd(0.9, False), 0.1, 0.0, clip_value=0.05)
case(*adam("adam", torch.optim.Adam), 0.01, 0.0)
case(*adam("adam", torch.optim.Adam), 0.01, 0.1)
case(*adam("adam", torch.optim.Adam, 0.8, 0.99, 1e-4), 0.05, 0.0, clip_norm=2.0)
case(*adam("adamw", torch.optim.AdamW), 0.01, 0.1)
case(*adam("adamw", torch.optim.AdamW, 0.8, 0.99, 1e-4), 0.05, 0.3)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizers.json"), "w") as file:
    json.dump({"torch": torch.__version__, "start": start.tolist(),
               "gradients": [g.tolist() for g in gradients], "cases": cases}, file, indent=1)
    file.write("\n")
