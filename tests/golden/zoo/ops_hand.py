"""Op nets written node by node with onnx.helper, each beside its meaning in PyTorch, for what PyTorch never exports.

A body is (write, mean): write(h, x) adds nodes to the Hand h and returns the output's name; mean(x, w) computes the same
from tensors, w being the weights by name.
"""
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from golden import he_uniform, values
from onnxfile import INLINE, set_external

BODIES = {}


def body(name, opset, write, mean, size=(13, 10), store='external'):
    BODIES[name] = dict(write=write, mean=mean, opset=opset, size=size, store=store)


class Hand:
    """A graph being written. store: 'external', 'constants' (weights are Constant nodes), 'files' (one file a tensor)."""

    def __init__(self, store):
        self.nodes, self.inits, self.table, self.rows, self.at, self.store, self.n = [], [], [], [], 0, store, 0

    def weight(self, name, shape, scale=None, shift=0.0):
        r = dict(name=name, shape=list(shape), seed=len(self.table) + 1, scale=scale or (he_uniform(shape) if len(shape) > 1 else 0.2), shift=shift)
        self.table.append(r)
        t = numpy_helper.from_array(values(r), name)
        n = int(np.prod(shape))
        if self.store == 'constants':
            self.nodes.append(helper.make_node('Constant', [], [name], name=f'constant_{name}', value=t))
            return name
        if n > INLINE:
            file, at = ('weights.bin', self.at) if self.store == 'external' else (f'tensors/{name}.bin', None)
            set_external(t, file, at, None if at is None else 4 * n)
            self.rows.append(dict(name=name, file=file, offset=at or 0, **{k: r[k] for k in ('shape', 'seed', 'scale', 'shift')}))
            self.at += -(-4 * n // 64) * 64
        self.inits.append(t)
        return name

    def ints(self, *v):
        self.n += 1
        self.inits.append(numpy_helper.from_array(np.array(v, np.int64), f'ints_{self.n}'))
        return f'ints_{self.n}'

    def floats(self, v):
        self.n += 1
        self.inits.append(numpy_helper.from_array(np.array(v, np.float32), f'floats_{self.n}'))
        return f'floats_{self.n}'

    def node(self, op, *inputs, out=1, **attributes):
        self.n += 1
        outs = [f'{op.lower()}_{self.n}' + (f'_{i}' if out > 1 else '') for i in range(out)]
        self.nodes.append(helper.make_node(op, list(inputs), outs, name=f'{op}_{self.n}', **attributes))
        return outs[0] if out == 1 else outs


def graph(c, shape):
    """(emptied model, weight recipes of external tensors, recipes of all tensors)"""
    h = Hand(c['store'])
    h.weight('stem.weight', (8, 3, 3, 3))
    h.weight('stem.bias', (8,))
    y = c['write'](h, h.node('Conv', 'input', 'stem.weight', 'stem.bias', pads=[1, 1, 1, 1]))
    w = {r['name']: torch.from_numpy(values(r)) for r in h.table}
    with torch.no_grad():
        features = c['mean'](F.conv2d(torch.zeros(shape), w['stem.weight'], w['stem.bias'], padding=1), w).flatten(1).shape[1]
    h.weight('head.weight', (5, features))
    h.weight('head.bias', (5,))
    out = h.node('Gemm', h.node('Flatten', y), 'head.weight', 'head.bias', transB=1)
    h.nodes[-1].output[0] = 'output'
    tensor = helper.make_tensor_value_info
    g = helper.make_graph(h.nodes, 'case', [tensor('input', TensorProto.FLOAT, shape)], [tensor('output', TensorProto.FLOAT, [shape[0], 5])], h.inits)
    return helper.make_model(g, opset_imports=[helper.make_opsetid('', c['opset'])], ir_version=6 if c['opset'] < 13 else 8), h.rows, h.table


def meaning(c, x, w):
    y = c['mean'](F.conv2d(x, w['stem.weight'], w['stem.bias'], padding=1), w)
    return F.linear(y.flatten(1), w['head.weight'], w['head.bias'])


# TensorFlow's "same" padding: ceil(size / stride) outputs, the odd pixel of padding after (UPPER) or before (LOWER)
def same(x, kernel, stride, value=0.0, lower=False, dilation=1):
    pads = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
        pads += [total - total // 2, total // 2] if lower else [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def same_avg(x, kernel, stride):
    count = F.avg_pool2d(same(torch.ones_like(x), kernel, stride), kernel, stride)
    return F.avg_pool2d(same(x, kernel, stride), kernel, stride) / count


def tf_net(h, x):
    up = dict(auto_pad='SAME_UPPER')
    x = h.node('Relu', h.node('Conv', x, h.weight('a', (12, 8, 3, 3)), kernel_shape=[3, 3], strides=[2, 2], **up))
    x = h.node('Conv', x, h.weight('dw', (12, 1, 3, 3)), h.weight('dwb', (12,)), group=12, strides=[2, 2], **up)
    x = h.node('Clip', x, h.floats(0.0), h.floats(6.0))
    x = h.node('Conv', x, h.weight('pw', (16, 12, 1, 1)), auto_pad='VALID')
    x = h.node('MaxPool', x, kernel_shape=[3, 3], strides=[2, 2], **up)
    return h.node('AveragePool', x, kernel_shape=[2, 2], strides=[2, 2], **up)


def tf_meaning(x, w):
    x = F.relu(F.conv2d(same(x, 3, 2), w['a'], stride=2))
    x = F.conv2d(same(x, 3, 2), w['dw'], w['dwb'], stride=2, groups=12).clamp(0, 6)
    x = F.conv2d(x, w['pw'])
    return same_avg(F.max_pool2d(same(x, 3, 2, -torch.inf), 3, 2), 2, 2)


body('tf_same_net', 11, tf_net, tf_meaning, size=(45, 40))
body('same_lower', 13, lambda h, x: h.node('Conv', x, h.weight('a', (6, 8, 4, 4)), auto_pad='SAME_LOWER', strides=[2, 2]),
     lambda x, w: F.conv2d(same(x, 4, 2, lower=True), w['a'], stride=2))
body('same_upper_max_pool', 12, lambda h, x: h.node('MaxPool', x, kernel_shape=[2, 2], strides=[2, 2], auto_pad='SAME_UPPER'),
     lambda x, w: F.max_pool2d(same(x, 2, 2, -torch.inf), 2, 2))
body('same_upper_avg_pool', 12, lambda h, x: h.node('AveragePool', x, kernel_shape=[3, 3], strides=[2, 2], auto_pad='SAME_UPPER'),
     lambda x, w: same_avg(x, 3, 2))
body('conv_pads_asymmetric', 11, lambda h, x: h.node('Conv', x, h.weight('a', (6, 8, 3, 2)), pads=[0, 2, 1, 0], strides=[2, 1], dilations=[1, 2]),
     lambda x, w: F.conv2d(F.pad(x, (2, 0, 0, 1)), w['a'], stride=(2, 1), dilation=(1, 2)))
body('max_pool_pads_asymmetric', 12, lambda h, x: h.node('MaxPool', x, kernel_shape=[3, 3], pads=[0, 1, 1, 0], strides=[2, 2]),
     lambda x, w: F.max_pool2d(F.pad(x, (1, 0, 0, 1), value=-torch.inf), 3, 2))
body('max_pool_ceil_attribute', 11, lambda h, x: h.node('MaxPool', x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], ceil_mode=1),
     lambda x, w: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), size=(12, 10))
