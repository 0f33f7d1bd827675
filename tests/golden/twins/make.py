"""Makes twins.zip: a small net, the same net fine-tuned and quantised, and how far their maps and layers lie apart.

    pip install torch onnx onnxruntime scipy
    python make.py

`float.onnx` and `tuned.onnx` have the same layers, `int8.onnx` is onnxruntime's static quantisation of the first (QDQ).
`cases.json` holds, an input a row: Spearman's correlation (SciPy) of the Grad-CAM maps (PyTorch, f64, written out) of `float` and
`tuned` for the class that `float` predicts, both predictions, and for each pair of layers |b - a| / |a| of their values, of
`tuned` from PyTorch in f64, of `int8` from onnxruntime without graph optimisation. `x.npy` holds the inputs, `maps.npy` the maps.
"""
import io, json, os, sys, tempfile, warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
warnings.filterwarnings('ignore')
import numpy as np, onnx, onnxruntime, torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from scipy.stats import spearmanr
from torch import nn

import golden

N, LAYERS = 8, ('conv1', 'conv2', 'conv3', 'fc')


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = self.conv2(self.conv1(x).relu()).relu()
        return self.fc(self.conv3(x).relu().mean((2, 3)))


def values(net, x):
    """The layers' values by name, the last rectifier's too."""
    kept = {}
    hooks = [getattr(net, n).register_forward_hook(lambda m, i, y, n=n: kept.__setitem__(n, y)) for n in LAYERS]
    net(x)
    for h in hooks:
        h.remove()
    return kept


def grad_cam(net, x, c):
    a = net.conv2(net.conv1(x).relu()).relu()
    a = net.conv3(a).relu().detach().requires_grad_(True)
    (g,) = torch.autograd.grad(net.fc(a.mean((2, 3)))[0, c], a)
    return (g.mean((2, 3), keepdim=True) * a).sum(1).relu()[0].detach().numpy()


def export(net, path):
    torch.onnx.export(net, torch.zeros(1, 3, 24, 24), path, input_names=['x'], output_names=['y'], opset_version=17, dynamo=False, dynamic_axes={'x': {0: 'N'}, 'y': {0: 'N'}})


def intermediate(path, x, wanted):
    model = onnx.load(path)
    ends = {n.name: n.output[0] for n in model.graph.node}
    model.graph.output.extend(onnx.helper.make_tensor_value_info(ends[w], onnx.TensorProto.FLOAT, None) for w in wanted)
    o = onnxruntime.SessionOptions()
    o.graph_optimization_level, o.intra_op_num_threads = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, 1
    s = onnxruntime.InferenceSession(model.SerializeToString(), o, providers=['CPUExecutionProvider'])
    return dict(zip(wanted, s.run([ends[w] for w in wanted], {'x': x})))


class Reader(CalibrationDataReader):
    def __init__(self, x):
        self.rows = iter([{'x': x[i:i + 1]} for i in range(len(x))])

    def get_next(self):
        return next(self.rows, None)


def main():
    torch.set_num_threads(1)
    x = golden.values(dict(shape=[N, 3, 24, 24], seed=77, scale=1.5, shift=0.0))
    net = Net()
    table = golden.recipes(net)
    golden.calibrate(net, table, torch.from_numpy(x))
    tuned = Net()
    tuned.load_state_dict(net.state_dict())
    with torch.no_grad():
        for i, p in enumerate(tuned.parameters()):
            p += 0.35 * p.std() * torch.from_numpy(golden.values(dict(shape=list(p.shape), seed=900 + i, scale=1.0, shift=0.0)))
    folder = tempfile.mkdtemp()
    at = lambda n: os.path.join(folder, n + '.onnx')
    export(net, at('float'))
    export(tuned, at('tuned'))
    quantize_static(at('float'), at('int8'), Reader(x), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    a, b = net.double(), tuned.double()
    rows, maps = [], []
    names = [n.name for n in onnx.load(at('float')).graph.node if n.op_type in ('Conv', 'Gemm')]
    error = lambda p, q: float(np.linalg.norm(np.float64(q) - np.float64(p)) / np.linalg.norm(np.float64(p)))
    for i in range(N):
        one = torch.from_numpy(x[i:i + 1]).double()
        with torch.no_grad():
            p, q = values(a, one), values(b, one)
        c, d = int(p['fc'].argmax()), int(q['fc'].argmax())
        pair = [grad_cam(a, one, c), grad_cam(b, one, c)]
        maps.append(pair)
        f, g = (intermediate(at(n), x[i:i + 1], names) for n in ('float', 'int8'))
        rho = spearmanr(pair[0].ravel(), pair[1].ravel()).statistic
        rows.append(dict(spearman=None if np.isnan(rho) else float(rho), classes=[c, d], tuned=[error(p[n].numpy(), q[n].numpy()) for n in LAYERS], int8=[error(f[n], g[n]) for n in names]))
        print(rows[-1])
    files = {n + '.onnx': open(at(n), 'rb').read() for n in ('float', 'tuned', 'int8')}
    files |= {'x.npy': golden.npy(x), 'maps.npy': golden.npy(np.float32(maps)), 'cases.json': json.dumps(dict(layers=names, rows=rows), indent=0).encode()}
    golden.write_zip(os.path.join(HERE, 'twins.zip'), files)


if __name__ == '__main__':
    main()
