"""Makes tests/golden/meanings/meanings.zip: small nets that end in every way people end them, as PyTorch's two exporters
write them, with what their outputs mean.

    pip install -r ../zoo/requirements.txt
    python make.py            # all
    python make.py --missing  # keeps the files that are there, which another version of PyTorch wrote

`cases.json` lists them: `kind` is what is proved or assumed ("softmax", "sigmoid", "probability", "value", "place", "map"),
`shown` what a prediction must show of each output, computed in f64 from onnxruntime's output by the formula beside the net's
end below. NAME.onnx; the input is given by the formula of golden.py (`x`). Nets that scale pixels themselves come with the
range of pixels that they take and the order of their channels. `open` leaves rows and columns open, `label_first` has the
winning class for its first output and probabilities for its second; `features_first` has features for its first; `without_maps`
has only fully connected layers.
"""
import json, os, sys, warnings, zipfile

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import golden

SIDE = 8


def softmax(y):
    e = np.exp(y - y.max())
    return e / e.sum()


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


def same(y):
    return y


class Body(nn.Module):
    """A classifier of `n` outputs; `end` says what is put behind them."""

    def __init__(self, n, end, before=None, channels=3):
        super().__init__()
        self.conv, self.fc, self.end, self.before = nn.Conv2d(channels, 4, 3, 2), nn.Linear(4, n), end, before
        with torch.no_grad():
            self.fc.weight *= 6

    def scores(self, x):
        return self.fc(F.relu(self.conv(x)).mean((2, 3)))

    def forward(self, x):
        x = self.before(x) if self.before else x
        return self.end(self.scores(x), lambda: self.scores(x.flip(3)))


def soft(z, axis=-1):
    return torch.softmax(z, axis)


def complement(p):
    return torch.cat([1 - p, p], 1)


def parts(z):
    return z / z.sum(1, keepdim=True)


def differences(q):
    """Probabilities of the grades of an ordinal regression, from those of more than each grade."""
    return torch.cat([1 - q[:, :1], q[:, :-1] - q[:, 1:], q[:, -1:]], 1)


# Class by column: groups of classes, events that overlap, other classes by chance, centres of bins, a layer's weights.
GROUPS = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
MARGINS = torch.tensor([[1.0, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 1, 1]])
NOISE = 0.75 * torch.eye(5) + 0.05
BINS = (3 * torch.arange(5.0) - 6).view(5, 1)
HIDDEN = torch.tensor([[1.25, -0.5, 0.75], [-2.0, 1.0, 0.5], [0.5, 1.5, -1.0], [2.5, -0.25, 1.0], [-0.75, 0.5, 2.0]])
PROTOTYPES = torch.tensor([[0.5, -1, 2, 0, 1], [1, 1, -2, 0.5, 0], [0, 2, 1, -1, -0.5], [-1, 0.5, 0, 2, 1]])