for count in (0, 1):
    body(f'avg_pool_ceil_count_{count}', 19, lambda h, x, n=count: h.node('AveragePool', x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], ceil_mode=1, count_include_pad=n),
         lambda x, w, n=count: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=bool(n)), size=(12, 10))
    body(f'avg_pool_count_{count}', 11, lambda h, x, n=count: h.node('AveragePool', x, kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 2], count_include_pad=n),
         lambda x, w, n=count: F.avg_pool2d(F.pad(x, (0, 1, 1, 1)), (3, 2), 2) / (1 if n else F.avg_pool2d(F.pad(torch.ones_like(x), (0, 1, 1, 1)), (3, 2), 2)))
body('conv_transpose_same_upper', 11, lambda h, x: h.node('ConvTranspose', x, h.weight('a', (8, 6, 3, 3)), auto_pad='SAME_UPPER', strides=[2, 2]),
     lambda x, w: F.conv_transpose2d(x, w['a'], stride=2)[:, :, :-1, :-1], size=(7, 6))
body('conv_transpose_output_shape', 11, lambda h, x: h.node('ConvTranspose', x, h.weight('a', (8, 6, 4, 4)), h.weight('b', (6,)), pads=[1, 2, 1, 0], strides=[2, 2]),
     lambda x, w: F.conv_transpose2d(x, w['a'], w['b'], stride=2)[:, :, 1:-1, 2:], size=(7, 6))

