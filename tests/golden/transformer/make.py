"""Makes tests/golden/transformer/*.zip: small vision transformers and what is computed of their attention.

    pip install -r requirements.txt
    python make.py

Two nets with random weights: `class` with a class token, `mean` with the mean over tokens. For each: the ONNX file (opset
17), an input, and, all in f64 and stored as f32: `output`; `rollout`, the written-out product of (A + 1) / 2 over the
layers; `chefer`, R <- R + mean over heads of (A dS/dA)+ R; `grad_cam` by pytorch-grad-cam at the norm before the last
attention with its reshape_transform, not rectified to 0..1; `attn_lrp` by lxt's explicit rules; `gradient`.
"""
import io, json, os, warnings, zipfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from lxt.explicit import functional as lf
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

HERE = os.path.dirname(os.path.abspath(__file__))
D, HEADS, DEPTH, PATCH, SIDE, CLASSES = 16, 2, 3, 4, (16, 20), 5
GRID = (SIDE[0] // PATCH, SIDE[1] // PATCH)
TARGET = 3


class Plain:
    """The operations of PyTorch."""
    linear = staticmethod(F.linear)
    softmax = staticmethod(lambda x: x.softmax(-1))
    matmul = staticmethod(torch.matmul)
    add = staticmethod(torch.add)
    scale = staticmethod(lambda x, s: x * s)
    norm = staticmethod(lambda x, n: F.layer_norm(x, n.normalized_shape, n.weight, n.bias, n.eps))
    gelu = staticmethod(F.gelu)
    mean = staticmethod(lambda x: x.mean(1))


class Identity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return y.clone()

    @staticmethod
    def backward(ctx, r):
        return r, None


class Relevance:
    """The same with AttnLRP's rules on the way back."""
    linear = staticmethod(lambda x, w, b: lf.linear_epsilon(x, w, b, 1e-6))
    softmax = staticmethod(lambda x: lf.softmax(x, -1))
    matmul = staticmethod(lambda a, b: lf.matmul(a, b, False, 1e-6))
    add = staticmethod(lambda a, b: lf.add2(a, b, False, 1e-6))
    scale = staticmethod(lambda x, s: Identity.apply(x, x.detach() * s))
    norm = staticmethod(lambda x, n: lf.layer_norm(x, n.weight, n.bias, n.eps))
    gelu = staticmethod(lambda x: Identity.apply(x, F.gelu(x.detach())))
    mean = staticmethod(lambda x: lf.mean(x, 1, False, 1e-6))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.q, self.k, self.v, self.out = (nn.Linear(D, D) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(D, 2 * D), nn.Linear(2 * D, D)

    def forward(self, x, ops, kept):
        n, t, _ = x.shape
        split = lambda y: y.reshape(n, t, HEADS, D // HEADS).transpose(1, 2)
        # A module's own call, so that hooks see its output.
        y = self.norm1(x) if ops is Plain else ops.norm(x, self.norm1)
        q, k, v = (split(ops.linear(y, m.weight, m.bias)) for m in (self.q, self.k, self.v))
        a = ops.softmax(ops.scale(ops.matmul(q, k.transpose(-2, -1)), (D // HEADS) ** -0.5))
        if kept is not None:
            a.retain_grad()
            kept.append(a)
        y = ops.matmul(a, v).transpose(1, 2).reshape(n, t, D)
        x = ops.add(x, ops.linear(y, self.out.weight, self.out.bias))
        y = ops.gelu(ops.linear(ops.norm(x, self.norm2), self.fc1.weight, self.fc1.bias))
        return ops.add(x, ops.linear(y, self.fc2.weight, self.fc2.bias))


class Patches(torch.autograd.Function):
    """A convolution whose way back is the epsilon rule."""
    @staticmethod
    def forward(ctx, x, w, b):
        with torch.enable_grad():
            y = F.conv2d(x, w, b, PATCH)
        ctx.save_for_backward(x, y)
        return y.detach()

    @staticmethod
    def backward(ctx, r):
        x, y = ctx.saved_tensors
        g, = torch.autograd.grad(y, x, r / (y + 1e-6 * y.sign()))
        return g * x, None, None


class ViT(nn.Module):
    def __init__(self, token):
        super().__init__()
        self.token = token
        self.patch = nn.Conv2d(3, D, PATCH, PATCH)
        self.cls = nn.Parameter(torch.randn(1, 1, D))
        self.place = nn.Parameter(0.5 * torch.randn(1, GRID[0] * GRID[1] + token, D))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, CLASSES)

    def forward(self, x):
        return self.run(x, Plain, None)

    def run(self, x, ops, kept):
        y = self.patch(x) if ops is Plain else Patches.apply(x, self.patch.weight.detach(), self.patch.bias.detach())
        y = y.flatten(2).transpose(1, 2)
        if self.token:
            y = torch.cat([self.cls.expand(y.shape[0], -1, -1), y], 1)
        y = ops.add(y, self.place)
        for block in self.blocks:
            y = block(y, ops, kept)
        y = ops.norm(y, self.norm)
        y = y[:, 0] if self.token else ops.mean(y)
        return ops.linear(y, self.head.weight, self.head.bias)


def row(matrix, token):
    one = matrix[0, 1:] if token else matrix.mean(0)
    return one.reshape(GRID)


def make(name, token):
    torch.manual_seed(7 + token)
    net = ViT(token)
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.normal_(module.weight, std=1.5 / module.weight[0].numel() ** 0.5)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, std=0.2)
    x = torch.randn(1, 3, *SIDE)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(net.eval(), x, file, input_names=['image'], output_names=['scores'], opset_version=17, dynamo=False)
    net, x = net.double(), x.double().requires_grad_()
    kept, found = [], {}
    scores = net.run(x, Plain, kept)
    scores[0, TARGET].backward()
    found['output'], found['gradient'] = scores[0], x.grad[0].clone()
    n = kept[0].shape[-1]
    eye = torch.eye(n, dtype=torch.float64)
    rollout, relevance = eye, eye
    for a in kept:
        rollout = (0.5 * a[0].mean(0) + 0.5 * eye) @ rollout
        relevance = relevance + (a[0] * a.grad[0]).clamp(min=0).mean(0) @ relevance
    found['rollout'], found['chefer'] = row(rollout, token), row(relevance, token)

    def grid(t):
        return t[:, token:].reshape(1, *GRID, D).permute(0, 3, 1, 2)

    cam = GradCAM(net, [net.blocks[-1].norm1], reshape_transform=grid)
    cam(x.detach().clone(), [ClassifierOutputTarget(TARGET)])
    a, g = cam.activations_and_grads.activations[0], cam.activations_and_grads.gradients[0]
    found['grad_cam'] = torch.from_numpy(np.maximum(cam.get_cam_image(x, cam.target_layers[0], None, a.numpy(), g.numpy(), False)[0], 0))
    # Relevance as lxt computes it: the gradient of the score under its functions, started at the score.
    x.grad = None
    scores = net.run(x, Relevance, None)
    scores[0, TARGET].backward(scores[0, TARGET].detach())
    found['attn_lrp'] = x.grad[0]
    case = {'name': name, 'target': TARGET, 'token': token, 'grid': GRID, 'side': SIDE}
    with zipfile.ZipFile(os.path.join(HERE, f'{name}.zip'), 'w', zipfile.ZIP_DEFLATED) as z:
        def put(entry, data):
            z.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)

        put('case.json', json.dumps(case))
        put('model.onnx', file.getvalue())
        for key, value in [('input', x[0]), *found.items()]:
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(value.detach().numpy().astype(np.float32)))
            put(f'{key}.npy', buffer.getvalue())
    print(name, {k: tuple(v.shape) for k, v in found.items()}, 'lrp sums to', x.grad.sum().item(), 'of', scores[0, TARGET].item())


make('class', 1)
make('mean', 0)
