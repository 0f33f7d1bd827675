"""Makes written.zip: small nets with one kind of layer each, written by both of PyTorch's exporters at several opsets.

    pip install -r ../zoo/requirements.txt
    python make.py

All files of a net hold the same weights, so that every map must agree between them.
"""
import copy, io, json, logging, os, warnings, zipfile

import onnx
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
FORMS = [('torchscript', o) for o in (11, 13, 17, 20)] + [('dynamo', o) for o in (18, 21)]


class Lambda(nn.Module):
    def __init__(self, f, **parts):
        super().__init__()
        self.f = f
        for k, v in parts.items():
            setattr(self, k, v)

    def forward(self, x):
        return self.f(self, x)


class ScaleShift(nn.Module):
    """A batch normalisation written out."""

    def __init__(self):
        super().__init__()
        for name, low, high in (('mean', -0.5, 0.5), ('var', 0.5, 2), ('gamma', 0.5, 1.5), ('beta', -0.5, 0.5)):
            self.register_parameter(name, nn.Parameter(torch.empty(6, 1, 1).uniform_(low, high)))

    def forward(self, x):
        return (x - self.mean) / torch.sqrt(self.var + 1e-3) * self.gamma + self.beta


class ChannelNorm(nn.Module):
    """A layer normalisation over the channels of each position, written out."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(6).uniform_(0.5, 1.5)), nn.Parameter(torch.empty(6).uniform_(-0.5, 0.5))

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        var = (x - mean).pow(2).mean(1, keepdim=True)
        return self.weight[:, None, None] * ((x - mean) / torch.sqrt(var + 1e-6)) + self.bias[:, None, None]


def prelu():
    m = nn.PReLU(6)
    m.weight.data.uniform_(-0.2, 0.5)
    return m


def prelu_of_relus():
    slope = nn.Parameter(torch.empty(6, 1, 1).uniform_(-0.2, 0.5))
    return Lambda(lambda s, x: torch.relu(x) - s.p * torch.relu(-x), p=slope)


LAYERS = {
    'gelu': nn.GELU, 'gelu_tanh': lambda: nn.GELU('tanh'), 'silu': nn.SiLU, 'mish': nn.Mish, 'hard_swish': nn.Hardswish, 'hard_sigmoid': nn.Hardsigmoid,
    'elu': nn.ELU, 'celu': lambda: nn.CELU(1.5), 'selu': nn.SELU, 'leaky_relu': nn.LeakyReLU, 'relu6': nn.ReLU6, 'softplus': nn.Softplus, 'softsign': nn.Softsign,
    'log_sigmoid': nn.LogSigmoid, 'tanhshrink': nn.Tanhshrink, 'softshrink': nn.Softshrink, 'hardtanh': nn.Hardtanh, 'prelu': prelu,
    'prelu_of_relus': prelu_of_relus,
    'relu6_of_min_max': lambda: Lambda(lambda s, x: torch.minimum(torch.maximum(x, torch.tensor(0.0)), torch.tensor(6.0))),
    'hard_swish_of_relu6': lambda: Lambda(lambda s, x: x * nn.functional.relu6(x + 3) / 6),
    'mish_of_logs': lambda: Lambda(lambda s, x: x * torch.tanh(torch.log(1 + torch.exp(x)))),
    'group_norm': lambda: nn.GroupNorm(2, 6), 'instance_norm': lambda: nn.InstanceNorm2d(6, affine=True), 'channel_norm': ChannelNorm, 'scale_shift': ScaleShift,
    'layer_norm': lambda: Lambda(lambda s, x: s.n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), n=nn.LayerNorm(6)),
}


def net(name):
    torch.manual_seed(3)
    m = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=name != 'scale_shift'), LAYERS[name](), nn.AvgPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    for p in m[1].parameters():
        if p.dim() == 1 and name.endswith('norm'):
            p.data.uniform_(0.2, 1)
    return m.eval()


def export(m, exporter, opset):
    x = torch.zeros(1, 3, 8, 8)
    if exporter == 'dynamo':
        program = torch.onnx.export(copy.deepcopy(m), (x,), dynamo=True, opset_version=opset, input_names=['x'], output_names=['y'], verbose=False)
        model = onnx.load_from_string(program.model_proto.SerializeToString())
    else:
        buffer = io.BytesIO()
        torch.onnx.export(copy.deepcopy(m), (x,), buffer, dynamo=False, opset_version=opset, input_names=['x'], output_names=['y'])
        model = onnx.load_from_string(buffer.getvalue())
    g = model.graph
    for o in [model, g, *g.node, *g.initializer, *g.value_info, *g.input, *g.output]:
        for field in ('doc_string', 'metadata_props'):
            if field in o.DESCRIPTOR.fields_by_name:
                o.ClearField(field)
    del g.value_info[:]
    return model.SerializeToString(deterministic=True)


def main():
    warnings.simplefilter('ignore')
    logging.disable(logging.CRITICAL)
    rows, models = [], b''
    for name in LAYERS:
        for exporter, opset in FORMS:
            try:
                model = export(net(name), exporter, opset)
            except Exception as e:
                print(f'{name} {exporter} {opset}: not exported: {str(e).splitlines()[0][:100]}')
                continue
            rows.append(dict(net=name, exporter=exporter, opset=opset, model=[len(models), len(model)]))
            models += model
    with zipfile.ZipFile(os.path.join(HERE, 'written.zip'), 'w') as z:
        for entry, data in [('cases.json', json.dumps(rows, indent=0).encode()), ('models.bin', models)]:
            z.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(f'{len(rows)} files of {len(LAYERS)} nets')


if __name__ == '__main__':
    main()
