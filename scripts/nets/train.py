"""Trains the small nets of the gallery on the generated shapes: a segmentation net, a detector, a vision transformer.

    convscope run --out DATA scripts/nets/data.rhai
    python scripts/nets/train.py DATA scripts/nets

Needs torch, onnx, numpy, pillow. Seeded; each net takes minutes on one core. The files are written as ONNX, opset 17:
segmentation.onnx (background and ten classes x 64 x 64), detector.onnx (objectness, box, ten classes x 8 x 8; boxes
coded as FastestDet's cells), vit.onnx (ten logits; patches of 8 x 8, a class token, four blocks of four heads).
"""
import csv
import pathlib
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

DATA, OUT = map(pathlib.Path, sys.argv[1:3])
WHICH = sys.argv[3:] or ['segmentation', 'detector', 'vit']
torch.manual_seed(0)
torch.set_num_threads(1)


def load():
    rows = list(csv.DictReader(open(DATA / 'labels.csv')))
    names = sorted({r['label'] for r in rows})
    x = np.stack([np.asarray(Image.open(DATA / 'images' / f'{i}.png').convert('RGB')) for i in range(len(rows))])
    x = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
    label = torch.tensor([names.index(r['label']) for r in rows])
    box = torch.tensor([[float(r[k]) for k in ('left', 'top', 'width', 'height')] for r in rows])
    mask = torch.from_numpy(np.stack([np.load(DATA / 'masks' / f'{i}.npy') for i in range(len(rows))])) > 0
    return x, label, box, mask, names


def conv(i, o, s=1):
    return nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(conv(3, 16), conv(16, 24, 2))
        self.b = nn.Sequential(conv(24, 32), conv(32, 48, 2))
        self.c = nn.Sequential(conv(48, 48), conv(48, 64, 2), conv(64, 64))

    def forward(self, x):
        a = self.a(x)
        b = self.b(a)
        return a, b, self.c(b)


class Segmentation(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.up1, self.up2 = conv(64 + 48, 32), conv(32 + 24, 16)
        self.head = nn.Conv2d(16, 11, 1)

    def forward(self, x):
        a, b, c = self.backbone(x)
        larger = lambda t: F.interpolate(t, scale_factor=2.0, mode='nearest')
        y = self.up2(torch.cat([larger(self.up1(torch.cat([larger(c), b], 1))), a], 1))
        return F.interpolate(self.head(y), scale_factor=2.0, mode='bilinear', align_corners=False)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.neck = conv(64, 64)
        self.head = nn.Conv2d(64, 15, 1)

    def raw(self, x):
        return self.head(self.neck(self.backbone(x)[2]))

    def forward(self, x):
        y = self.raw(x)
        return torch.cat([y[:, :1].sigmoid(), y[:, 1:5], y[:, 5:].softmax(1)], 1)


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.q, self.k, self.v, self.out = (nn.Linear(d, d) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        n, t, d = x.shape
        split = lambda y: y.reshape(n, t, self.heads, d // self.heads).transpose(1, 2)
        y = self.norm1(x)
        q, k, v = split(self.q(y)), split(self.k(y)), split(self.v(y))
        a = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(-1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(n, t, d))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, d=64, depth=4, heads=4):
        super().__init__()
        self.patch = nn.Conv2d(3, d, 8, 8)
        self.cls = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.place = nn.Parameter(torch.randn(1, 65, d) * 0.02)
        self.blocks = nn.Sequential(*[Block(d, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)

    def forward(self, x):
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.cls.expand(y.shape[0], -1, -1), y], 1) + self.place
        return self.head(self.norm(self.blocks(y))[:, 0])


def fit(net, loss, n, epochs, lr):
    opt = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.02)
    steps = epochs * (n // 64)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for idx in torch.randperm(n).split(64)[: n // 64]:
            opt.zero_grad()
            value = loss(net, idx)
            value.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            plan.step()
            total += value.item()
        print(epoch, total / (n // 64), flush=True)
    net.eval()


def export(net, name, output):
    torch.onnx.export(net, torch.zeros(1, 3, 64, 64), OUT / f'{name}.onnx', input_names=['image'], output_names=[output],
                      opset_version=17, dynamo=False)


x, label, box, mask, names = load()
n = len(x) - 200
(OUT / 'classes.txt').write_text('\n'.join(names) + '\n')
flip = lambda idx: torch.rand(len(idx)) < 0.5

if 'segmentation' in WHICH:
    truth = mask * (label + 1)[:, None, None]

    def loss(net, idx):
        return F.cross_entropy(net(x[idx] + 0.02 * torch.randn_like(x[idx])), truth[idx])

    net = Segmentation()
    fit(net, loss, n, 8, 5e-3)
    with torch.no_grad():
        got = net(x[n:]).argmax(1)
    print('pixel accuracy', (got == truth[n:]).float().mean().item(),
          'on objects', (got == truth[n:])[mask[n:]].float().mean().item())
    export(net, 'segmentation', 'classes')

if 'detector' in WHICH:
    centre = box[:, :2] + box[:, 2:] / 2
    cell = (centre / 8).long().clamp(0, 7)
    size = (box[:, 2:] / 64).clamp(0.02, 0.98)

    def loss(net, idx):
        y = net.raw(x[idx] + 0.02 * torch.randn_like(x[idx]))
        i = torch.arange(len(idx))
        obj = torch.zeros(len(idx), 8, 8)
        obj[i, cell[idx, 1], cell[idx, 0]] = 1
        at = y[i, :, cell[idx, 1], cell[idx, 0]]
        place = (cell[idx] + at[:, 1:3].tanh()) * 8 - centre[idx]
        shape = at[:, 3:5].sigmoid() - size[idx]
        return (F.binary_cross_entropy_with_logits(y[:, 0], obj) * 8 + place.abs().mean() * 0.5
                + shape.abs().mean() * 20 + F.cross_entropy(at[:, 5:], label[idx]))

    net = Detector()
    fit(net, loss, n, 10, 5e-3)
    with torch.no_grad():
        y = net.raw(x[n:])
    best = y[:, 0].flatten(1).argmax(1)
    at = y.flatten(2)[torch.arange(len(best)), :, best]
    print('class', (at[:, 5:].argmax(1) == label[n:]).float().mean().item())
    export(net, 'detector', 'cells')

if 'vit' in WHICH:
    def loss(net, idx):
        images = x[idx]
        dy, dx = torch.randint(-4, 5, (2,)).tolist()
        images = torch.roll(images, (dy, dx), (2, 3))
        f = flip(idx)[:, None, None, None]
        return F.cross_entropy(net(torch.where(f, images.flip(3), images)), label[idx], label_smoothing=0.05)

    net = ViT()
    fit(net, loss, n, 36, 2e-3)
    with torch.no_grad():
        print('accuracy', (net(x[n:]).argmax(1) == label[n:]).float().mean().item())
    export(net, 'vit', 'scores')
