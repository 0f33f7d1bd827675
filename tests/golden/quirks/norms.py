"""Normalisations, softmax and reductions."""
import numpy as np

from model import case, noise, one

f = np.float32
c4 = [f([1, -0.5, 2]), f([0.1, 0.2, -0.3]), f([0.5, -1, 0]), f([1, 0.25, 4])]
for opset in (7, 9, 14, 15):
    one(f'batch_normalization_{opset}', 'BatchNormalization', opset, *c4)
    one(f'batch_normalization_{opset}_epsilon', 'BatchNormalization', opset, *c4, epsilon=0.5, momentum=0.2)
one('batch_normalization_9_flat', 'BatchNormalization', 9, *c4, shape=(4, 3))
one('batch_normalization_9_line', 'BatchNormalization', 9, *c4, shape=(2, 3, 7))
one('batch_normalization_9_training', 'BatchNormalization', 9, *c4, out=5, refused='training')
one('batch_normalization_7_training', 'BatchNormalization', 7, *c4, out=5, refused='training')
one('batch_normalization_14_training', 'BatchNormalization', 14, *c4, out=3, training_mode=1, refused='training')
one('batch_normalization_7_spatial', 'BatchNormalization', 7, *[noise((3, 6, 5), s, 0.5, 1) for s in (1, 2, 3, 4)], spatial=0, refused='spatial')
one('batch_normalization_9_no_variance', 'BatchNormalization', 9, *c4[:3], f([0, 0, 0]))

for opset in (7, 22 - 1):
    one(f'instance_normalization_{opset}', 'InstanceNormalization', opset, *c4[:2])
    one(f'instance_normalization_{opset}_epsilon', 'InstanceNormalization', opset, *c4[:2], epsilon=0.3)
one('instance_normalization_7_line', 'InstanceNormalization', 7, *c4[:2], shape=(2, 3, 7))
six = [noise((6,), 3, 0.5, 1.5), noise((6,), 4)]
for groups in (1, 2, 3, 6):
    one(f'group_normalization_21_{groups}', 'GroupNormalization', 21, *six, num_groups=groups, shape=(2, 6, 3, 4))
    one(f'group_normalization_18_{groups}', 'GroupNormalization', 18, noise((groups,), 3, 0.5, 1.5), noise((groups,), 4), num_groups=groups, epsilon=0.1, shape=(2, 6, 3, 4))
one('group_normalization_21_line', 'GroupNormalization', 21, *six, num_groups=2, shape=(2, 6, 5))
one('group_normalization_21_uneven', 'GroupNormalization', 21, *six, num_groups=4, shape=(2, 6, 5), refused='do not split')
for axis, over in [(-1, (5,)), (3, (5,)), (2, (6, 5)), (1, (3, 6, 5)), (-2, (6, 5)), (-3, (3, 6, 5))]:
    one(f'layer_normalization_17_{axis}', 'LayerNormalization', 17, noise(over, 3, 0.5, 1.5), noise(over, 4), axis=axis)
one('layer_normalization_17_no_bias', 'LayerNormalization', 17, noise((5,), 3, 0.5, 1.5), epsilon=0.2)
one('layer_normalization_17_broadcast', 'LayerNormalization', 17, noise((1, 5), 3, 0.5, 1.5), axis=2)
one('layer_normalization_17_all_outputs', 'LayerNormalization', 17, noise((5,), 3, 0.5, 1.5), out=3)
one('layer_normalization_17_batch', 'LayerNormalization', 17, noise((1,), 3, 0.5, 1.5), axis=0, refused='the batch')
for i, a in enumerate([dict(size=1), dict(size=3), dict(size=5, alpha=0.5, beta=0.5, bias=2.0), dict(size=9, alpha=1.0, beta=1.0)]):
    one(f'lrn_{[7, 13][i % 2]}_{i}', 'LRN', [7, 13][i % 2], shape=(2, 7, 3, 4), **a)
for i, a in enumerate([{}, dict(p=1), dict(axis=1), dict(axis=1, p=1), dict(axis=-2, p=2)]):
    one(f'lp_normalization_7_{i}', 'LpNormalization', 7, **a)
