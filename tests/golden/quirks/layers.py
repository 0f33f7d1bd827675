"""Recurrent layers, samples between places, quantised values, control flow, and what onnxruntime's optimiser writes."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model import case, noise, one

f, i64 = np.float32, np.int64
T, H, I = 5, 4, 3


def recurrent(name, op, opset, gates, directions=1, state=False, pick=0, biased=True, **a):
    def build(g, x):
        d = directions
        b = noise((d, 2 * gates * H), 3, -0.5, 0.5) if biased else None
        states = [None] + [noise((d, 1, H), 5 + i, -1, 1) for i in range(2 if op == 'LSTM' else 1)] if state else []
        made = g.node(op, g.node('Transpose', x, perm=[1, 0, 2]), noise((d, gates * H, I), 1, -0.7, 0.7), noise((d, gates * H, H), 2, -0.7, 0.7), b, *states, out=3 if op == 'LSTM' else 2, hidden_size=H, **a)
        return made[pick]
    case(name, opset, build, shape=(1, T, I), fixed=True)


for op, gates in (('LSTM', 4), ('GRU', 3), ('RNN', 1)):
    recurrent(f'{op.lower()}_14', op, 14, gates)
    recurrent(f'{op.lower()}_14_reverse', op, 14, gates, direction='reverse')
    recurrent(f'{op.lower()}_14_both', op, 14, gates, directions=2, direction='bidirectional')
    recurrent(f'{op.lower()}_14_state', op, 14, gates, state=True, pick=1)
    recurrent(f'{op.lower()}_7_bare', op, 7, gates, biased=False, pick=1)
recurrent('lstm_14_memory', 'LSTM', 14, 4, pick=2)
recurrent('gru_14_linear_before_reset', 'GRU', 14, 3, linear_before_reset=1)
recurrent('gru_14_linear_before_reset_both', 'GRU', 14, 3, directions=2, direction='bidirectional', linear_before_reset=1)
recurrent('rnn_14_relu', 'RNN', 14, 1, activations=['Relu'])

grid = noise((1, 4, 7, 2), 3, -1.3, 1.3)
for mode in ('bilinear', 'nearest'):
    for padding in ('zeros', 'border', 'reflection'):
        for corners in (0, 1):
            one(f'grid_sample_16_{mode}_{padding}_{corners}', 'GridSample', 16, grid, mode=mode, padding_mode=padding, align_corners=corners, shape=(1, 3, 6, 5))
case('grid_sample_20_computed', 20, lambda g, x: g.node('GridSample', noise((1, 2, 5, 4), 4), x, mode='linear'), shape=(1, 6, 3, 2), fixed=True)
heads = noise((2, 7, 3, 2), 5, -1.2, 1.2)
case('grid_sample_16_heads', 16, lambda g, x: g.node('Reshape', g.node('GridSample', g.node('Reshape', x, i64([2, 4, 6, 5])), heads), i64([1, 8, 7, 3])), shape=(1, 8, 6, 5), fixed=True)
for corners in (0, 1):
    case(f'affine_grid_20_{corners}', 20, lambda g, x, c=corners: g.node('AffineGrid', x, i64([1, 2, 5, 4]), align_corners=c), shape=(1, 2, 3), fixed=True)
rois = f([[0.5, 1, 4.5, 5], [0, 0, 3, 2.5], [-1, 2, 6.5, 8]])
for opset, mode in ((10, None), (16, 'half_pixel'), (16, 'output_half_pixel')):
    for ratio in (0, 2):
        one(f'roi_align_{opset}_{mode}_{ratio}', 'RoiAlign', opset, rois, i64([0, 0, 0]), output_height=2, output_width=3, sampling_ratio=ratio, spatial_scale=0.8, coordinate_transformation_mode=mode, shape=(1, 3, 7, 6), fixed=True)
for i, (image, block, a) in enumerate([([6, 5], [2, 3], {}), ([5, 5], [1, 5], dict(pads=[0, 1, 0, 1])), ([7, 6], [2, 2], dict(strides=[2, 2])), ([6, 6], [2, 2], dict(dilations=[2, 1], pads=[1, 0, 1, 0]))]):
    h, w = ((image[k] + a.get('pads', [0] * 4)[k] + a.get('pads', [0] * 4)[k + 2] - a.get('dilations', [1, 1])[k] * (block[k] - 1) - 1) // a.get('strides', [1, 1])[k] + 1 for k in (0, 1))
    one(f'col2im_18_{i}', 'Col2Im', 18, i64(image), i64(block), shape=(2, 3 * block[0] * block[1], h * w), **a)

S, Z = f(0.03), np.uint8(120)
for kind, zero in ((np.uint8, 120), (np.int8, -5), (np.int8, 0)):
    case(f'quantise_13_{kind.__name__}_{zero}', 13, lambda g, x, k=kind, z=zero: g.node('DequantizeLinear', g.node('QuantizeLinear', x, S, k(z)), S, k(z)), x=noise((2, 3, 4, 5), 3, -5, 5))
case('quantise_13_halves', 13, lambda g, x: g.node('DequantizeLinear', g.node('QuantizeLinear', x, f(0.5), np.int8(0)), f(0.5), np.int8(0)), x=f([[-1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 100, -100]]))
case('quantise_13_by_channel', 13, lambda g, x: g.node('DequantizeLinear', g.node('QuantizeLinear', x, f([0.02, 0.1, 0.5]), np.int8([0, 0, 0]), axis=1), f([0.02, 0.1, 0.5]), np.int8([0, 0, 0]), axis=1))


def weight(shape, seed, kind):
    return np.round(noise(shape, seed, 0, 250) if kind == np.uint8 else noise(shape, seed, -120, 120)).astype(kind)


for kind, zero in ((np.uint8, 131), (np.int8, 0)):
    for channels in (1, 4):
        def conv(g, x, kind=kind, zero=zero, channels=channels):
            q = g.node('QuantizeLinear', x, f(0.02), np.uint8(100))
            ws = f([0.01, 0.02, 0.03, 0.005][:channels]) if channels > 1 else f(0.01)
            wz = kind([zero] * channels) if channels > 1 else kind(zero)
            y = g.node('QLinearConv', q, f(0.02), np.uint8(100), weight((4, 3, 3, 3), 5, kind), ws, wz, f(0.11), np.uint8(90), np.int32([40, -300, 700, 0]), pads=[1, 1, 1, 1])
            return g.node('DequantizeLinear', y, f(0.11), np.uint8(90))
        if not (kind == np.uint8 and channels > 1):
            case(f'qlinear_conv_10_{kind.__name__}_{channels}', 10, conv)
case('qlinear_matmul_10', 10, lambda g, x: g.node('DequantizeLinear', g.node('QLinearMatMul', g.node('QuantizeLinear', x, f(0.02), np.uint8(100)), f(0.02), np.uint8(100), weight((5, 4), 5, np.int8), f(0.01), np.int8(3), f(0.05), np.uint8(128)), f(0.05), np.uint8(128)))
case('matmul_integer_10', 10, lambda g, x: g.node('Mul', g.node('Cast', g.node('MatMulInteger', g.node('QuantizeLinear', x, f(0.02), np.uint8(100)), weight((5, 4), 5, np.int8), np.uint8(100), np.int8(0)), to=1), f(0.0002)))
case('conv_integer_10', 10, lambda g, x: g.node('Mul', g.node('Cast', g.node('ConvInteger', g.node('QuantizeLinear', x, f(0.02), np.uint8(100)), weight((4, 3, 2, 2), 5, np.uint8), np.uint8(100), np.uint8(128)), to=1), f(0.0002)))


def by_range(g, x):
    q, scale, zero = g.node('DynamicQuantizeLinear', x, out=3)
    y = g.node('Cast', g.node('MatMulInteger', q, weight((5, 4), 5, np.int8), zero, np.int8(0)), to=1)
    return g.node('Mul', y, g.node('Mul', scale, f(0.01)))


case('dynamic_quantise_11', 11, by_range, shape=(1, 3, 6, 5))

M = 'com.microsoft'
for op, inputs, a in [
        ('Gelu', (), {}), ('FastGelu', (), {}), ('FastGelu', (noise((5,), 3),), {}), ('BiasGelu', (noise((5,), 3),), {}), ('QuickGelu', (), {}), ('QuickGelu', (), dict(alpha=1.0)),
        ('FusedMatMul', (noise((5, 4), 3),), dict(alpha=0.5)), ('FusedMatMul', (noise((4, 5), 3),), dict(transB=1)),
        ('FusedConv', (noise((4, 3, 3, 3), 3), noise((4,), 4)), dict(activation='Relu', pads=[1, 1, 1, 1])), ('FusedConv', (noise((4, 3, 3, 3), 3), noise((4,), 4)), dict(activation='LeakyRelu', activation_params=[0.2])),
        ('FusedConv', (noise((4, 3, 1, 1), 3), noise((4,), 4), noise((1, 4, 6, 5), 5)), dict(activation='Relu'))]:
    n = sum(k.startswith(f'ms_{op.lower()}_') for k in __import__('model').CASES)
    shape = (1, 3, 6, 5) if len(inputs) == 3 else (2, 3, 6, 5)
    one(f'ms_{op.lower()}_{n}', op, 17, *inputs, domain=M, shape=shape, fixed=shape[0] == 1, **a)
one('ms_skip_layer_normalization', 'SkipLayerNormalization', 17, noise((1, 6, 8), 3), noise((8,), 4), noise((8,), 5), noise((8,), 6), domain=M, shape=(1, 6, 8), fixed=True)
one('ms_attention', 'Attention', 17, noise((8, 24), 3, -0.5, 0.5), noise((24,), 4), num_heads=2, domain=M, shape=(2, 6, 8))
one('ms_attention_unidirectional', 'Attention', 17, noise((8, 24), 3, -0.5, 0.5), noise((24,), 4), num_heads=2, unidirectional=1, domain=M, shape=(2, 6, 8))
case('ms_multi_head_attention', 17, lambda g, x: g.node('MultiHeadAttention', x, g.node('Mul', x, f(0.5)), g.node('Add', x, f(1)), num_heads=4, domain=M), shape=(2, 6, 8))
one('rms_normalization', 'SimplifiedLayerNormalization', 17, noise((5,), 3, 0.5, 1.5), axis=-1, epsilon=1e-5)
case('ms_qlinear_add', 17, lambda g, x: g.node('DequantizeLinear', g.node('QLinearAdd', g.node('QuantizeLinear', x, f(0.02), np.uint8(100)), f(0.02), np.uint8(100), weight((1, 3, 6, 5), 3, np.uint8), f(0.01), np.uint8(128), f(0.03), np.uint8(110), domain=M), f(0.03), np.uint8(110)), shape=(1, 3, 6, 5), fixed=True)


def branch(value, name):
    """A graph that scales the x around it."""
    return helper.make_graph([helper.make_node('Mul', ['x', f'{name}_c'], [f'{name}_y'])], name, [], [helper.make_tensor_value_info(f'{name}_y', TensorProto.FLOAT, None)], [numpy_helper.from_array(f(value), f'{name}_c')])


for taken in (True, False):
    case(f'if_13_{taken}', 13, lambda g, x, t=taken: g.node('If', np.array(t), then_branch=branch(2, 'a'), else_branch=branch(-3, 'b')))
case('if_13_computed', 13, lambda g, x: g.node('If', g.node('Greater', g.node('ReduceMax', x, keepdims=0), f(0)), then_branch=branch(2, 'a'), else_branch=branch(-3, 'b')), shape=(1, 3), fixed=True, refused='If')
body = helper.make_graph(
    [helper.make_node('Add', ['v', 'x'], ['w']), helper.make_node('Identity', ['go'], ['on'])], 'body',
    [helper.make_tensor_value_info('i', TensorProto.INT64, []), helper.make_tensor_value_info('go', TensorProto.BOOL, []), helper.make_tensor_value_info('v', TensorProto.FLOAT, None)],
    [helper.make_tensor_value_info('on', TensorProto.BOOL, []), helper.make_tensor_value_info('w', TensorProto.FLOAT, None)])
case('loop_13', 13, lambda g, x: g.node('Loop', np.int64(3), np.array(True), g.node('Mul', x, f(2)), body=body))


def scaled(g, x):
    """A call of a function of the file's own, with an attribute that its body refers to."""
    node = helper.make_node('Constant', [], ['c'])
    node.attribute.append(onnx.AttributeProto(name='value_float', type=onnx.AttributeProto.FLOAT, ref_attr_name='by'))
    g.functions.append(helper.make_function('own', 'Scaled', ['a'], ['b'], [node, helper.make_node('Mul', ['a', 'c'], ['m']), helper.make_node('Relu', ['m'], ['b'])], [helper.make_opsetid('', 17)], ['by']))
    return g.node('Scaled', g.node('Neg', x), domain='own', by=2.5)


