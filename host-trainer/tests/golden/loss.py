"""Values and gradients of PyTorch's cross-entropy, for the tests of `train::softmax_cross_entropy`.

    pip install torch numpy
    python host-trainer/tests/golden/loss.py

writes loss.json beside this file.
"""

import json
import os

import torch
import torch.nn.functional as F

CLASSES = 7
generator = torch.Generator().manual_seed(5)
logits = 4.0 * torch.randn(4, CLASSES, generator=generator, dtype=torch.float64)
# Where the greatest logit is far above the others, and where all are equal.
logits[2, 3] += 60.0
logits[3] = 1.25
labels = torch.tensor([0, 6, 2, 4])
hard = F.one_hot(labels, CLASSES).to(torch.float64)
# Two images mixed, in shares that float32 holds exactly.
soft = 0.625 * hard + 0.375 * hard.roll(1, 0)

cases = []
for targets in [hard, soft]:
    for smoothing in [0.0, 0.125]:
        x = logits.clone().requires_grad_()
        # By labels where they are, which is another piece of PyTorch's code.
        target = labels if targets is hard else targets
        losses = F.cross_entropy(x, target, label_smoothing=smoothing, reduction="none")
        losses.mean().backward()
        cases.append({
            "targets": targets.tolist(), "smoothing": smoothing, "losses": losses.tolist(), "gradient": x.grad.tolist()
        })
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "loss.json"), "w") as file:
    file.write(f'{{"torch": "{torch.__version__.split("+")[0]}", "logits": {json.dumps(logits.tolist())}, "cases": [\n')
    file.write(",\n".join(json.dumps(case) for case in cases))
    file.write("\n]}\n")