# name: (outputs, end(scores, scores of the mirrored input), kind, what is shown of the output)
ENDS = {
    'one': (1, lambda z, m: z, 'sigmoid', sigmoid),
    'flat': (1, lambda z, m: z[:, 0], 'sigmoid', sigmoid),
    'difference': (2, lambda z, m: z[:, 1:2] - z[:, 0:1], 'sigmoid', sigmoid),
    'four_axes': (5, lambda z, m: z[:, :, None, None], 'softmax', softmax),
    'axis_before': (5, lambda z, m: z[:, None, :], 'softmax', softmax),
    'two_logits': (1, lambda z, m: torch.cat([torch.zeros_like(z), z], 1), 'softmax', softmax),
    'some_logits': (5, lambda z, m: z[:, 1:4], 'softmax', softmax),
    'cosine': (5, lambda z, m: 30 * F.normalize(z, dim=1), 'softmax', softmax),
    'softmax': (5, lambda z, m: soft(z), 'softmax', same),
    'softmax_four_axes': (5, lambda z, m: soft(z[:, :, None, None], 1), 'softmax', same),
    'temperature': (5, lambda z, m: soft(z / 2.5), 'softmax', same),
    'softmax_written': (5, lambda z, m: parts(torch.exp(z)), 'softmax', same),
    'softmax_stable': (5, lambda z, m: parts(torch.exp(z - z.amax(1, keepdim=True))), 'softmax', same),
    'log_softmax': (5, lambda z, m: F.log_softmax(z, 1), 'softmax', np.exp),
    'log_of_softmax': (5, lambda z, m: torch.log(soft(z)), 'softmax', np.exp),
    'log_sum_exp': (5, lambda z, m: z - torch.logsumexp(z, 1, keepdim=True), 'softmax', np.exp),
    'cost': (5, lambda z, m: -F.log_softmax(z, 1), 'value', same),
    'cost_mean': (5, lambda z, m: -(F.log_softmax(z, 1) + F.log_softmax(m(), 1)) / 2, 'value', same),
    'log_mean': (5, lambda z, m: (F.log_softmax(z, 1) + F.log_softmax(m(), 1)) / 2, 'softmax', softmax),
    'softmax_twice': (5, lambda z, m: soft(soft(z)), 'softmax', same),
    'softmax_of_log': (5, lambda z, m: soft(F.log_softmax(z, 1)), 'softmax', same),
    'wrong_axis': (5, lambda z, m: soft(z[:, None, :], 1), 'probability', same),
    'groups': (6, lambda z, m: soft(z.view(-1, 2, 3), 2).flatten(1), 'probability', same),
    'one_of_two': (2, lambda z, m: soft(z)[:, 1:2], 'probability', same),
    'one_of_two_flat': (2, lambda z, m: soft(z)[:, 1], 'probability', same),
    'some_of_five': (5, lambda z, m: soft(z)[:, 1:4], 'probability', same),
    'best_three': (5, lambda z, m: torch.topk(soft(z), 3)[0], 'probability', same),
    'masked': (5, lambda z, m: soft(z) * torch.tensor([1.0, 1, 0, 1, 1]), 'probability', same),
    'padded': (5, lambda z, m: F.pad(soft(z), (1, 0)), 'probability', same),
    'clamped': (5, lambda z, m: soft(z).clamp(1e-7, 1 - 1e-7), 'probability', same),
    'mirrored': (5, lambda z, m: (soft(z) + soft(m())) / 2, 'probability', same),
    'stacked': (5, lambda z, m: torch.stack([soft(z), soft(m())]).mean(0), 'probability', same),
    'votes': (5, lambda z, m: soft(z) + soft(m()), 'probability', lambda y: y / 2),
    'geometric': (5, lambda z, m: parts((soft(z) * soft(m())).sqrt()), 'probability', same),
    'evidence': (5, lambda z, m: parts(F.softplus(z) + 1), 'probability', same),
    'parts': (5, lambda z, m: parts(F.relu(z) + 1e-3), 'probability', same),
    'percent': (5, lambda z, m: 100 * soft(z), 'probability', same),
    'percent_rounded': (5, lambda z, m: torch.round(100 * soft(z)), 'probability', same),
    'percent_one': (1, lambda z, m: 100 * torch.sigmoid(z), 'probability', same),
    'sigmoid': (5, lambda z, m: torch.sigmoid(z), 'probability', same),
    'sigmoid_written': (5, lambda z, m: 1 / (1 + torch.exp(-z)), 'probability', same),
    'sigmoid_by_tanh': (5, lambda z, m: (torch.tanh(z) + 1) / 2, 'probability', same),
    'hard_sigmoid': (5, lambda z, m: F.hardsigmoid(z), 'probability', same),
    'clamp_to_unit': (5, lambda z, m: z.clamp(0, 1), 'probability', same),
    'sigmoid_mirrored': (5, lambda z, m: (torch.sigmoid(z) + torch.sigmoid(m())) / 2, 'probability', same),
    'log_sigmoid': (5, lambda z, m: F.logsigmoid(z), 'sigmoid', np.exp),
    'complement': (1, lambda z, m: complement(torch.sigmoid(z)), 'probability', same),
    'rating': (1, lambda z, m: 1 + 4 * torch.sigmoid(z), 'value', same),
    'ages': (3, lambda z, m: 120 * torch.sigmoid(z), 'value', same),
    'expected_age': (5, lambda z, m: (soft(z) * torch.arange(5.0)).sum(1, keepdim=True), 'value', same),
    'steering': (1, lambda z, m: torch.tanh(z), 'value', same),
    'count': (1, lambda z, m: F.softplus(z), 'value', same),
    'count_rectified': (1, lambda z, m: F.relu(z), 'value', same),
    'loss': (1, lambda z, m: -torch.exp(z), 'value', same),
    'inverse_depth': (1, lambda z, m: 1 / (F.softplus(z) + 0.01), 'value', same),
    'rectified': (5, lambda z, m: F.relu(z), 'softmax', softmax),
    'embedding': (7, lambda z, m: F.normalize(z, dim=1), 'value', same),
    'winner': (5, lambda z, m: z.argmax(1), 'place', same),
    'winner_kept': (5, lambda z, m: soft(z).argmax(1, keepdim=True), 'place', same),
    'votes_weighted': (5, lambda z, m: soft(z) + 0.5 * soft(m()), 'probability', lambda y: y / 1.5),
    'votes_stacked': (5, lambda z, m: torch.stack([soft(z), soft(m())]).sum(0), 'probability', lambda y: y / 2),
    'two_heads': (5, lambda z, m: torch.cat([soft(z), soft(m())], 1), 'probability', same),
    'expected_product': (5, lambda z, m: soft(z) @ (10 * torch.arange(5.0)).view(5, 1), 'value', same),
    'expected_fraction': (5, lambda z, m: soft(z) @ (torch.arange(5.0) / 4).view(5, 1), 'value', same),
    'expected_conv': (5, lambda z, m: F.conv2d(soft(z[:, :, None, None], 1), torch.arange(5.0).view(1, 5, 1, 1)), 'value', same),
    'angles': (5, lambda z, m: torch.cat([soft(z) @ BINS, soft(m()) @ BINS], 1), 'value', same),
    'merged': (5, lambda z, m: soft(z) @ GROUPS, 'probability', same),
    'merged_linear': (5, lambda z, m: F.linear(soft(z), GROUPS.T), 'probability', same),
    'merged_conv': (5, lambda z, m: F.conv2d(soft(z[:, :, None, None], 1), GROUPS.T[:, :, None, None]), 'probability', same),
    'merged_sums': (5, lambda z, m: torch.cat([soft(z)[:, :2].sum(1, True), soft(z)[:, 2:].sum(1, True)], 1), 'probability', same),
    'marginals': (5, lambda z, m: soft(z) @ MARGINS, 'probability', same),
    'noise': (5, lambda z, m: soft(z) @ NOISE, 'probability', same),
    'cumulated': (5, lambda z, m: soft(z).cumsum(1), 'probability', same),
    'cumulated_products': (5, lambda z, m: torch.exp(torch.log(torch.sigmoid(z)).cumsum(1)), 'probability', same),
    'ordinal': (4, lambda z, m: differences(torch.sigmoid(z)), 'probability', same),
    'ordinal_padded': (4, lambda z, m: F.pad(torch.sigmoid(z), (1, 0), value=1.0) - F.pad(torch.sigmoid(z), (0, 1)), 'probability', same),
    'noisy_or': (5, lambda z, m: 1 - torch.exp(torch.log(1 - torch.sigmoid(z)).sum(1, keepdim=True)), 'probability', same),
    'log_of_mean': (5, lambda z, m: torch.log((soft(z) + soft(m())) / 2), 'softmax', np.exp),
    'log_of_clamped': (5, lambda z, m: torch.log(soft(z).clamp(1e-5, 1.0)), 'softmax', np.exp),
    'log_of_sigmoid': (5, lambda z, m: torch.log(torch.sigmoid(z)), 'sigmoid', np.exp),
    'cost_written': (5, lambda z, m: -torch.log(soft(z)), 'value', same),
    'entropy': (5, lambda z, m: -(soft(z) * torch.log(soft(z))).sum(1, keepdim=True), 'value', same),
    'logit_of_probability': (1, lambda z, m: torch.log(torch.sigmoid(z)) - torch.log(1 - torch.sigmoid(z)), 'sigmoid', sigmoid),
    'distances': (5, lambda z, m: ((z[:, None] - PROTOTYPES) ** 2).sum(2), 'value', same),
    'distances_root': (5, lambda z, m: ((z[:, None] - PROTOTYPES) ** 2).sum(2).sqrt(), 'value', same),
    'distances_norm': (5, lambda z, m: torch.linalg.vector_norm(z[:, None] - PROTOTYPES, dim=2), 'value', same),
    'distances_sizes': (5, lambda z, m: (z[:, None] - PROTOTYPES).abs().sum(2), 'value', same),
    'distances_negative': (5, lambda z, m: -((z[:, None] - PROTOTYPES) ** 2).sum(2), 'softmax', softmax),
    'sign': (5, lambda z, m: torch.sign(z), 'value', same),
    'hidden_sigmoid': (5, lambda z, m: torch.sigmoid(z) @ HIDDEN, 'softmax', softmax),
    'hidden_sigmoid_one': (5, lambda z, m: torch.sigmoid(z) @ HIDDEN[:, :1], 'sigmoid', sigmoid),
    'hidden_softmax': (5, lambda z, m: soft(z) @ HIDDEN, 'softmax', softmax),
}

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def channels(v):
    return v.view(1, 3, 1, 1)


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.bn.running_mean[:], self.bn.running_var[:] = 255 * MEAN, (255 * STD) ** 2

    def forward(self, x):
        return self.bn(x)