one('lp_normalization_7_zeros', 'LpNormalization', 7, x=f([[0, 0, 0], [3, 4, 0]]), axis=1)
one('mean_variance_normalization_13', 'MeanVarianceNormalization', 13, refused='the batch')
one('mean_variance_normalization_13_sample', 'MeanVarianceNormalization', 13, axes=[2, 3])

for op in ('Softmax', 'LogSoftmax'):
    for opset in (7, 11, 13):
        for axis in (None, 1, 2, 3, -1, -2):
            one(f'{op.lower()}_{opset}_{axis}', op, opset, axis=axis)
    one(f'{op.lower()}_13_batch', op, 13, axis=0, refused='the batch')
    one(f'{op.lower()}_13_large', op, 13, x=f([[1e4, -1e4, 9.9e3], [1e30, 0, -1e30], [-200, -200, -200]]))
    one(f'{op.lower()}_13_infinite', op, 13, x=f([[0, -np.inf, 1], [1, 2, np.nan]]))

REDUCE = ('ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSum', 'ReduceLogSumExp')
one('reduceprod_13', 'ReduceProd', 13, axes=[3])
one('reduceprod_13_two_axes', 'ReduceProd', 13, axes=[1, 3], keepdims=0)
for i, op in enumerate(REDUCE):
    x = np.abs(noise((2, 3, 6, 5), 7)) + 0.1 if op == 'ReduceLogSum' else None
    one(f'{op.lower()}_7', op, 7, axes=[2, 3], x=x)
    one(f'{op.lower()}_11_negative', op, 11, axes=[-1, 1], keepdims=0, x=x)
    one(f'{op.lower()}_7_all', op, 7, shape=(1, 3, 4), x=None if x is None else x[:1], why='of a single sample')
    if op == 'ReduceSum':
        one('reducesum_13_input', op, 13, np.int64([1]), keepdims=0)
        one('reducesum_13_empty', op, 13, np.int64([]), noop_with_empty_axes=1)
    else:
        one(f'{op.lower()}_13', op, 13, axes=[3], keepdims=i % 2, x=x)
        one(f'{op.lower()}_18_input', op, 18, np.int64([-2]), keepdims=0, x=x)
        one(f'{op.lower()}_18_empty', op, 18, noop_with_empty_axes=1, x=x)
nan = f([[[1, np.nan, 3], [4, 5, 6]], [[np.nan, 1, 2], [3, 2, 1]]])
wide = np.concatenate([noise((2, 24), 3), f([[np.nan], [1]])], 1)
for op, fold in [('ReduceMax', np.max), ('ReduceMin', np.min), ('ReduceMean', np.mean), ('ReduceSum', np.sum)]:
    one(f'{op.lower()}_11_nan', op, 11, axes=[2], x=nan, y=fold(nan, axis=2, keepdims=True), why='numpy: a NaN is not lost')
    one(f'{op.lower()}_11_nan_wide', op, 11, axes=[1], x=wide, y=fold(wide, axis=1, keepdims=True), why='numpy: a NaN is not lost')
for op in ('ArgMax', 'ArgMin'):
    case(f'{op.lower()}_13', 13, lambda g, x, op=op: g.node('Cast', g.node(op, x, axis=1), to=1))
one('top_k_11', 'TopK', 11, np.int64([2]), out=2)
one('top_k_11_smallest', 'TopK', 11, np.int64([3]), out=2, axis=1, largest=0)
case('top_k_11_places', 11, lambda g, x: g.node('Cast', g.node('TopK', x, np.int64([4]), out=2, axis=2)[1], to=1))
for i, form in enumerate([{}, dict(exclusive=1), dict(reverse=1), dict(exclusive=1, reverse=1)]):
    one(f'cumsum_11_{i}', 'CumSum', 11, np.int64(1 + i % 3), **form)
case('softmax_13_of_a_reshape', 13, lambda g, x: g.node('Softmax', g.node('Reshape', x, np.int64([0, -1]))))
