"""What gives values another shape or chooses among them, and matrix products."""
import numpy as np

from model import case, noise, one

f, i64 = np.float32, np.int64
MAX = 2**63 - 1

for i, (to, a) in enumerate([([0, -1], {}), ([2, 90], {}), ([-1, 90], {}), ([0, 0, 30], {}), ([0, 3, 5, 6], {}), ([-1, 3, 30], {}), ([0, -1, 1, 1], {}), ([2, -1, 5, 1, 3], dict(allowzero=1)), ([0, 1, -1], dict(allowzero=0))]):
    one(f'reshape_{[7, 13, 14][i % 3] if not a else 14}_{i}', 'Reshape', [7, 13, 14][i % 3] if not a else 14, i64(to), fixed=to[0] == 2, **a)
one('reshape_13_joins_samples', 'Reshape', 13, i64([3, -1]), shape=(1, 3, 6, 5))
one('reshape_13_fixed_one', 'Reshape', 13, i64([1, -1]), shape=(1, 3, 4), fixed=True)
for i, axis in enumerate((None, 0, 1, 2, 3, 4, -1, -2)):
    one(f'flatten_{[7, 9, 11, 13][i % 4] if axis is None or axis >= 0 else 11}_{axis}', 'Flatten', [7, 9, 11, 13][i % 4] if axis is None or axis >= 0 else 11, axis=axis, shape=(1, 3, 4, 2), fixed=bool(i % 2))
for i, (op, opset, inputs, a, shape) in enumerate([
        ('Squeeze', 7, (), dict(axes=[2, 3]), (2, 3, 1, 1)), ('Squeeze', 11, (), dict(axes=[-1]), (2, 3, 1, 1)), ('Squeeze', 13, (i64([2]),), {}, (2, 3, 1, 4)), ('Squeeze', 13, (i64([-2, -1]),), {}, (2, 3, 1, 1)),
        ('Unsqueeze', 7, (), dict(axes=[1]), (2, 3)), ('Unsqueeze', 11, (), dict(axes=[-1, 2]), (2, 3)), ('Unsqueeze', 13, (i64([1, 3]),), {}, (2, 3)), ('Unsqueeze', 13, (i64([-1]),), {}, (2, 3)), ('Squeeze', 7, (), {}, (2, 3, 1, 1))]):
    one(f'{op.lower()}_{opset}_{i}', op, opset, *inputs, shape=shape, **a)