# name: (what the net does to its input, range of pixels or None, order, whether channels come last, type)
# Files whose channels come last are written as TensorFlow's converter writes them, whose usual pixels are from -1 to 1
# ("signed"), but for `last_torch`.
SCALINGS = {
    'plain': (None, None, 'RGB', False, torch.float32),
    'imagenet_255': (lambda x: (x / 255 - channels(MEAN)) / channels(STD), 'bytes', 'RGB', False, torch.float32),
    'imagenet_1': (lambda x: (x - channels(MEAN)) / channels(STD), 'unit', 'RGB', False, torch.float32),
    'signed_1': (lambda x: x * 2 - 1, 'unit', 'RGB', False, torch.float32),
    'batch_norm': (Normalised(), 'bytes', 'RGB', False, torch.float32),
    'caffe': (lambda x: x - channels(torch.tensor([103.939, 116.779, 123.68])), 'bytes', 'BGR', False, torch.float32),
    'caffe_turned': (lambda x: x[:, [2, 1, 0]] - channels(torch.tensor([103.939, 116.779, 123.68])), 'bytes', 'RGB', False, torch.float32),
    'last_torch': (lambda x: x.permute(0, 3, 1, 2), None, 'RGB', True, torch.float32),
    'last': (lambda x: x.permute(0, 3, 1, 2), 'signed', 'RGB', True, torch.float32),
    'keras': (lambda x: x.permute(0, 3, 1, 2) / 127.5 - 1, 'bytes', 'RGB', True, torch.float32),
    'keras_last': (lambda x: (x / 127.5 - 1).permute(0, 3, 1, 2), 'bytes', 'RGB', True, torch.float32),
    'bytes': (lambda x: x.float() * 0.5, 'bytes', 'RGB', False, torch.uint8),
    'bytes_last': (lambda x: x.permute(0, 3, 1, 2).float() / 255, 'bytes', 'RGB', True, torch.uint8),
}


