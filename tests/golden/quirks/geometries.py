"""Random sizes, windows, paddings and axes: 500 models of one operator."""
import numpy as np

from onnx import helper

from model import CASES, answer, noise, one

COUNT = 500


def pick(r, *choices):
    return choices[r.randint(len(choices))]


def window(r, rank=2):
    kernel = [int(r.randint(1, 5)) for _ in range(rank)]
    a = dict(kernel_shape=kernel, strides=[int(r.randint(1, 5)) for _ in range(rank)])
    how = pick(r, 'pads', 'pads', 'pads', 'SAME_UPPER', 'SAME_LOWER', 'VALID', 'none')
    if how == 'pads':
        a['pads'] = [int(r.randint(0, k)) for k in kernel] + [int(r.randint(0, k)) for k in kernel]
    elif how != 'none':
        a['auto_pad'] = how
    return a


def conv(r, name, seed):
    groups, c, shape = int(pick(r, 1, 1, 2, 3)), int(r.randint(1, 3)), [int(r.randint(1, 12)) for _ in range(2)]
    a = window(r)
    if r.rand() < 0.4:
        a['dilations'] = [int(r.randint(1, 4)) for _ in range(2)]
    out = groups * int(r.randint(1, 4))
    weight = noise((out, c, *a['kernel_shape']), seed, -1, 1)
    one(name, 'Conv', int(pick(r, 7, 11, 21)), weight, *([noise((out,), seed + 1)] if r.rand() < 0.5 else []), group=groups, shape=(1, c * groups, *shape), **a)


def conv_transpose(r, name, seed):
    groups, c, shape = int(pick(r, 1, 1, 2)), int(r.randint(1, 3)), [int(r.randint(1, 7)) for _ in range(2)]
    a = window(r)
    if r.rand() < 0.3:
        a['dilations'] = [int(r.randint(1, 4)) for _ in range(2)]
    if r.rand() < 0.4:
        a['output_padding'] = [int(r.randint(0, s)) for s in a['strides']]
    if r.rand() < 0.3:
        a['output_shape'] = [int(n * s + r.randint(0, 3)) for n, s in zip(shape, a['strides'])]
        a.pop('pads', None)
    weight = noise((c * groups, int(r.randint(1, 3)), *a['kernel_shape']), seed, -1, 1)
    one(name, 'ConvTranspose', int(pick(r, 7, 11, 21)), weight, group=groups, shape=(1, c * groups, *shape), **a)


def pool(r, name, seed):
    shape, a = [int(r.randint(1, 12)) for _ in range(2)], window(r)
    op, opset = pick(r, 'MaxPool', 'AveragePool'), int(pick(r, 8, 10, 12, 19))
    if opset >= 10 and r.rand() < 0.5:
        a['ceil_mode'] = 1
    if (op == 'MaxPool' and opset >= 10 or opset >= 19) and r.rand() < 0.4:
        a['dilations'] = [int(r.randint(1, 4)) for _ in range(2)]
    if op == 'AveragePool' and r.rand() < 0.5:
        a['count_include_pad'] = 1
    one(name, op, opset, shape=(1, 2, *shape), seed=seed, **a)


def resize(r, name, seed):
    shape, opset = [int(r.randint(1, 12)) for _ in range(2)], int(pick(r, 11, 13, 18, 19))
    grids = ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric'] + ['half_pixel_symmetric'] * (opset >= 19)
    a = dict(mode=pick(r, 'nearest', 'linear'), coordinate_transformation_mode=pick(r, *grids))
    if a['mode'] == 'nearest':
        a['nearest_mode'] = pick(r, 'round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil')
    roi = np.zeros(0, np.float32) if opset == 11 else None
    if r.rand() < 0.5:
        inputs = [roi, np.float32([1, 1, *(round(float(v), pick(r, 1, 2, 3)) for v in r.uniform(0.34, 2.6, 2))])]
    else:
        inputs = [roi, np.zeros(0, np.float32) if opset == 11 else None, np.int64([1, 2, *r.randint(1, 20, 2)])]
    one(name, 'Resize', opset, *inputs, shape=(1, 2, *shape), seed=seed, fixed=True, **a)


def pad(r, name, seed):
    shape = [int(r.randint(2, 8)) for _ in range(3)]
    mode = pick(r, 'constant', 'reflect', 'edge')
    least = min(shape) - 1
    pads = [0] + [int(r.randint(-1 if r.rand() < 0.3 else 0, least)) for _ in range(3)] + [0] + [int(r.randint(0, least)) for _ in range(3)]
    one(name, 'Pad', int(pick(r, 11, 13, 18)), np.int64(pads), np.float32(r.randint(-3, 4)), mode=mode, shape=(1, *shape), seed=seed)


def cut(r, name, seed):
    shape = [int(r.randint(2, 9)) for _ in range(3)]
    axes = sorted(int(a) for a in r.choice(3, int(r.randint(1, 4)), replace=False))
    bounds = [sorted(int(v) for v in r.choice(shape[a] + 1, 2, replace=False)) for a in axes]
    back = [bool(r.rand() < 0.3) for _ in axes]
    starts = [b[1] - 1 if k else b[0] for b, k in zip(bounds, back)]
    ends = [(b[0] - 1 if b[0] else -2**40) if k else b[1] for b, k in zip(bounds, back)]
    steps = [int(r.randint(1, 4)) * (-1 if k else 1) for k in back]
    one(name, 'Slice', int(pick(r, 10, 11, 13)), np.int64(starts), np.int64(ends), np.int64([a + 1 for a in axes]), np.int64(steps), shape=(1, *shape), seed=seed)


def reduce(r, name, seed):
    shape = [int(r.randint(1, 7)) for _ in range(int(r.randint(2, 5)))]
    axes = [int(a) + 1 for a in r.choice(len(shape), int(r.randint(1, len(shape) + 1)), replace=False)]
    axes = [a - len(shape) - 1 if r.rand() < 0.3 else a for a in axes]
    op = pick(r, 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceL2')
    one(name, op, 11, axes=axes, keepdims=int(r.randint(2)), shape=(1, *shape), seed=seed)


KINDS = [conv, conv, conv, pool, pool, pool, resize, resize, conv_transpose, pad, cut, reduce]


def fits(c):
    """Whether convscope and onnxruntime mean the same by a model: a photo with its channels last is turned, and `auto_pad` with
    dilations, or with strides beyond the kernel of a transposed convolution, is refused."""
    node = c.model.graph.node[0]
    a = {v.name: helper.get_attribute_value(v) for v in node.attribute}
    same = a.get('auto_pad', b'').startswith(b'SAME')
    dilated = same and any(d != 1 for d in a.get('dilations', []))
    beyond = same and node.op_type == 'ConvTranspose'
    photo = c.x.ndim == 4 and c.x.shape[3] in (1, 3) and min(c.x.shape[1:3]) > 4
    return not (dilated or beyond or photo) and answer(c)[1] is not None


for i in range(COUNT):
    kind, r = KINDS[i % len(KINDS)], np.random.RandomState(i)
    name = f'random_{i:03}_{kind.__name__}'
    kind(r, name, 1000 + 7 * i)
    while not fits(CASES[name]):
        del CASES[name]
        kind(r, name, 1000 + 7 * i)
