"""Convolutions and pools: paddings, strides, dilations, ceil mode and the forms of padding that old opsets had."""
import numpy as np

from model import noise, one

f = np.float32


def w(*shape, seed=5):
    return noise(shape, seed, -1, 1)


CONV = {
    'plain': dict(), 'kernel_said': dict(kernel_shape=[3, 2]), 'stride': dict(strides=[2, 3]), 'stride_beyond_kernel': dict(strides=[4, 3]),
    'pads': dict(pads=[1, 0, 2, 1]), 'pads_wide': dict(pads=[3, 3, 3, 3]), 'dilated': dict(dilations=[2, 3], pads=[2, 2, 2, 2]),
    'valid': dict(auto_pad='VALID'), 'same_upper': dict(auto_pad='SAME_UPPER', strides=[2, 2]), 'same_lower': dict(auto_pad='SAME_LOWER', strides=[2, 2]),
    'same_upper_long_stride': dict(auto_pad='SAME_UPPER', strides=[4, 5]), 'same_upper_even': dict(auto_pad='SAME_UPPER'), 'same_lower_even': dict(auto_pad='SAME_LOWER'),
    'notset': dict(auto_pad='NOTSET', pads=[1, 1, 0, 0]),
}
for i, (name, a) in enumerate(CONV.items()):
    one(f'conv_{[7, 11, 22 - 1][i % 3]}_{name}', 'Conv', [7, 11, 21][i % 3], w(4, 3, 3, 2), *([f([0.1, -0.2, 0.3, 0.5])] if i % 2 else []), shape=(1, 3, 9, 8), **a)
one('conv_11_groups', 'Conv', 11, w(6, 1, 3, 3), group=3, pads=[1, 1, 1, 1])
one('conv_11_two_groups', 'Conv', 11, w(6, 2, 1, 3), f([1, 2, 3, 4, 5, 6]), group=2, shape=(2, 4, 6, 5))
one('conv_11_whole', 'Conv', 11, w(4, 3, 6, 5))
one('conv_11_one_dimension', 'Conv', 11, w(4, 3, 3), pads=[1, 1], shape=(2, 3, 9))
one('conv_11_one_dimension_grouped', 'Conv', 11, w(6, 1, 4), f([1, 2, 3, 4, 5, 6]), group=3, strides=[2], dilations=[2], pads=[3, 3], shape=(2, 3, 19))
one('conv_11_three_dimensions', 'Conv', 11, w(2, 1, 2, 2, 2), shape=(1, 1, 3, 4, 5))
one('conv_11_wrong_channels', 'Conv', 11, w(4, 5, 3, 3), refused='takes 5 channels')

TRANSPOSE = {
    'plain': {}, 'stride': dict(strides=[2, 3]), 'pads': dict(pads=[1, 0, 0, 1], strides=[2, 2]), 'dilated': dict(dilations=[2, 2]),
    'output_padding': dict(strides=[3, 2], output_padding=[2, 1]), 'output_padding_pads': dict(strides=[2, 2], output_padding=[1, 1], pads=[1, 1, 1, 1]),
    'output_shape': dict(strides=[2, 2], output_shape=[10, 9]), 'output_shape_upper': dict(strides=[2, 2], output_shape=[10, 9], auto_pad='SAME_UPPER'),
    'output_shape_lower': dict(strides=[2, 2], output_shape=[11, 9], auto_pad='SAME_LOWER'),
    'output_shape_and_padding': dict(strides=[3, 3], output_shape=[14, 13], output_padding=[1, 1]),
    'same_upper': dict(strides=[2, 2], auto_pad='SAME_UPPER'), 'same_lower': dict(strides=[2, 2], auto_pad='SAME_LOWER'), 'valid': dict(strides=[2, 2], auto_pad='VALID'),
    'same_upper_padding': dict(strides=[3, 2], auto_pad='SAME_UPPER', output_padding=[1, 1]), 'same_long_stride': dict(strides=[4, 4], auto_pad='SAME_UPPER'),
}
for i, (name, a) in enumerate(TRANSPOSE.items()):
    one(f'conv_transpose_{[7, 11][i % 2]}_{name}', 'ConvTranspose', [7, 11][i % 2], w(3, 4, 3, 2), *([f([0.1, -0.2, 0.3, 0.5])] if i % 3 else []), shape=(1, 3, 5, 4), refused='auto_pad' if name == 'same_long_stride' else None, **a)
one('conv_transpose_11_groups', 'ConvTranspose', 11, w(4, 3, 3, 3), group=2, strides=[2, 2], shape=(2, 4, 3, 4))
one('conv_transpose_11_depthwise', 'ConvTranspose', 11, w(3, 1, 2, 2), f([1, 2, 3]), group=3, strides=[2, 2])
one('conv_transpose_11_one_dimension', 'ConvTranspose', 11, w(3, 2, 4), strides=[2], pads=[1, 1], shape=(2, 3, 6))

