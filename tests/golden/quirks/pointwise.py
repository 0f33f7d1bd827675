"""Activations and functions of several inputs: attributes at their edges, broadcasting, numbers that are not finite."""
import numpy as np

from model import case, noise, one

SPECIAL = np.float32([[-1e30, -1e4, -89, -20, -3, -1.5, -1, -0.5, -1e-6, -0.0, 0.0, 1e-6, 0.5, 1, 1.5, 3, 6, 20, 89, 1e4, 1e30, np.inf, -np.inf, np.nan]])
POSITIVE = np.float32([[1e-30, 1e-6, 0.3, 1, 2, 77, 1e6, 0.0, np.inf]])

for op, opset, forms in [
        ('Relu', 7, [{}]), ('Relu', 14, [{}]), ('LeakyRelu', 7, [{}, dict(alpha=0.0), dict(alpha=-0.5), dict(alpha=1.0), dict(alpha=2.5)]),
        ('LeakyRelu', 16, [dict(alpha=0.3)]), ('Elu', 7, [{}, dict(alpha=0.0), dict(alpha=-0.7), dict(alpha=2.0)]),
        ('Selu', 7, [{}, dict(alpha=1.0, gamma=2.0), dict(gamma=0.0)]), ('Celu', 12, [{}, dict(alpha=0.3), dict(alpha=4.0)]),
        ('ThresholdedRelu', 10, [{}, dict(alpha=0.0), dict(alpha=-0.5)]),
        ('HardSigmoid', 7, [{}, dict(alpha=1 / 6), dict(alpha=-0.2, beta=0.5), dict(alpha=0.0, beta=3.0), dict(beta=0.0)]),
        ('HardSwish', 14, [{}]), ('Gelu', 20, [{}, dict(approximate='none'), dict(approximate='tanh')]), ('Mish', 18, [{}]),
        ('Softplus', 7, [{}]), ('Softsign', 7, [{}]), ('Tanh', 7, [{}]), ('Tanh', 13, [{}]), ('Sigmoid', 7, [{}]), ('Sigmoid', 13, [{}]), ('Erf', 9, [{}]), ('Erf', 13, [{}]),
        ('Exp', 7, [{}]), ('Exp', 13, [{}]), ('Abs', 7, [{}]), ('Neg', 13, [{}]), ('Reciprocal', 7, [{}]), ('Identity', 7, [{}])]:
    for i, form in enumerate(forms):
        one(f'{op.lower()}_{opset}_{i}', op, opset, x=SPECIAL, **form)
for op in ('Log', 'Sqrt'):
    one(f'{op.lower()}_7', op, 7, x=POSITIVE)
    one(f'{op.lower()}_13_negative', op, 13, x=np.float32([[-1, -0.0, 0.25, -np.inf]]))


def unbounded(low, high):
    """Infinity stays where there is no bound; onnxruntime makes it the largest f32."""
    low, high = (d if v is None or abs(v) > 3e38 else float(np.asarray(v).reshape(())) for v, d in ((low, -np.inf), (high, np.inf)))
    return dict(y=np.minimum(np.maximum(SPECIAL, low), high), why='numpy')


for i, bounds in enumerate([{}, dict(min=-0.5), dict(max=0.5), dict(min=0.0), dict(min=0.0, max=6.0), dict(min=-1.0, max=1.0), dict(min=0.0, max=0.0)]):
    one(f'clip_{7 + i % 4}_{i}', 'Clip', 7 + i % 4, x=SPECIAL, **bounds, **unbounded(bounds.get('min'), bounds.get('max')))
f = np.float32
for i, bounds in enumerate([(), (f(-0.5),), (None, f(0.5)), (f(0), None), (f(0), f(6)), (f(0.75), f(-0.25)), (f([-1])[0], f([2])[0]), (f(-3.4028235e38), f(3.4028235e38))]):
    one(f'clip_{[11, 12, 13][i % 3]}_{i}', 'Clip', [11, 12, 13][i % 3], *bounds, x=SPECIAL, **unbounded(*bounds, *[None] * (2 - len(bounds))))
