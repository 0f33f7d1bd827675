"""Resize and Upsample: grids, roundings, sizes against scales, and the forms of each opset."""
import numpy as np

from model import noise, one

f, i64 = np.float32, np.int64
X = noise((1, 2, 6, 5), 3)
RAMP = np.arange(60, dtype=f).reshape(1, 2, 6, 5)
GRIDS = ('half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric', 'half_pixel_symmetric')
ROUNDINGS = ('round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil')


def resize(name, opset, scales=None, sizes=None, x=X, **a):
    inputs = [None, f(scales) if scales is not None else None] + ([i64(sizes)] if sizes is not None else [])
    if opset < 13 and sizes is not None:
        inputs[1] = np.zeros(0, f)
    if opset == 11 or opset == 12:
        inputs[0] = np.zeros(0, f)
    one(name, 'Resize', opset, *inputs, x=x, **a)


for grid in GRIDS:
    opset = 19 if grid == 'half_pixel_symmetric' else 13
    for label, scales in {'up': [1, 1, 2, 3], 'down': [1, 1, 0.5, 0.6], 'odd': [1, 1, 1.3, 0.7], 'near_one': [1, 1, 1.1, 0.95]}.items():
        resize(f'resize_{opset}_linear_{grid}_{label}', opset, scales, mode='linear', coordinate_transformation_mode=grid)
        for rounding in ROUNDINGS:
            resize(f'resize_{opset}_{grid}_{rounding}_{label}', opset, scales, x=RAMP, coordinate_transformation_mode=grid, nearest_mode=rounding)
    for label, sizes in {'up': [1, 2, 9, 10], 'down': [1, 2, 4, 3], 'one': [1, 2, 1, 1], 'line': [1, 2, 1, 8], 'same': [1, 2, 6, 5]}.items():
        resize(f'resize_{opset}_linear_{grid}_to_{label}', opset, sizes=sizes, mode='linear', coordinate_transformation_mode=grid)
        resize(f'resize_{opset}_{grid}_to_{label}', opset, sizes=sizes, x=RAMP, coordinate_transformation_mode=grid)
for n, to in [(14, 18), (28, 36), (21, 27), (20, 44), (7, 9), (10, 13), (30, 3), (9, 7)]:
    for grid, rounding in [('asymmetric', 'floor'), ('half_pixel', 'round_prefer_floor'), ('half_pixel', 'floor')]:
        resize(f'resize_13_ties_{n}_{to}_{grid}_{rounding}', 13, sizes=[1, 1, 1, to], x=np.arange(n, dtype=f).reshape(1, 1, 1, n), coordinate_transformation_mode=grid, nearest_mode=rounding)
for n, s in [(10, 0.7), (10, 1.3), (20, 0.9), (100, 0.29), (64, 0.75), (30, 0.1), (20, 1.15), (7, 1 / 7), (3, 2 / 3)]:
    for mode in ('nearest', 'linear'):
        resize(f'resize_13_scaled_{n}_{s:.2f}_{mode}', 13, [1, 1, 1, s], x=np.arange(n, dtype=f).reshape(1, 1, 1, n), mode=mode)
one('resize_10_scales', 'Resize', 10, f([1, 1, 2, 1.5]), x=RAMP)
one('resize_10_linear', 'Resize', 10, f([1, 1, 2, 1.5]), x=X, mode='linear')
one('resize_10_down', 'Resize', 10, f([1, 1, 0.5, 0.4]), x=RAMP)
one('upsample_9', 'Upsample', 9, f([1, 1, 2, 3]), x=RAMP)
one('upsample_9_part', 'Upsample', 9, f([1, 1, 1.5, 1.3]), x=RAMP)
one('upsample_9_linear', 'Upsample', 9, f([1, 1, 2, 1.5]), x=X, mode='linear')
one('upsample_7', 'Upsample', 7, x=RAMP, scales=[1.0, 1.0, 2.0, 1.5])
one('upsample_7_linear', 'Upsample', 7, x=X, mode='linear', scales=[1.0, 1.0, 2.0, 3.0])
resize('resize_11', 11, [1, 1, 2, 2], x=RAMP)
resize('resize_11_sizes', 11, sizes=[1, 2, 7, 9], x=RAMP)
resize('resize_11_tf_half_pixel', 11, [1, 1, 2, 1.5], x=RAMP, coordinate_transformation_mode='tf_half_pixel_for_nn')
resize('resize_18_axes', 18, [2, 1.5], x=X, mode='linear', axes=[2, 3])
resize('resize_18_axes_negative', 18, [1.5, 2], x=X, mode='linear', axes=[-1, -2])
resize('resize_18_axes_sizes', 18, sizes=[9], x=X, mode='linear', axes=[3])
resize('resize_13_channels', 13, [1, 2, 1, 1], x=RAMP)
resize('resize_13_channels_linear', 13, [1, 2, 1, 1], x=X, mode='linear')
resize('resize_13_channels_and_rows', 13, sizes=[1, 4, 3, 5], x=RAMP)
resize('resize_13_batch', 13, [2, 1, 1, 1], x=RAMP, refused='batch')
resize('resize_18_antialias', 18, [1, 1, 0.5, 0.5], mode='linear', antialias=1)
resize('resize_18_antialias_cubic', 18, [1, 1, 0.4, 0.7], mode='cubic', antialias=1)
resize('resize_18_antialias_up', 18, [1, 1, 1.5, 0.6], mode='linear', antialias=1)
resize('resize_13_cubic', 13, [1, 1, 2, 2], mode='cubic')
for grid in ('align_corners', 'asymmetric', 'pytorch_half_pixel'):
    resize(f'resize_13_cubic_{grid}', 13, [1, 1, 1.7, 0.6], mode='cubic', coordinate_transformation_mode=grid, cubic_coeff_a=-0.5)
resize('resize_13_exclude_outside', 13, [1, 1, 2, 2], mode='cubic', exclude_outside=1)
for policy in ('stretch', 'not_larger', 'not_smaller'):
    for mode in ('linear', 'nearest'):
        resize(f'resize_18_{policy}_{mode}', 18, sizes=[9, 9], x=X, mode=mode, keep_aspect_ratio_policy=policy, axes=[2, 3])
one('resize_13_crop', 'Resize', 13, f([0, 0, 0.2, 0.2, 1, 1, 0.8, 0.8]), f([1, 1, 2, 2]), x=X, mode='linear', coordinate_transformation_mode='tf_crop_and_resize', refused='tf_crop_and_resize')
one('resize_13_line', 'Resize', 13, None, f([1, 1, 2]), x=noise((1, 2, 5), 3), mode='linear')
one('resize_13_line_nearest', 'Resize', 13, None, f([1, 1, 1.7]), x=noise((1, 2, 5), 3))
one('resize_13_flat', 'Resize', 13, None, f([1, 2]), x=noise((1, 5), 3))
one('resize_13_flat_linear', 'Resize', 13, None, f([1, 2]), x=noise((1, 5), 3), mode='linear')
# A scale that leaves the size as it is: onnxruntime copies, ONNX and PyTorch interpolate.
resize('resize_19_symmetric_same_size', 19, [1, 1, 1, 1.3], x=f([[[[100, 200]]]]), mode='linear', coordinate_transformation_mode='half_pixel_symmetric', y=[[[[111.53846, 188.46154]]]], why='the example of onnx/onnx issue 4862')
resize('resize_19_half_pixel_same_size', 19, [1, 1, 1, 1.3], x=f([[[[100, 200]]]]), mode='linear', coordinate_transformation_mode='half_pixel', y=[[[[100, 165.38462]]]], why='the example of onnx/onnx issue 4862')