def exported(net, x, path, exporter, writer='pytorch', **options):
    with torch.no_grad():
        torch.onnx.export(net, (x,), path, input_names=['x'], dynamo=exporter == 'dynamo',
                          opset_version=18, external_data=False, verbose=False, **options)
    model = onnx.load(path)
    model.producer_name = writer
    # Exporters note the machine's paths.
    for node in [n for f in (model.graph, *model.functions) for n in f.node]:
        del node.metadata_props[:]
    onnx.save(model, path)
    return open(path, 'rb').read()


def further(files, path):
    """A net without maps, and one whose first output is a vector of features."""
    torch.manual_seed(5)
    grey, colours = torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 32, 32)
    for exporter in ('script', 'dynamo'):
        net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
        files.setdefault(f'without_maps_{exporter}.onnx', exported(net, grey, path, exporter))
        net = Body(5, lambda z, m: (z, soft(z[:, 1:4]))).eval()
        names = dict(output_names=['features', 'classes'])
        files.setdefault(f'features_first_{exporter}.onnx', exported(net, colours, path, exporter, **names))


def add_missing():
    path = os.path.join(HERE, 'meanings.zip')
    with zipfile.ZipFile(path) as z:
        files = {name: z.read(name) for name in z.namelist()}
    about = json.loads(files.pop('cases.json'))
    recipe = dict(shape=[1, 3, SIDE, SIDE], seed=7, scale=2.0, shift=0.0)
    x, net_path, ends = golden.values(recipe), os.path.join(HERE, 'net.onnx'), []
    for at, (name, (n, end, kind, shown)) in enumerate(ENDS.items()):
        torch.manual_seed(at)
        net = Body(n, lambda z, m, end=end: end(z, m)).eval()
        for exporter in ('script', 'dynamo'):
            file = f'{name}_{exporter}.onnx'
            if file not in files:
                files[file] = exported(net, torch.tensor(x), net_path, exporter)
            y = ort.InferenceSession(files[file], providers=['CPUExecutionProvider']).run(None, {'x': x})[0]
            ends.append(dict(name=f'{name}_{exporter}', kind=kind, x=recipe,
                             shown=[float(v) for v in shown(y.astype('f8').ravel())]))
    further(files, net_path)
    os.remove(net_path)
    write(files, dict(about, ends=ends))