for i, (p, opset) in enumerate([(0.0, 7), (1.0, 7), (2.0, 12), (3.0, 13), (0.5, 7), (-1.0, 13), (-2.0, 13), (2.5, 15)]):
    one(f'pow_{opset}_{i}', 'Pow', opset, f(p), x=SPECIAL if p == int(p) else POSITIVE)
one('pow_13_integer', 'Pow', 13, np.int64(3), x=SPECIAL)
one('pow_13_list_of_one', 'Pow', 13, f([2]), x=SPECIAL)
one('pow_13_one_an_entry', 'Pow', 13, f([1, 2, 3, 0.5, 0]), x=noise((2, 5), 3, 0.1, 2))
case('pow_13_of_a_constant', 13, lambda g, x: g.node('Pow', f(2), x))
case('pow_13_of_two', 13, lambda g, x: g.node('Pow', g.node('Abs', x), x))
for op in ('Sign', 'Sin', 'Cos', 'Tan', 'Floor', 'Ceil', 'Round', 'Sinh', 'Cosh', 'Asinh', 'Atan'):
    one(f'{op.lower()}_13', op, 13, x=np.clip(SPECIAL[:, 2:-5], -20, 20) if op != 'Tan' else noise((2, 9), 5, -1.4, 1.4))
    one(f'{op.lower()}_13_random', op, 13, shape=(2, 3, 6, 5))
for op, low, high in (('Asin', -1, 1), ('Acos', -1, 1), ('Atanh', -0.95, 0.95), ('Acosh', 1, 5)):
    one(f'{op.lower()}_13', op, 13, x=noise((2, 3, 4), 7, low, high))
one('round_13_halves', 'Round', 13, x=np.float32([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5]]))
one('shrink_9', 'Shrink', 9, x=SPECIAL)
one('shrink_9_soft', 'Shrink', 9, x=SPECIAL, lambd=0.5, bias=0.5)
one('hardmax_13', 'Hardmax', 13)
one('hardmax_13_axis', 'Hardmax', 13, axis=1)
one('hardmax_13_ties', 'Hardmax', 13, x=f([[1, 3, 3, 2]]))
case('isnan_13', 13, lambda g, x: g.node('Cast', g.node('IsNaN', g.node('Log', x)), to=1))
case('isinf_13', 13, lambda g, x: g.node('Cast', g.node('IsInf', g.node('Reciprocal', x)), to=1), x=f([[-1, 0.0, 2, -0.0]]))
one('mod_13_fmod', 'Mod', 13, f(0.75), fmod=1)
case('mod_13_fmod_of_two', 13, lambda g, x: g.node('Mod', x, g.node('Add', g.node('Abs', x), f(0.3)), fmod=1))
for op in ('Equal', 'Greater', 'LessOrEqual'):
    case(f'{op.lower()}_13_of_two', 13, lambda g, x, op=op: g.node('Cast', g.node(op, x, g.node('Round', x)), to=1), x=f([[0.5, 1, -2, 2.25]]))
case('xor_13', 13, lambda g, x: g.node('Cast', g.node('Xor', g.node('Greater', x, f(0)), g.node('Less', x, f(0.5))), to=1))

C = 3
for i, slope in enumerate([f(0.25), f([0.25]), f([[[0.1]], [[0.5]], [[-1]]]), f([[[[0.1]], [[0.5]], [[2]]]]), np.linspace(0, 1, 90, dtype=f).reshape(3, 6, 5), f([[0.1, 0.2, 0.3, 0.4, 0.5]])]):
    one(f'prelu_{[7, 9, 16][i % 3]}_{i}', 'PRelu', [7, 9, 16][i % 3], slope)
one('prelu_7_flat', 'PRelu', 7, f([0.1, 0.2, 0.3, 0.4]), shape=(3, 4))

