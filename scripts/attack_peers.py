"""Foolbox's side of the table in docs/fool.md: the attacks of scripts/attack_table.rhai at equal steps on the same net and pictures.

    pip install torch foolbox==3.3.4 pillow numpy
    convscope run scripts/attack_table.rhai --param n=20 --out table
    python scripts/attack_peers.py WEIGHTS.safetensors table/clean [ONLY]

WEIGHTS is squeezenet1_1 as `convscope fetch squeezenet1_1` caches it; table/clean holds the net's 8-bit inputs, NN_CLASS.png.
Writes table/peers.csv, a row an attack: fooled of those the net gets right (float and rounded to 8 bits), median linf, l2 and
rms in pixel values. docs/fool.py sets both sides as the tables of docs/fool.md.
"""

import csv
import glob
import json
import os
import sys

import foolbox
import numpy as np
import torch
from PIL import Image
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
MEAN = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)


def load_file(path):
    """All tensors of a safetensors file of f32."""
    data = open(path, "rb").read()
    head = int.from_bytes(data[:8], "little")
    entries = {k: v for k, v in json.loads(data[8 : 8 + head]).items() if k != "__metadata__"}
    read = lambda e: np.frombuffer(data[8 + head + e["data_offsets"][0] : 8 + head + e["data_offsets"][1]], "<f4")
    return {k: torch.from_numpy(read(e).reshape(e["shape"]).copy()) for k, e in entries.items()}


class Squeeze(nn.Module):
    """SqueezeNet 1.1 over RGB in 0..1: BGR 0-255 less the mean, no padding in conv1, ceil-mode pools."""

    def __init__(self, w):
        super().__init__()
        self.w = w

    def conv(self, x, name, **k):
        return nn.functional.conv2d(x, self.w[name + ".weight"], self.w[name + ".bias"], **k)

    def forward(self, x):
        x = x.flip(1) * 255.0 - MEAN
        pool = lambda x: nn.functional.max_pool2d(x, 3, 2, ceil_mode=True)
        x = pool(torch.relu(self.conv(x, "conv1", stride=2)))
        for i in range(2, 10):
            s = torch.relu(self.conv(x, f"fire{i}/squeeze1x1"))
            a = torch.relu(self.conv(s, f"fire{i}/expand1x1"))
            b = torch.relu(self.conv(s, f"fire{i}/expand3x3", padding=1))
            x = torch.cat([a, b], 1)
            if i in (3, 5):
                x = pool(x)
        return self.conv(x, "conv10").mean((2, 3))


def main():
    net = Squeeze(load_file(sys.argv[1])).eval()
    files = sorted(glob.glob(os.path.join(sys.argv[2], "*.png")))
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    x = torch.stack([torch.from_numpy(np.array(Image.open(f).convert("RGB"))).permute(2, 0, 1).float() / 255 for f in files])
    y = torch.tensor([int(os.path.basename(f).split("_")[1].split(".")[0]) for f in files])
    with torch.no_grad():
        logits = net(x)
    right = logits.argmax(1) == y
    print(f"clean: {int(right.sum())} of {len(y)} right", flush=True)
    x, y, logits = x[right], y[right], logits[right]
    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    a = foolbox.attacks
    cw = dict(binary_search_steps=5, steps=100, initial_const=0.1)
    rows = [
        ("fgsm 8", a.LinfFastGradientAttack(), None, 8 / 255),
        ("pgd-40 4", a.LinfProjectedGradientDescentAttack(steps=40), None, 4 / 255),
        ("deep_fool", a.L2DeepFoolAttack(steps=50), None, None),
        ("carlini_wagner", a.L2CarliniWagnerAttack(**cw), None, None),
    ]
    for name, target in (("label + 500", (y + 500) % 1000), ("least likely", logits.argmin(1))):
        rows.append((f"pgd-40 4, {name}", a.LinfProjectedGradientDescentAttack(steps=40), target, 4 / 255))
        rows.append((f"carlini_wagner, {name}", a.L2CarliniWagnerAttack(**cw), target, None))
    table = [["attack", "fooled", "fooled_8bit", "of", "linf", "l2", "rms"]]
    for name, attack, target, eps in rows:
        if only not in name:
            continue
        wanted = y if target is None else target
        criterion = (foolbox.criteria.Misclassification if target is None else foolbox.criteria.TargetedMisclassification)(wanted)
        made = attack(model, x, criterion, epsilons=eps)[1].detach()
        with torch.no_grad():
            good = lambda z: ((net(z).argmax(1) == wanted) != (target is None)).tolist()
            fooled, rounded = good(made), good((made * 255).round() / 255)
        r = [((m - x[i]) * 255).flatten() for i, m in enumerate(made) if fooled[i]]
        linf = np.median([float(v.abs().max()) for v in r]) if r else float("nan")
        l2 = np.median([float(v.norm()) for v in r]) if r else float("nan")
        rms = l2 / np.sqrt(x[0].numel())
        table.append([name, sum(fooled), sum(rounded), len(y), f"{linf:.4g}", f"{l2:.4g}", f"{rms:.4g}"])
        print(*table[-1], sep=", ", flush=True)
        with open(os.path.join(os.path.dirname(os.path.abspath(sys.argv[2])), "peers.csv"), "w", newline="") as f:
            csv.writer(f).writerows(table)


main()