# Linear algebra


def gemms(h, x):
    x = h.node('Flatten', x, axis=1)
    x = h.node('Gemm', x, h.weight('a', (1040, 12)), h.weight('b', (12,)), alpha=0.5, beta=2.0)
    x = h.node('Gemm', h.node('Relu', x), h.weight('c', (9, 12)), h.weight('d', (1, 9)), transB=1, alpha=1.5)
    return h.node('Gemm', x, h.weight('e', (9, 7)))


body('gemm', 11, gemms, lambda x, w: (1.5 * F.relu(0.5 * x.flatten(1) @ w['a'] + 2 * w['b']) @ w['c'].T + w['d']) @ w['e'])
body('matmul_add', 9, lambda h, x: h.node('Add', h.node('MatMul', h.node('Flatten', x), h.weight('a', (1040, 12))), h.weight('b', (12,))),
     lambda x, w: x.flatten(1) @ w['a'] + w['b'])
body('matmul_last_axis', 13, lambda h, x: h.node('Add', h.weight('b', (6,)), h.node('MatMul', x, h.weight('a', (10, 6)))), lambda x, w: x @ w['a'] + w['b'])

# Where weights live


def aliased(h, x):
    a = h.weight('a', (8, 8, 3, 3))
    b = h.weight('b', (8,))
    x = h.node('Relu', h.node('Conv', x, h.node('Identity', a), h.node('Identity', b), pads=[1, 1, 1, 1]))
    return h.node('Conv', h.node('Identity', x), h.node('Identity', h.node('Identity', a)), b)


body('identity_aliases', 13, aliased, lambda x, w: F.conv2d(F.relu(F.conv2d(x, w['a'], w['b'], padding=1)), w['a'], w['b']))
body('constant_nodes', 11, lambda h, x: h.node('Conv', h.node('Mul', x, h.weight('m', (1, 8, 1, 1), 0.3, 1.0)), h.weight('a', (6, 8, 3, 3)), h.weight('b', (6,))),
     lambda x, w: F.conv2d(x * w['m'], w['a'], w['b']), store='constants', size=(7, 6))
body('one_file_a_tensor', 13, lambda h, x: h.node('Conv', x, h.weight('a', (6, 8, 3, 3)), h.weight('b', (6,))), lambda x, w: F.conv2d(x, w['a'], w['b']), store='files')

# Normalisation


def bn(h, x, name, **attributes):
    parts = [h.weight(f'{name}.{k}', (8,), *v) for k, v in dict(gamma=(0.3, 1.0), beta=(0.3,), mean=(0.2,), var=(0.4, 1.0)).items()]
    return h.node('BatchNormalization', x, *parts, **attributes)