case('function_17', 17, scaled)
case('non_max_suppression_11', 11, lambda g, x: g.node('Cast', g.node('NonMaxSuppression', x, noise((1, 2, 6), 3), np.int64(3)), to=1), shape=(1, 6, 4), fixed=True, refused='NonMaxSuppression')


def quantised_gemm(turned, bias, out):
    def build(g, x):
        q = g.node('QuantizeLinear', x, f(0.02), np.uint8(100))
        inputs = [q, f(0.02), np.uint8(100), weight((4, 5) if turned else (5, 4), 5, np.int8), f([0.01, 0.02, 0.03, 0.005]), np.int8([0, 0, 0, 0])]
        inputs += [np.int32([40, -300, 700, 0])] if bias else []
        y = g.node('QGemm', *inputs, *([f(0.05), np.uint8(128)] if out else []), domain=M, alpha=1.0, transB=turned)
        return g.node('DequantizeLinear', y, f(0.05), np.uint8(128)) if out else y
    return build


for turned, bias, out in ((0, True, True), (1, True, True), (1, True, False), (0, True, False)):
    case(f'qgemm_{turned}_{out}', 13, quantised_gemm(turned, bias, out), shape=(2, 5))

# Deformable convolution, by torchvision's dense form in f64 (onnxruntime has it for its CPU only in later versions).