SHAPES = {'scalar': (), 'one': (1,), 'last': (5,), 'rows': (6, 1), 'channel': (3, 1, 1), 'with_batch_axis': (1, 3, 1, 1), 'full': (1, 3, 6, 5), 'ones': (1, 1, 1, 1)}
for j, op in enumerate(('Add', 'Sub', 'Mul', 'Div', 'Max', 'Min')):
    for k, (shape_name, shape) in enumerate(SHAPES.items()):
        v = np.linspace(0.5, 1.5, int(np.prod(shape)) or 1, dtype=f).reshape(shape)
        opset = [7, 8, 13, 14][(j + k) % 4] if op not in ('Max', 'Min') else [8, 12, 13][(j + k) % 3]
        if (j + k) % 2:
            one(f'{op.lower()}_{opset}_{shape_name}', op, opset, v)
        else:
            case(f'{op.lower()}_{opset}_{shape_name}_first', opset, lambda g, x, op=op, v=v: g.node(op, v, x))
one('add_13_by_sample', 'Add', 13, f([[[[1]]], [[[2]]]]), refused='every sample must be treated alike')
one('mul_13_more_axes', 'Mul', 13, np.ones((1, 2, 3, 6, 5), f), refused='every sample must be treated alike')
for op in ('Sum', 'Mean', 'Max', 'Min'):
    one(f'{op.lower()}_8_one', op, 8)
    one(f'{op.lower()}_13_three', op, 13, f([[[0.5]], [[-0.5]], [[1.5]]]), f(0.1))
    case(f'{op.lower()}_13_nan_first', 13, lambda g, x, op=op: g.node(op, g.node('Log', x), x), x=f([[-1, 0.5, -2, 3]]))
    case(f'{op.lower()}_13_nan_second', 13, lambda g, x, op=op: g.node(op, x, g.node('Log', x)), x=f([[-1, 0.5, -2, 3]]))
case('max_13_nan_constant_bound', 13, lambda g, x: g.node('Max', g.node('Log', x), f(0)), x=f([[-1, 0.5, -2, 3]]))
case('min_13_nan_constant_first', 13, lambda g, x: g.node('Min', f(0), g.node('Log', x)), x=f([[-1, 0.5, -2, 3]]))
case('relu_13_nan', 13, lambda g, x: g.node('Relu', g.node('Log', x)), x=f([[-1, 0.5, -2, 3]]))
case('clip_13_nan', 13, lambda g, x: g.node('Clip', g.node('Log', x), f(-0.5), f(0.5)), x=f([[-1, 0.5, -2, 3]]))
case('where_13_constant_test', 13, lambda g, x: g.node('Where', np.array([True, False, True, False]), x, f([9, 8, 7, 6])), shape=(2, 4))
case('where_13_test_of_x', 13, lambda g, x: g.node('Where', g.node('Greater', x, f(0.1)), x, g.node('Mul', x, f(0.2))), shape=(2, 4))
case('where_16_at_most', 16, lambda g, x: g.node('Where', g.node('LessOrEqual', x, f(0.1)), f(-1), x), shape=(2, 4))
case('where_13_two_values', 13, lambda g, x: g.node('Where', g.node('Less', x, g.node('Neg', x)), f(0), x), shape=(2, 4))
case('cast_13_to_double_and_back', 13, lambda g, x: g.node('Cast', g.node('Cast', x, to=11), to=1))
case('cast_13_to_half_and_back', 13, lambda g, x: g.node('Cast', g.node('Cast', x, to=10), to=1), x=f([[0.5, -2, 1.25, 1024]]))
case('cast_13_to_integers', 13, lambda g, x: g.node('Cast', g.node('Cast', x, to=7), to=1))
case('cast_13_to_truth', 13, lambda g, x: g.node('Cast', g.node('Cast', x, to=9), to=1), x=f([[0.0, -0.5, 2, 0.25]]))
case('castlike_15', 15, lambda g, x: g.node('CastLike', x, f(1)))
for opset, inputs, attributes in [(7, (), dict(ratio=0.3)), (10, (), {}), (12, (f(0.3),), {}), (13, (f(0.3), np.array(False)), {}), (13, (None, np.array(False)), {})]:
    one(f'dropout_{opset}_{len(inputs)}' + '_default' * (inputs[:1] == (None,)), 'Dropout', opset, *inputs, **attributes)
one('dropout_13_training', 'Dropout', 13, f(0.3), np.array(True), refused='dropout in training mode')