def bn_mean(x, w, n, eps):
    return F.batch_norm(x, w[n + '.mean'], w[n + '.var'], w[n + '.gamma'], w[n + '.beta'], eps=eps)


body('batch_norm_7', 7, lambda h, x: bn(h, h.node('Relu', bn(h, x, 'a', epsilon=1e-3)), 'b'), lambda x, w: bn_mean(F.relu(bn_mean(x, w, 'a', 1e-3)), w, 'b', 1e-5))
body('batch_norm_scale_add', 13, lambda h, x: h.node('Add', h.node('Mul', bn(h, x, 'a'), h.weight('s', (8, 1, 1), 0.3, 1.0)), h.weight('t', (1, 8, 1, 1))),
     lambda x, w: bn_mean(x, w, 'a', 1e-5) * w['s'] + w['t'])
body('group_norm_21', 21, lambda h, x: h.node('GroupNormalization', x, h.weight('g', (8,), 0.3, 1.0), h.weight('b', (8,)), num_groups=2, epsilon=1e-4),
     lambda x, w: F.group_norm(x, 2, w['g'], w['b'], 1e-4))
body('layer_norm_no_bias', 17, lambda h, x: h.node('LayerNormalization', x, h.weight('g', (13, 10), 0.3, 1.0), axis=2), lambda x, w: F.layer_norm(x, (13, 10), w['g']))
body('lrn', 13, lambda h, x: h.node('LRN', x, size=5, alpha=0.3, beta=0.75, bias=1.5), lambda x, w: F.local_response_norm(x, 5, 0.3, 0.75, 1.5))
body('lrn_wide', 11, lambda h, x: h.node('LRN', h.node('Relu', x), size=11, alpha=2.0), lambda x, w: F.local_response_norm(F.relu(x), 11, 2.0, 0.75, 1.0))
body('lp_norm', 13, lambda h, x: h.node('LpNormalization', x, axis=1, p=2), lambda x, w: x / x.norm(dim=1, keepdim=True))

# Elementwise, as attributes or inputs of each opset
body('clip_attributes', 10, lambda h, x: h.node('Clip', x, min=-0.3, max=0.8), lambda x, w: x.clamp(-0.3, 0.8))


def clip_constants(h, x):
    lo = h.node('Constant', value=helper.make_tensor('lo', TensorProto.FLOAT, [], [-0.3]))
    return h.node('Clip', h.node('Clip', x, lo), '', h.node('Constant', value_float=0.8))


body('clip_constants', 13, clip_constants, lambda x, w: x.clamp(-0.3, 0.8))
body('hard_sigmoid_attributes', 11, lambda h, x: h.node('HardSigmoid', x, alpha=0.3, beta=0.4), lambda x, w: (0.3 * x + 0.4).clamp(0, 1))
body('gelu_20', 20, lambda h, x: h.node('Gelu', h.node('Gelu', x), approximate='tanh'), lambda x, w: F.gelu(F.gelu(x), approximate='tanh'))
body('mish_18', 18, lambda h, x: h.node('Mish', x), lambda x, w: F.mish(x))
body('prelu_slopes', 11, lambda h, x: h.node('PRelu', x, h.weight('s', (8, 1, 1), 0.3, 0.2)), lambda x, w: torch.where(x > 0, x, x * w['s']))
body('thresholded_relu', 11, lambda h, x: h.node('ThresholdedRelu', x, alpha=0.4), lambda x, w: torch.where(x > 0.4, x, torch.zeros_like(x)))
body('sum_mean_max_min', 13, lambda h, x: h.node('Sum', h.node('Max', x, h.floats(0.1)), h.node('Min', x, h.floats([[[0.2]]])), h.node('Mean', x, h.node('Neg', h.node('Abs', x)))),
     lambda x, w: x.clamp(min=0.1) + x.clamp(max=0.2) + (x - x.abs()) / 2)
