"""Values put at computed places, samples between places by cubic convolution and in volumes, queries without keys."""
import numpy as np

from model import case, noise, one

f, i64 = np.float32, np.int64


def routed(name, opset, data, k=2, axis=-1, shape=(1, 6), **a):
    """The k largest of the input, their sines put where they were."""
    def build(g, x):
        values, places = g.node('TopK', x, i64([k]), out=2, axis=axis)
        return g.node('ScatterElements', f(data), places, g.node('Sin', values), axis=axis, **a)
    case(name, opset, build, shape=shape, fixed=True)


routed('scatter_computed_16', 16, np.zeros((1, 6)), axis=1)
routed('scatter_computed_16_infinite', 16, np.full((1, 6), -np.inf), k=3, axis=1)
routed('scatter_computed_18_add', 18, np.arange(6.0)[None], axis=1, reduction='add')
routed('scatter_computed_16_rows', 16, np.ones((1, 2, 5, 4)), axis=2, shape=(1, 2, 5, 4))
routed('scatter_computed_16_first', 16, np.ones((1, 2, 5, 4)), k=1, axis=-3, shape=(1, 2, 5, 4))
for reduction in ('none', 'add'):
    # Rounded numbers between -4 and 3, some twice: places from either end. Of several values in one place the last is kept.
    case(f'scatter_computed_18_{reduction}_twice', 18, lambda g, x, r=reduction: g.node('ScatterElements', noise((1, 4), 4), g.node('Cast', g.node('Clip', g.node('Round', g.node('Mul', x, f(3))), f(-4), f(3)), to=7), g.node('Cos', x), axis=1, reduction=r), shape=(1, 5), fixed=True)

grid = noise((1, 4, 7, 2), 3, -1.3, 1.3)
for padding in ('zeros', 'border', 'reflection'):
    for corners in (0, 1):
        one(f'grid_sample_20_cubic_{padding}_{corners}', 'GridSample', 20, grid, mode='cubic', padding_mode=padding, align_corners=corners, shape=(1, 3, 6, 5))
        for mode in ('linear', 'nearest'):
            one(f'grid_sample_20_volume_{mode}_{padding}_{corners}', 'GridSample', 20, noise((1, 3, 2, 4, 3), 5, -1.3, 1.3), mode=mode, padding_mode=padding, align_corners=corners, shape=(1, 2, 4, 5, 3))
case('grid_sample_16_bicubic_computed', 16, lambda g, x: g.node('GridSample', noise((1, 2, 5, 4), 4), x, mode='bicubic'), shape=(1, 6, 3, 2), fixed=True)
case('grid_sample_20_volume_computed', 20, lambda g, x: g.node('GridSample', noise((1, 2, 5, 4, 3), 4), x, mode='linear'), shape=(1, 2, 3, 2, 3), fixed=True)
