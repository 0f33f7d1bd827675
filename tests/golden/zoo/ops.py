"""Small nets around one op each: a 3x3 convolution, the op, and a linear layer to 5 outputs that mixes every element.

Two kinds: bodies written as PyTorch modules and exported (`ops_torch.py`), and graphs written node by node with
onnx.helper beside their meaning in PyTorch (`ops_hand.py`), for what PyTorch never exports.
"""
import copy

import torch
from torch import nn

import onnxfile, ops_hand, ops_torch
from golden import calibrate, fill, input_recipe, recipes, values

NAMES = ['op_' + n for n in (*ops_torch.BODIES, *ops_hand.BODIES)]


class Net(nn.Module):
    """Convolution to 8 channels, the body, flatten, linear to 5."""

    def __init__(self, body, shape):
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 8, 3, padding=1), body
        with torch.no_grad():
            features = body(self.stem(torch.zeros(shape))).flatten(1).shape[1]
        self.head = nn.Linear(features, 5)

    def forward(self, x):
        return self.head(torch.flatten(self.body(self.stem(x)), 1))


def build(name):
    """(what case.json tells, emptied model, weight recipes, f32 function, f64 function, input shape)"""
    key = name.removeprefix('op_')
    return exported(key) if key in ops_torch.BODIES else by_hand(key)


def exported(key):
    c = ops_torch.BODIES[key]
    shape = [2 if c['dynamic'] else 1, 3, *c['size']]
    net = Net(c['make'](), shape).eval()
    table = recipes(net)
    calibrate(net, table, torch.from_numpy(values(input_recipe(shape, 99))))
    model = onnxfile.export(net, torch.zeros(shape), c['exporter'], c['opset'], c['dynamic'], c['keep_bn'])
    state = net.state_dict()
    weights = onnxfile.empty_weights(model, table, lambda k, v: state[k].copy_(torch.from_numpy(v)))
    told = dict(source='PyTorch module', exporter=c['exporter'], opset=c['opset'], dynamic_batch=c['dynamic'])
    return told, model, weights, net, copy.deepcopy(net).double(), shape


def by_hand(key):
    c = ops_hand.BODIES[key]
    shape = [1, 3, *c['size']]
    model, weights, table = ops_hand.graph(c, shape)

    def run(dtype):
        w = {r['name']: torch.from_numpy(values(r)).to(dtype) for r in table}
        return lambda x: ops_hand.meaning(c, x, w)
    told = dict(source='written node by node', exporter='onnx.helper', opset=c['opset'], dynamic_batch=False)
    return told, model, weights, run(torch.float32), run(torch.float64), shape