body('broadcast', 13, lambda h, x: h.node('Div', h.node('Sub', h.weight('a', (10,), 0.5, 1.0), h.node('Mul', x, h.weight('b', (8, 1, 1), 0.5, 1.0))), h.weight('c', (1, 8, 13, 1), 0.3, 1.0)),
     lambda x, w: (w['a'] - x * w['b']) / w['c'])
body('pow_sqrt_reciprocal', 13, lambda h, x: h.node('Reciprocal', h.node('Sqrt', h.node('Add', h.node('Pow', x, h.floats(2.0)), h.floats(0.5)))), lambda x, w: (x * x + 0.5) ** -0.5)
body('softmax_11_flattens', 11, lambda h, x: h.node('Softmax', x, axis=2), lambda x, w: torch.softmax(x.flatten(2), 2).reshape(x.shape))
body('log_softmax_11_flattens', 11, lambda h, x: h.node('LogSoftmax', x), lambda x, w: torch.log_softmax(x.flatten(1), 1).reshape(x.shape))

# Shapes
body('slice_backwards', 13, lambda h, x: h.node('Slice', x, h.ints(-1, 1), h.ints(-100, 1000), h.ints(3, 1), h.ints(-2, 3)), lambda x, w: x[:, 1::3].flip(3)[..., ::2])
body('slice_1', 9, lambda h, x: h.node('Slice', x, starts=[1, -6], ends=[7, -1], axes=[1, 2]), lambda x, w: x[:, 1:7, -6:-1])


def splits(opset):
    def write(h, x):
        if opset == 11:
            a, b, c = h.node('Split', x, out=3, axis=1, split=[1, 5, 2])
        else:
            a, b, c = h.node('Split', x, h.ints(1, 5, 2), out=3, axis=1)
        return h.node('Concat', c, h.node('Relu', b), axis=-3)
    return write


for opset in (11, 13):
    body(f'split_unused_{opset}', opset, splits(opset), lambda x, w: torch.cat([x[:, 6:], F.relu(x[:, 1:6])], 1))
body('split_18', 18, lambda h, x: h.node('Mul', *h.node('Split', x, out=2, axis=3, num_outputs=2)), lambda x, w: x[..., :5] * x[..., 5:])
body('gather_channels', 13, lambda h, x: h.node('Gather', x, h.ints(6, -1, 0, 6), axis=1), lambda x, w: x[:, [6, 7, 0, 6]])
body('pad_11', 11, lambda h, x: h.node('Pad', h.node('Pad', x, h.ints(0, 0, 1, 2, 0, 0, 3, 0), h.floats(-0.5)), h.ints(0, 0, 2, 0, 0, 0, 1, 3), '', mode='reflect'),
     lambda x, w: F.pad(F.pad(x, (2, 0, 1, 3), value=-0.5), (0, 3, 2, 1), mode='reflect'))
body('pad_2', 9, lambda h, x: h.node('Pad', x, pads=[0, 1, 0, 2, 0, 0, 3, 1], mode='constant', value=0.25), lambda x, w: F.pad(x, (2, 1, 0, 3, 1, 0), value=0.25))
body('pad_18_axes', 18, lambda h, x: h.node('Pad', x, h.ints(2, 1), '', h.ints(-1), mode='edge'), lambda x, w: F.pad(x, (2, 1, 0, 0), mode='replicate'))
body('reshape_copy_infer', 13, lambda h, x: h.node('Transpose', h.node('Reshape', x, h.ints(0, 4, 2, -1)), perm=[0, 3, 2, 1]), lambda x, w: x.reshape(1, 4, 2, -1).permute(0, 3, 2, 1))
body('flatten_axis_2', 13, lambda h, x: h.node('Reshape', h.node('Relu', h.node('Flatten', x, axis=2)), h.ints(1, 8, -1)), lambda x, w: F.relu(x))
body('squeeze_attributes', 11, lambda h, x: h.node('Squeeze', h.node('Unsqueeze', h.node('ReduceMean', x, axes=[2]), axes=[0, 3]), axes=[0]), lambda x, w: x.mean((2,), keepdim=True))
body('squeeze_inputs', 13, lambda h, x: h.node('Squeeze', h.node('Unsqueeze', h.node('ReduceMean', x, axes=[2]), h.ints(0, 3)), h.ints(0)), lambda x, w: x.mean((2,), keepdim=True))
body('reduce_axes_input', 18, lambda h, x: h.node('Add', h.node('ReduceMean', x, h.ints(-1), keepdims=0), h.node('ReduceSum', h.node('ReduceMean', x, h.ints(1, 2)), h.ints(3), keepdims=0)),
     lambda x, w: x.mean(3) + x.mean((1, 2), keepdim=True).sum(3))