def deformed(x, weight, offset, mask=None, bias=None, **a):
    import torch
    from torchvision.ops import deform_conv2d
    t = lambda v: None if v is None else torch.from_numpy(np.float64(v))
    return np.float32(deform_conv2d(t(x), t(offset), t(weight), t(bias), mask=t(mask), **a).numpy())


for i, (k, groups, fields, masked, a) in enumerate([
        (3, 1, 1, False, dict(stride=1, padding=1, dilation=1)), (3, 2, 1, True, dict(stride=2, padding=1, dilation=1)), (2, 1, 2, True, dict(stride=1, padding=0, dilation=2)), ((3, 1), 1, 4, False, dict(stride=(1, 2), padding=(1, 0), dilation=1))]):
    kernel = (k, k) if isinstance(k, int) else k
    pair = lambda v: [v, v] if isinstance(v, int) else list(v)
    s, p, d = pair(a['stride']), pair(a['padding']), pair(a['dilation'])
    rows, columns = ((n + 2 * p[j] - d[j] * (kernel[j] - 1) - 1) // s[j] + 1 for j, n in enumerate((7, 6)))
    w, b = noise((6, 4 // groups, *kernel), 21 + i, -0.5, 0.5), noise((6,), 22 + i)
    offset, mask = noise((2, 2 * fields * kernel[0] * kernel[1], rows, columns), 23 + i, -1.7, 1.7), noise((2, fields * kernel[0] * kernel[1], rows, columns), 24 + i, 0, 1)
    attributes = dict(kernel_shape=list(kernel), strides=s, pads=[*p, *p], dilations=d, group=groups, offset_group=fields)
    x = noise((2, 4, 7, 6), 25 + i)
    # One input holds map, offsets and mask: constants would be the same for all samples.
    sizes = [4 * 42, offset[0].size, mask[0].size if masked else 0]
    joined = np.concatenate([v.reshape(2, -1) for v in (x, offset, mask)[:3 if masked else 2]], 1)

    def build(g, x, sizes=sizes, offset=offset, mask=mask, masked=masked, w=w, b=b, attributes=attributes):
        parts = g.node('Split', x, i64(sizes[:3 if masked else 2]), axis=1, out=3 if masked else 2)
        told = [g.node('Reshape', part, i64([-1, *v.shape[1:]])) for part, v in zip(parts, (np.zeros((2, 4, 7, 6)), offset, mask))]
        return g.node('DeformConv', told[0], w, told[1], b, told[2] if masked else None, **attributes)
    for opset in (19,) if i else (19, 21):
        case(f'deform_conv_{opset}_{i}', opset, build, x=joined, y=deformed(x, w, offset, mask if masked else None, b, **a), why='torchvision in f64')

for name, a, inputs, shape in [('plain', {}, (), (2, 3, 8, 1)), ('axis', dict(axis=1), (), (2, 5, 3, 2)), ('length', {}, (i64(6),), (2, 3, 8, 1)), ('padded', {}, (i64(11),), (2, 3, 8, 2)), ('onesided', dict(onesided=1), (), (2, 3, 9, 1)), ('inverse', dict(inverse=1), (), (2, 3, 7, 2))]:
    one(f'dft_17_{name}', 'DFT', 17, *inputs, shape=shape, **dict(dict(axis=2), **a))
case('dft_20', 20, lambda g, x: g.node('DFT', x, None, i64(-2), onesided=1), shape=(2, 3, 8, 1))
for length, window, a in ((16, True, {}), (12, False, {}), (16, True, dict(onesided=0))):
    case(f'stft_17_{length}_{len(a)}', 17, lambda g, x, n=length, w=window, a=a: g.node('STFT', x, i64(5), noise((n,), 5, 0, 1) if w else None, i64(n), **a), shape=(2, 40, 1))
for shape in ((2, 4, 9, 3), (2, 8, 5, 7)):
    one(f'center_crop_pad_18_{shape[1]}', 'CenterCropPad', 18, i64(shape[1:]), axes=[1, 2, 3], shape=(2, 6, 7, 5))
one('space_to_depth_13_plain', 'SpaceToDepth', 13, blocksize=2, shape=(2, 3, 4, 6))
for op in ('ArgMax', 'ArgMin'):
    for keep in (0, 1):
        case(f'{op.lower()}_13_last_{keep}', 13, lambda g, x, op=op, keep=keep: g.node('Cast', g.node(op, x, axis=2, keepdims=keep, select_last_index=1), to=1), x=np.round(noise((2, 3, 6, 5), 9)))


def convolved_by_range(g, x):
    q, scale, zero = g.node('DynamicQuantizeLinear', x, out=3)
    y = g.node('Cast', g.node('ConvInteger', q, weight((4, 3, 3, 3), 5, np.uint8), zero, np.uint8(128), pads=[1, 1, 1, 1], strides=[2, 1]), to=1)
    return g.node('Mul', y, g.node('Mul', scale, f(0.01)))


case('dynamic_quantise_11_conv', 11, convolved_by_range, shape=(1, 3, 6, 5))
case('dynamic_quantise_11_zeros', 11, convolved_by_range, x=np.zeros((1, 3, 6, 5)))