one('unsqueeze_13_front', 'Unsqueeze', 13, i64([0]), shape=(1, 3))
one('squeeze_13_wide', 'Squeeze', 13, i64([1]), refused='whose size is not 1')
for i, perm in enumerate([[0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [0, 1, 2, 3]]):
    one(f'transpose_{[7, 13][i % 2]}_{i}', 'Transpose', [7, 13][i % 2], perm=perm)
one('transpose_7_default', 'Transpose', 7, shape=(1, 3, 6, 5))
one('transpose_13_batch', 'Transpose', 13, perm=[1, 0, 2, 3], shape=(1, 3, 6, 5))
for axis in (1, 2, -1, -3):
    case(f'concat_{[7, 11, 13, 13][axis]}_{axis}', [7, 11, 13, 13][axis], lambda g, x, axis=axis: g.node('Concat', x, g.node('Neg', x), x, axis=axis))
one('concat_13_constant', 'Concat', 13, noise((1, 2, 6, 5), 4), axis=1, shape=(1, 3, 6, 5), fixed=True)
one('concat_13_alone', 'Concat', 13, axis=1)
case('concat_13_batch', 13, lambda g, x: g.node('Concat', x, x, axis=0), refused='batch')


def parts(name, opset, n, *inputs, shape=(2, 7, 3), axis=1, refused=None, **a):
    def build(g, x):
        made = g.node('Split', x, *inputs, out=n, axis=axis, **a)
        return g.node('Concat', *reversed(made), axis=axis)
    case(name, opset, build, shape=shape, refused=refused)


parts('split_7', 7, 2, split=[3, 4])
parts('split_11_negative', 11, 3, split=[1, 1, 1], axis=-1)
parts('split_13', 13, 3, i64([1, 5, 1]))
parts('split_13_even', 13, 3, shape=(2, 6, 3))
parts('split_18_uneven', 18, 3, num_outputs=3)
parts('split_18_short_last', 18, 4, num_outputs=4, shape=(2, 10, 3))
parts('split_13_wrong', 13, 2, i64([3, 3]), refused='parts of')
parts('split_13_batch', 13, 2, axis=0, refused='batch')

SLICES = [([1], [5], [2], None), ([-3], [MAX], [3], None), ([0], [-1], [-1], None), ([5], [0], [2], [-2]), ([-1], [-MAX], [3], [-1]), ([MAX], [-MAX], [2], [-2]), ([1, 0], [3, 4], [1, 3], [1, 2]), ([0], [MAX], [0], [1]), ([2], [3], [1], None), ([-100], [100], [2], [3]), ([4], [1], [3], [-1])]
for i, (starts, ends, axes, steps) in enumerate(SLICES):
    if steps is None:
        one(f'slice_7_{i}', 'Slice', 7, starts=starts, ends=[min(e, 2**31 - 1) for e in ends], axes=axes)
    one(f'slice_{[10, 11, 13][i % 3]}_{i}', 'Slice', [10, 11, 13][i % 3], i64(starts), i64(ends), i64(axes), *([i64(steps)] if steps else []))
one('slice_13_no_axes', 'Slice', 13, i64([0, 1]), i64([MAX, 3]))
one('slice_13_int32', 'Slice', 13, np.int32([1]), np.int32([3]), np.int32([2]))
one('slice_13_empty', 'Slice', 13, i64([3]), i64([3]), i64([2]), refused='does not depend on the input')
case('slice_13_empty_part', 13, lambda g, x: g.node('Concat', x, g.node('Slice', x, i64([3]), i64([3]), i64([2])), axis=2))
one('slice_13_batch', 'Slice', 13, i64([0]), i64([1]), i64([0]), shape=(1, 3, 6, 5))
for i, (index, axis) in enumerate([(i64([2, 0]), 1), (i64(1), 1), (i64(-1), 2), (i64([[0, 4], [1, -1]]), 3), (i64([-2]), -1), (np.int32([5, 5, 0]), 2)]):
    one(f'gather_{[7, 11, 13][i % 3]}_{i}', 'Gather', [7, 11, 13][i % 3], index if i % 3 or (np.asarray(index) >= 0).all() else np.abs(index), axis=axis)
one('gather_13_batch', 'Gather', 13, i64([0]), refused='samples')
one('gather_elements_13_by_sample', 'GatherElements', 13, np.zeros((2, 3, 6, 5), i64), axis=1, refused='every sample must be treated alike')
one('gather_elements_13', 'GatherElements', 13, np.arange(40).reshape(1, 2, 4, 5) % 3, axis=1, shape=(1, 3, 6, 5), fixed=True)
one('gather_elements_13_negative', 'GatherElements', 13, -1 - np.arange(72).reshape(1, 3, 6, 4) % 5, axis=3, shape=(1, 3, 6, 5), fixed=True)
case('gather_elements_13_computed', 13, lambda g, x: g.node('GatherElements', x, g.node('TopK', g.node('Neg', x), i64([3]), out=2, axis=2)[1], axis=2))
case('gather_13_computed', 13, lambda g, x: g.node('Gather', noise((5, 4), 3), g.node('ArgMax', x, axis=3, keepdims=0)))
one('gather_nd_13', 'GatherND', 13, i64([[0, 1]]), shape=(1, 3, 6, 5), fixed=True)
one('gather_nd_13_batch', 'GatherND', 13, i64([[[0, 1], [2, 3], [-1, 0]]]), batch_dims=1, shape=(1, 3, 6, 5), fixed=True)
one('scatter_nd_13', 'ScatterND', 13, i64([[0, 1], [0, 2]]), noise((2, 6, 5), 3), shape=(1, 3, 6, 5), fixed=True)
one('scatter_nd_16_add', 'ScatterND', 16, i64([[0, 1], [0, 1], [0, 2]]), noise((3, 6, 5), 3), reduction='add', shape=(1, 3, 6, 5), fixed=True)
one('scatter_elements_13', 'ScatterElements', 13, np.arange(10).reshape(1, 2, 1, 5) % 3, noise((1, 2, 1, 5), 3), axis=1, shape=(1, 3, 6, 5), fixed=True)
one('scatter_elements_16_add', 'ScatterElements', 16, np.arange(36).reshape(1, 3, 3, 4) % 2, noise((1, 3, 3, 4), 3), axis=2, reduction='add', shape=(1, 3, 6, 5), fixed=True)
for upper in (0, 1):
    for k in (-1, 0, 2):
        one(f'trilu_14_{upper}_{k}', 'Trilu', 14, np.int64(k), upper=upper)
one('compress_11', 'Compress', 11, np.array([True, False, True, True, False]), axis=3)
for axis in (-1, 1, 3):
    case(f'one_hot_11_{axis}', 11, lambda g, x, axis=axis: g.node('OneHot', g.node('ArgMax', x, axis=2, keepdims=0), np.int64(6), f([-1, 2]), axis=axis))
for op in ('ArgMax', 'ArgMin'):
    case(f'{op.lower()}_13_kept', 13, lambda g, x, op=op: g.node('Cast', g.node(op, x, axis=2), to=1))
PADS = {'constant': dict(), 'value': dict(value=1.5), 'reflect': dict(mode='reflect'), 'edge': dict(mode='edge')}
for i, (name, a) in enumerate(PADS.items()):
    one(f'pad_7_{name}', 'Pad', 7, pads=[0, 0, 1, 2, 0, 0, 3, 0], **a)
    value = a.pop('value', None)
    one(f'pad_11_{name}', 'Pad', 11, i64([0, 1, 2, 0, 0, 0, 1, 2]), *([f(value)] if value else []), **a)
    one(f'pad_18_{name}_axes', 'Pad', 18, i64([1, 2, 2, 1]), f(value or 0), i64([-1, 2]), **a)
one('pad_13_crop', 'Pad', 13, i64([0, 0, -1, 2, 0, 0, -2, -1]), f(0.5))
one('pad_13_crop_reflect', 'Pad', 13, i64([0, 0, -1, 2, 0, 0, 1, 0]), mode='reflect')
one('pad_13_reflect_whole', 'Pad', 13, i64([0, 0, 5, 4, 0, 0, 5, 4]), mode='reflect')
one('pad_13_edge_far', 'Pad', 13, i64([0, 0, 9, 0, 0, 0, 0, 8]), mode='edge')
one('pad_19_wrap', 'Pad', 19, i64([0, 0, 1, 2, 0, 0, 3, 0]), mode='wrap')
one('pad_13_batch', 'Pad', 13, i64([1, 0, 0, 0, 0, 0, 0, 0]), refused='batch')
one('pad_13_infinite', 'Pad', 13, i64([0, 0, 1, 1, 0, 0, 1, 1]), f(-np.inf))
for i, (to, shape) in enumerate([([2, 3, 6, 5], (2, 3, 1, 5)), ([1, 3, 1, 1], (2, 3, 6, 5)), ([4, 1], (2, 3, 1, 5)), ([2, 3, 4], (2, 3, 1))]):
    one(f'expand_{[8, 13][i % 2]}_{i}', 'Expand', [8, 13][i % 2], i64(to), shape=shape, fixed=True)
one('expand_13_samples', 'Expand', 13, i64([5, 3, 6, 5]), shape=(1, 3, 6, 5), refused='repeats samples')
for i, repeats in enumerate([[1, 2, 1, 3], [1, 1, 1, 1], [1, 1, 2, 1]]):
    one(f'tile_{[7, 13, 13][i]}_{i}', 'Tile', [7, 13, 13][i], i64(repeats))
one('tile_13_samples', 'Tile', 13, i64([2, 1, 1, 1]), refused='batch')
one('tile_13_nothing', 'Tile', 13, i64([1, 0, 1, 1]), refused='does not depend on the input')
case('eye_like_9_node', 13, lambda g, x: g.node('Mul', x, g.node('EyeLike', np.zeros((6, 5), f), k=1)))
for mode in (None, 'DCR', 'CRD'):
    one(f'depth_to_space_11_{mode}', 'DepthToSpace', 11, blocksize=2, mode=mode, shape=(2, 8, 3, 2))
one('depth_to_space_7', 'DepthToSpace', 7, blocksize=3, shape=(2, 18, 1, 2))
one('space_to_depth_7', 'SpaceToDepth', 7, blocksize=2, shape=(2, 3, 4, 6))
one('space_to_depth_13', 'SpaceToDepth', 13, blocksize=3, shape=(2, 2, 6, 3))
one('space_to_depth_13_uneven', 'SpaceToDepth', 13, blocksize=2, shape=(2, 3, 5, 6), refused='does not split')

GEMM = [dict(), dict(transB=1), dict(alpha=0.5, beta=2.0), dict(alpha=0.0), dict(beta=0.0), dict(alpha=-1.0, transB=1)]
for i, a in enumerate(GEMM):
    weight = noise((4, 5) if a.get('transB') else (5, 4), 3)
    for j, c in enumerate([f(0.5), noise((4,), 4), noise((1, 4), 5), f([0.25])]):
        if (i + j) % 2 == 0 or j == 1:
            one(f'gemm_{[7, 9, 11, 13][j]}_{i}_{j}', 'Gemm', [7, 9, 11, 13][j], weight, c, shape=(2, 5), **a)
one('gemm_11_no_bias', 'Gemm', 11, noise((5, 4), 3), shape=(2, 5))
one('gemm_13_bias_a_sample', 'Gemm', 13, noise((5, 4), 3), f([[1], [2]]), shape=(2, 5), refused='bias')
one('gemm_13_transposed_samples', 'Gemm', 13, noise((2, 4), 3), transA=1, shape=(2, 5), refused='every sample must be treated alike')
for i, (b, shape) in enumerate([((5, 4), (2, 5)), ((5, 4), (2, 3, 6, 5)), ((1, 5, 4), (2, 3, 5)), ((3, 5, 4), (2, 3, 6, 5)), ((1, 3, 5, 4), (2, 3, 6, 5)), ((5,), (2, 3, 5))]):
    one(f'matmul_{[7, 9, 13][i % 3]}_{i}', 'MatMul', [7, 9, 13][i % 3], noise(b, 3), shape=shape)
case('matmul_13_constant_first', 13, lambda g, x: g.node('MatMul', noise((4, 6), 3), x))
case('matmul_13_square', 13, lambda g, x: g.node('MatMul', x, g.node('Transpose', x, perm=[0, 1, 3, 2])))
for i, (equation, other, shape) in enumerate([
        ('bchw,wk->bchk', (5, 4), None), ('bchw,hk->bckw', (6, 4), None), ('bchw->bhwc', None, None), ('bchw->bc', None, None),
        ('bchw,c->bhw', (3,), None), ('bchw,oc->bohw', (4, 3), None), ('b...,...->b...', (3, 6, 5), None), ('bcii->bci', None, (2, 3, 5, 5)),
        ('bchw,chk,wl->bkl', (3, 6, 4), None), ('bchw,hw', (6, 5), None)]):
    operands = [noise(other, 3)] if other else []
    if ',wl' in equation:
        operands.append(noise((5, 2), 4))
    refused = None if equation != 'bchw,hw' else 'keep'
    if refused:
        continue
    case(f'einsum_12_{i}', 12, lambda g, x, e=equation, o=operands: g.node('Einsum', x, *o, equation=e), **(dict(shape=shape) if shape else {}))
case('einsum_12_two_values', 12, lambda g, x: g.node('Einsum', x, g.node('Mul', x, f(2)), equation='bchw,bdhw->bcd'))
case('einsum_12_heads', 12, lambda g, x: g.node('Einsum', x, g.node('Transpose', x, perm=[0, 1, 3, 2]), equation='bhid,bhdj->bhij'))
case('einsum_12_batch', 12, lambda g, x: g.node('Einsum', x, equation='bchw->chw'), refused='keep the batch apart')

for i, v in enumerate([dict(value_float=0.5), dict(value_floats=[0.5, 1, 2, 3, 4]), dict(value_int=2), dict(value_ints=[1, 2, 3, 4, 5])]):
    def build(g, x, v=v):
        c = g.node('Constant', **v)
        if 'int' in next(iter(v)):
            c = g.node('Cast', c, to=1)
        return g.node('Add', x, c)
    case(f'constant_12_{i}', 12, build)
case('constant_of_shape_9', 9, lambda g, x: g.node('Add', x, g.node('ConstantOfShape', i64([1, 3, 1, 1]))))
case('shape_13_flattens', 13, lambda g, x: g.node('Reshape', x, g.node('Concat', g.node('Slice', g.node('Shape', x), i64([0]), i64([1])), i64([-1]), axis=0)))
case('shape_15_end', 15, lambda g, x: g.node('Reshape', x, g.node('Concat', g.node('Shape', x, end=1), g.node('Shape', x, start=-1), i64([-1]), axis=0)))
case('shape_13_arithmetic', 13, lambda g, x: g.node('Reshape', x, g.node('Concat', g.node('Gather', g.node('Shape', x), i64([0])), g.node('Mul', g.node('Gather', g.node('Shape', x), i64([1])), g.node('Gather', g.node('Shape', x), i64([2]))), i64([-1]), axis=0)))
case('size_13', 13, lambda g, x: g.node('Div', x, g.node('Cast', g.node('Size', g.node('Slice', x, i64([0]), i64([1]), i64([3]))), to=1)), shape=(1, 3, 6, 5), fixed=True)
case('range_11', 11, lambda g, x: g.node('Add', x, g.node('Cast', g.node('Range', np.int64(0), np.int64(10), np.int64(2)), to=1)))
