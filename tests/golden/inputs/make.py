"""Makes tests/golden/inputs/inputs.zip: small nets with several inputs, as PyTorch's two exporters write them.

    pip install -r ../zoo/requirements.txt
    python make.py

Each net has random weights (seed 5) and is given once: a map beside the photo scales it (`film`), two photos through the same
weights (`siamese`, whose first input is a mask of one channel), whole numbers that choose an embedding and a number without a
batch (`token`). `cases.json` lists them; NAME.onnx; NAME.INPUT.npy for each input, NAME.output.npy by onnxruntime, and
NAME.gradient.INPUT.npy by PyTorch's autograd in f64, of the output `target`, for each input that is a real number.
"""
import io, json, os, warnings, zipfile

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))


class Film(nn.Module):
    inputs = dict(meta=(5,), image=(3, 12, 16))

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2)
        self.scale, self.shift, self.head = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(13, 4)

    def forward(self, meta, image):
        x = F.relu(self.a(image)) * self.scale(meta)[:, :, None, None] + self.shift(meta)[:, :, None, None]
        x = F.silu(self.b(x)).mean((2, 3))
        return self.head(torch.cat([x, torch.tanh(meta)], 1))


class Siamese(nn.Module):
    inputs = dict(mask=(1, 10, 10), left=(3, 10, 10), right=(3, 10, 10))

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, stride=2), nn.Linear(12, 3)

    def code(self, x):
        return F.gelu(self.b(F.elu(self.a(x)))).flatten(2).amax(2)

    def forward(self, mask, left, right):
        a, b = self.code(left * mask), self.code(right)
        return self.head(torch.cat([(a - b).abs(), a * b], 1))


class Token(nn.Module):
    inputs = dict(image=(3, 8, 8), ids=(4,), heat=())

    def __init__(self):
        super().__init__()
        self.conv, self.words, self.head = nn.Conv2d(3, 7, 3), nn.Embedding(9, 7), nn.Linear(7, 5)

    def forward(self, image, ids, heat):
        w = self.words(ids)
        x = torch.tanh(self.conv(image)).flatten(2)
        return self.head((torch.softmax(w @ x / heat, -1) @ x.transpose(1, 2)).mean(1) + w.sum(1))


def values(name, shape, rng):
    if name == 'ids':
        return rng.integers(0, 9, (1, *shape))
    if name == 'heat':
        return np.array(1.7, 'f4')
    if name == 'mask':
        return (rng.random((1, *shape)) > .3).astype('f4')
    return rng.normal(size=(1, *shape)).astype('f4')


def npy(a):
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(a))
    return out.getvalue()


def main():
    warnings.simplefilter('ignore')
    files, cases = {}, []
    for kind in (Film, Siamese, Token):
        torch.manual_seed(5)
        rng = np.random.default_rng(5)
        net = kind().eval()
        given = {k: values(k, s, rng) for k, s in kind.inputs.items()}
        tensors = {k: torch.tensor(v) for k, v in given.items()}
        target = 1
        own = {k: v.double().requires_grad_() if v.is_floating_point() else v for k, v in tensors.items()}
        net.double()(*own.values())[0, target].backward()
        net.float()
        for exporter in ('script', 'dynamo'):
            name = f'{kind.__name__.lower()}_{exporter}'
            path = os.path.join(HERE, name + '.onnx')
            with torch.no_grad():
                torch.onnx.export(net, tuple(tensors.values()), path, input_names=list(given), output_names=['scores'],
                                  dynamo=exporter == 'dynamo', opset_version=18, external_data=False, **({'verbose': False}))
            y = ort.InferenceSession(path, providers=['CPUExecutionProvider']).run(None, given)[0]
            model = onnx.load(path)
            # Exporters note the machine's paths.
            for node in [n for f in (model.graph, *model.functions) for n in f.node]:
                del node.metadata_props[:]
            files[name + '.onnx'] = model.SerializeToString()
            os.remove(path)
            files[name + '.output.npy'] = npy(y)
            cases.append(dict(name=name, inputs={k: list(s) for k, s in kind.inputs.items()}, target=target))
            for k, v in given.items():
                files[f'{name}.{k}.npy'] = npy(np.asarray(v, 'f4'))
                if own[k].is_floating_point():
                    files[f'{name}.gradient.{k}.npy'] = npy(own[k].grad.numpy().astype('f4'))
    path = os.path.join(HERE, 'inputs.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for name, data in [('cases.json', json.dumps(cases, indent=0).encode()), *sorted(files.items())]:
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(len(cases), 'nets,', os.path.getsize(path) // 1024, 'KB')


if __name__ == '__main__':
    main()