body('depth_to_space', 13, lambda h, x: h.node('SpaceToDepth', h.node('DepthToSpace', x, blocksize=2, mode='DCR'), blocksize=2), lambda x, w: x)
body('expand_tile', 13, lambda h, x: h.node('Add', x, h.node('Expand', h.node('GlobalMaxPool', x), h.ints(1, 8, 13, 10))), lambda x, w: x + F.adaptive_max_pool2d(x, 1))
body('cast_dropout', 13, lambda h, x: h.node('Dropout', h.node('Cast', x, to=TensorProto.FLOAT), h.floats(0.5)), lambda x, w: x)

# Resizing: coordinate transforms that PyTorch does not write
def gathered(rows, columns):
    return lambda x, w: x[:, :, rows][:, :, :, columns]


body('upsample_9', 9, lambda h, x: h.node('Upsample', x, h.floats([1, 1, 2, 3]), mode='nearest'), lambda x, w: x.repeat_interleave(2, 2).repeat_interleave(3, 3), size=(7, 5))
body('upsample_9_linear', 9, lambda h, x: h.node('Upsample', x, h.floats([1, 1, 2, 2]), mode='linear'),
     lambda x, w: lerp(lerp(x, 2, np.minimum(np.arange(14) / 2, 6)), 3, np.minimum(np.arange(10) / 2, 4)), size=(7, 5))


def lerp(x, axis, at):
    lo = np.floor(at).astype(int)
    hi = np.minimum(lo + 1, x.shape[axis] - 1)
    t = torch.tensor(at - lo, dtype=x.dtype).reshape([-1 if a == axis else 1 for a in range(4)])
    return x.index_select(axis, torch.tensor(lo)) * (1 - t) + x.index_select(axis, torch.tensor(hi)) * t


body('resize_asymmetric_floor', 11, lambda h, x: h.node('Resize', x, h.floats(np.zeros(0)), h.floats([1, 1, 2, 1.5]), coordinate_transformation_mode='asymmetric', nearest_mode='floor'),
     gathered(np.arange(14) // 2, (np.arange(9) / 1.5).astype(int)), size=(7, 6))
body('resize_half_pixel_prefer_floor', 13, lambda h, x: h.node('Resize', x, '', '', h.ints(1, 8, 14, 4), coordinate_transformation_mode='half_pixel', nearest_mode='round_prefer_floor'),
     gathered(np.ceil((np.arange(14) + 0.5) / 2 - 1).clip(0, 6).astype(int), np.ceil((np.arange(4) + 0.5) * 1.5 - 1).astype(int)), size=(7, 6))
body('resize_linear_asymmetric', 13, lambda h, x: h.node('Resize', x, '', h.floats([1, 1, 2, 2]), mode='linear', coordinate_transformation_mode='asymmetric'),
     lambda x, w: lerp(lerp(x, 2, np.minimum(np.arange(14) / 2, 6)), 3, np.minimum(np.arange(12) / 2, 5)), size=(7, 6))