def write(files, about):
    path = os.path.join(HERE, 'meanings.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for name, data in [('cases.json', json.dumps(about, indent=0).encode()), *sorted(files.items())]:
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(len(about['ends']), 'ends,', len(about['scalings']), 'scalings,', os.path.getsize(path) // 1024, 'KB')


def main():
    warnings.simplefilter('ignore')
    files, ends, scalings = {}, [], []
    if '--missing' in sys.argv:
        return add_missing()
    path = os.path.join(HERE, 'net.onnx')
    recipe = dict(shape=[1, 3, SIDE, SIDE], seed=7, scale=2.0, shift=0.0)
    x = golden.values(recipe)
    for at, (name, (n, end, kind, shown)) in enumerate(ENDS.items()):
        torch.manual_seed(at)
        net = Body(n, lambda z, m, end=end: end(z, m)).eval()
        for exporter in ('script', 'dynamo'):
            files[f'{name}_{exporter}.onnx'] = exported(net, torch.tensor(x), path, exporter)
            y = ort.InferenceSession(path, providers=['CPUExecutionProvider']).run(None, {'x': x})[0]
            ends.append(dict(name=f'{name}_{exporter}', kind=kind, x=recipe,
                             shown=[float(v) for v in shown(y.astype('f8').ravel())]))
    for name, (before, takes, order, last, dtype) in SCALINGS.items():
        torch.manual_seed(5)
        net = Body(5, lambda z, m: z, before).eval()
        shape = (1, SIDE, SIDE, 3) if last else (1, 3, SIDE, SIDE)
        for exporter in ('script', 'dynamo'):
            writer = 'tf2onnx' if last and not name.endswith('_torch') else 'pytorch'
            files[f'{name}_{exporter}.onnx'] = exported(net, torch.zeros(shape, dtype=dtype), path, exporter, writer)
            scalings.append(dict(name=f'{name}_{exporter}', takes=takes, order=order))
    # 1,000 classes and the background, as TensorFlow's nets have them; and a map of classes.
    torch.manual_seed(5)
    for exporter in ('script', 'dynamo'):
        net = Body(1001, lambda z, m: z).eval()
        files[f'background_{exporter}.onnx'] = exported(net, torch.zeros(1, 3, SIDE, SIDE), path, exporter)
        scalings.append(dict(name=f'background_{exporter}', takes='signed', order='RGB'))
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()
        files[f'map_{exporter}.onnx'] = exported(net, torch.zeros(1, 3, SIDE, SIDE), path, exporter)
        net = nn.Sequential(net, nn.Sigmoid())
        files[f'colours_{exporter}.onnx'] = exported(net, torch.zeros(1, 3, SIDE, SIDE), path, exporter)
    torch.manual_seed(5)
    net, x = Body(5, lambda z, m: soft(z)).eval(), torch.zeros(2, 3, 32, 32)
    sides = {axis: torch.export.Dim(name, min=8, max=512) for axis, name in ((2, 'rows'), (3, 'columns'))}
    files['open_script.onnx'] = exported(net, x, path, 'script', dynamic_axes={'x': {0: 'n', 2: 'rows', 3: 'columns'}})
    files['open_dynamo.onnx'] = exported(net, x, path, 'dynamo', dynamic_shapes=({0: torch.export.Dim('n', max=64), **sides},))
    net = Body(5, lambda z, m: (z.argmax(1), soft(z))).eval()
    for exporter in ('script', 'dynamo'):
        files[f'label_first_{exporter}.onnx'] = exported(net, torch.tensor(golden.values(recipe)), path, exporter)
    further(files, path)
    os.remove(path)
    write(files, dict(ends=ends, scalings=scalings))


if __name__ == '__main__':
    main()
