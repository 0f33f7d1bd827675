"""Trains the gallery's nets over a signal and over a volume, on the generated shapes.

    convscope run --out DATA scripts/nets/data.rhai
    python scripts/nets/recordings.py DATA scripts/nets

Needs torch, onnx, numpy, nibabel. Seeded; minutes on one core. Written are

- outline.onnx: 1 x 512 samples at 128 Hz -> six shapes. A shape is told by its outline: the distance from its centre over one
  turn, a burst of a second that begins at a random time in four seconds of noise. outline.wav is such a signal.
- solid.onnx: 1 x 24 x 24 x 24 voxels, axes R, A, S -> five shapes. A shape is drawn out along the first axis, somewhere in noise.
  solid.nii.gz is such a volume, of 2 mm voxels.
- recordings.csv: what the two examples show and where.
"""
import csv
import pathlib
import sys
import wave

import nibabel
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

DATA, OUT = map(pathlib.Path, sys.argv[1:3])
WHICH = sys.argv[3:] or ['outline', 'solid']
OUTLINES = ['circle', 'cross', 'heart', 'square', 'star', 'triangle']
SOLIDS = ['circle', 'cross', 'ring', 'square', 'triangle']
LENGTH, TURN, SIDE = 512, 128, 24
torch.set_num_threads(1)
rng = np.random.default_rng()


def seeded():
    global rng
    torch.manual_seed(0)
    rng = np.random.default_rng(0)


def masks(wanted):
    rows = list(csv.DictReader(open(DATA / 'labels.csv')))
    kept = [i for i, r in enumerate(rows) if r['label'] in wanted]
    return [np.load(DATA / 'masks' / f'{i}.npy') > 0 for i in kept], [wanted.index(rows[i]['label']) for i in kept]


def outline(mask):
    """The distance from a mask's centre to its farthest pixel in each of TURN directions, its mean 0 and its largest value 1."""
    rows, columns = np.nonzero(mask)
    y, x = rows - rows.mean(), columns - columns.mean()
    turn = ((np.arctan2(y, x) / (2 * np.pi)) % 1 * TURN).astype(int) % TURN
    radius = np.zeros(TURN)
    np.maximum.at(radius, turn, np.hypot(y, x))
    seen = np.nonzero(radius)[0]
    radius = np.interp(np.arange(TURN), seen, radius[seen], period=TURN)
    radius -= radius.mean()
    return radius / max(np.abs(radius).max(), 2.0)


def signal(mask):
    """A burst in noise, and where it begins."""
    at = int(rng.integers(0, LENGTH - TURN + 1))
    x = rng.normal(0, 0.12, LENGTH)
    x[at:at + TURN] += outline(mask) * np.hanning(TURN) ** 0.25
    return np.clip(x, -1.5, 1.5).astype('float32') / 1.5, at


def solid(mask):
    """A shape drawn out in noise, and its box: first and last voxel along each axis."""
    rows, columns = np.nonzero(mask)
    cut = mask[rows.min():rows.max() + 1, columns.min():columns.max() + 1].astype('float32')
    side, depth = int(rng.integers(11, 16)), int(rng.integers(5, 11))
    small = F.interpolate(torch.from_numpy(cut)[None, None], (side, side), mode='area')[0, 0].numpy()
    at = [int(rng.integers(0, SIDE - n + 1)) for n in (depth, side, side)]
    x = rng.normal(0, 0.2, (SIDE, SIDE, SIDE)).astype('float32')
    x[at[0]:at[0] + depth, at[1]:at[1] + side, at[2]:at[2] + side] += small * rng.uniform(0.7, 1.0)
    return x, [v for a, n in zip(at, (depth, side, side)) for v in (a, a + n - 1)]


def over(conv, pool, widths, kernel, classes, strides):
    layers, before = [], 1
    for width, stride in zip(widths, strides):
        layers += [conv(before, width, kernel, 1, kernel // 2), nn.ReLU()]
        layers += [pool(stride)] if stride > 1 else []
        before = width
    return nn.Sequential(*layers), nn.Linear(before, classes)


class Net(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.features, self.head = parts

    def forward(self, x):
        return self.head(self.features(x).flatten(2).mean(2))


def fit(net, make, found, labels, epochs, lr, name):
    label = torch.tensor(labels)
    n = len(found) * 9 // 10
    held = torch.from_numpy(np.stack([make(m)[0] for m in found[n:]]))[:, None]
    opt = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs * (n // 64), pct_start=0.2)
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for idx in torch.randperm(n).split(64)[: n // 64]:
            # Another place and noise each time.
            x = torch.from_numpy(np.stack([make(found[i])[0] for i in idx]))[:, None]
            opt.zero_grad()
            loss = F.cross_entropy(net(x), label[idx])
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        if epoch % 5 == 4 or epoch == epochs - 1:
            with torch.no_grad():
                right = (net(held).argmax(1) == label[n:]).float().mean().item()
            print(name, epoch, total / (n // 64), 'accuracy', right, flush=True)
    return net.eval()


def export(net, shape, name):
    torch.onnx.export(net, torch.zeros(1, 1, *shape), OUT / f'{name}.onnx', input_names=[name], output_names=['scores'],
                      opset_version=17, dynamo=False)


def example(net, make, found, labels, wanted):
    """The first held-out one of a label that the net names rightly and surely."""
    for mask, label in zip(found[len(found) * 9 // 10:], labels[len(found) * 9 // 10:]):
        x, at = make(mask)
        if label == wanted and net(torch.from_numpy(x)[None, None]).softmax(1)[0, label] > 0.9:
            return x, at
    raise SystemExit('no example is named surely')


about = {}
if (OUT / 'recordings.csv').exists():
    about = {row[0]: row for row in csv.reader(open(OUT / 'recordings.csv'))}
if 'outline' in WHICH:
    seeded()
    found, labels = masks(OUTLINES)
    net = fit(Net(over(nn.Conv1d, nn.MaxPool1d, [12, 20, 28, 28], 9, len(OUTLINES), [2, 2, 2, 1])), signal, found, labels,
              60, 4e-3, 'outline')
    export(net, (LENGTH,), 'outline')
    (OUT / 'outlines.txt').write_text('\n'.join(OUTLINES) + '\n')
    x, at = example(net, signal, found, labels, OUTLINES.index('star'))
    with wave.open(str(OUT / 'outline.wav'), 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(TURN)
        file.writeframes(np.round(x * 32767).astype('<i2').tobytes())
    about['outline.wav'] = ['outline.wav', 'star', at, at + TURN - 1]
if 'solid' in WHICH:
    seeded()
    found, labels = masks(SOLIDS)
    net = fit(Net(over(nn.Conv3d, nn.MaxPool3d, [8, 16, 32], 3, len(SOLIDS), [2, 2, 1])), solid, found, labels, 44, 8e-3,
              'solid')
    export(net, (SIDE,) * 3, 'solid')
    (OUT / 'solids.txt').write_text('\n'.join(SOLIDS) + '\n')
    x, at = example(net, solid, found, labels, SOLIDS.index('ring'))
    image = nibabel.Nifti1Image(np.round(np.clip(x, -2, 2) * 63).astype('int8'), np.diag([2.0, 2.0, 2.0, 1.0]))
    image.header.set_slope_inter(1 / 63, 0)
    image.header.set_sform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
    nibabel.save(image, OUT / 'solid.nii.gz')
    about['solid.nii.gz'] = ['solid.nii.gz', 'ring', *at]
csv.writer(open(OUT / 'recordings.csv', 'w'), lineterminator='\n').writerows(about[name] for name in sorted(about))