POOL = {
    'plain': dict(kernel_shape=[3, 2]), 'stride': dict(kernel_shape=[3, 2], strides=[2, 2]), 'pads': dict(kernel_shape=[3, 3], pads=[1, 0, 2, 1], strides=[2, 1]),
    'same_upper': dict(kernel_shape=[3, 2], auto_pad='SAME_UPPER', strides=[2, 2]), 'same_lower': dict(kernel_shape=[2, 3], auto_pad='SAME_LOWER', strides=[2, 1]),
    'valid': dict(kernel_shape=[2, 2], auto_pad='VALID', strides=[2, 2]),
    'whole': dict(kernel_shape=[7, 8]), 'one': dict(kernel_shape=[1, 1], strides=[2, 3]), 'line': dict(kernel_shape=[1, 5], pads=[0, 2, 0, 2]),
}
CEIL = {
    'ceil': dict(kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1), 'ceil_pads': dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
    'ceil_long_stride': dict(kernel_shape=[2, 2], strides=[3, 5], ceil_mode=1), 'ceil_last_in_padding': dict(kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1),
    'ceil_uneven_pads': dict(kernel_shape=[3, 3], strides=[3, 2], pads=[0, 1, 1, 0], ceil_mode=1), 'ceil_kernel_beyond': dict(kernel_shape=[5, 5], strides=[4, 4], ceil_mode=1),
    'ceil_valid': dict(kernel_shape=[2, 2], strides=[2, 2], auto_pad='VALID', ceil_mode=1), 'ceil_same': dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad='SAME_UPPER', ceil_mode=1),
}
SIZE = dict(shape=(1, 2, 7, 8))
for name, a in POOL.items():
    one(f'max_pool_8_{name}', 'MaxPool', 8, **a, **SIZE)
    one(f'average_pool_7_{name}', 'AveragePool', 7, **a, **SIZE)
    one(f'average_pool_11_{name}_counted', 'AveragePool', 11, count_include_pad=1, **a, **SIZE)
for name, a in CEIL.items():
    one(f'max_pool_12_{name}', 'MaxPool', 12, **a, **SIZE)
    one(f'average_pool_10_{name}', 'AveragePool', 10, **a, **SIZE)
    one(f'average_pool_19_{name}_counted', 'AveragePool', 19, count_include_pad=1, **a, **SIZE)
DILATED = {'dilated': dict(kernel_shape=[2, 3], dilations=[3, 2]), 'dilated_pads': dict(kernel_shape=[3, 2], dilations=[2, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
           'dilated_ceil': dict(kernel_shape=[2, 2], dilations=[2, 2], strides=[2, 3], ceil_mode=1), 'dilated_same': dict(kernel_shape=[3, 3], dilations=[2, 2], auto_pad='SAME_UPPER')}
for name, a in DILATED.items():
    same = dict(refused='auto_pad') if 'auto_pad' in a else {}
    one(f'max_pool_10_{name}', 'MaxPool', 10, **a, **SIZE, **same)
    one(f'average_pool_19_{name}', 'AveragePool', 19, **a, **SIZE, **same)
    one(f'average_pool_19_{name}_counted', 'AveragePool', 19, count_include_pad=1, **a, **SIZE, **same)
one('max_pool_12_storage_order', 'MaxPool', 12, kernel_shape=[2, 2], storage_order=1, **SIZE)
one('max_pool_12_with_indices', 'MaxPool', 12, kernel_shape=[2, 2], out=2, **SIZE)
NAN = dict(y=f([[[[np.nan, np.nan, 8], [np.nan, np.nan, 8], [9, 6, 7]]]]), why='PyTorch: a maximum with a NaN is none')
one('max_pool_12_nan', 'MaxPool', 12, kernel_shape=[2, 2], x=f([[[[1, 2, 3, 4], [5, np.nan, 7, 8], [9, 1, 2, 3], [-np.inf, -np.inf, 6, 7]]]]), **NAN)
one('average_pool_11_nan', 'AveragePool', 11, kernel_shape=[2, 2], x=f([[[[1, 2, 3, 4], [5, np.nan, 7, 8], [9, 1, 2, 3], [-np.inf, np.inf, 6, 7]]]]))
one('max_pool_12_negative', 'MaxPool', 12, kernel_shape=[3, 3], pads=[1, 1, 1, 1], x=-1 - np.abs(noise((1, 2, 5, 5), 3)))
one('max_pool_8_one_dimension', 'MaxPool', 8, kernel_shape=[3], strides=[2], pads=[1, 1], shape=(2, 3, 9))
one('average_pool_7_one_dimension', 'AveragePool', 7, kernel_shape=[2], auto_pad='SAME_UPPER', shape=(2, 3, 9))
one('max_pool_8_three_dimensions', 'MaxPool', 8, kernel_shape=[2, 2, 2], shape=(1, 2, 3, 4, 5))
for op in ('GlobalAveragePool', 'GlobalMaxPool'):
    for i, shape in enumerate([(2, 3, 6, 5), (2, 3, 9), (2, 3, 2, 3, 4), (2, 3, 1, 1)]):
        one(f'{op.lower()}_7_{i}', op, 7, shape=shape)
one('globalmaxpool_7_nan', 'GlobalMaxPool', 7, x=f([[[[1, np.nan], [3, 2]], [[1, 2], [3, 4]]]]), y=[[[[np.nan]], [[4]]]], why=NAN['why'])
one('lp_pool_11', 'LpPool', 11, kernel_shape=[2, 2])
one('lp_pool_11_cubes', 'LpPool', 11, kernel_shape=[3, 2], p=3, strides=[2, 1])
one('global_lp_pool_7', 'GlobalLpPool', 7, refused='GlobalLpPool')
