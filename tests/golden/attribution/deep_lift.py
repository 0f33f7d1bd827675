"""DeepLIFT's rescale rule (Shrikumar et al. 2017), for nets where Captum's is not complete: overlapping pools, ReLU6.

The input and the baseline run as one batch of two; every nonlinear module's backward is replaced by its multiplier, so
autograd's gradient of the first row is the product of multipliers. A max pool's change is max(y, y0) - y0 at the winner
at x and y - max(y, y0) at the winner at the baseline, added where windows overlap.
"""
import torch
import torch.nn.functional as F
from torch import nn

TINY = 1e-7  # below this difference of inputs the multiplier is the gradient


class Elementwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, f):
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            y = f(leaf)
            (slope,) = torch.autograd.grad(y.sum(), leaf)
        ctx.save_for_backward(x, y.detach(), slope)
        return y.detach()

    @staticmethod
    def backward(ctx, g):
        x, y, slope = ctx.saved_tensors
        dx, dy = x[:1] - x[1:], y[:1] - y[1:]
        near = dx.abs() < TINY
        m = torch.where(near, slope[:1], dy / torch.where(near, torch.ones_like(dx), dx))
        return torch.cat([g[:1] * m, torch.zeros_like(g[1:])]), None


class Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, pool):
        y, at = F.max_pool2d(x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True)
        ctx.save_for_backward(x, y, at)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y, at = ctx.saved_tensors
        dx, top, flat = x[:1] - x[1:], torch.maximum(y[:1], y[1:]), torch.zeros_like(x[:1]).flatten(2)
        flat.scatter_add_(2, at[:1].flatten(2), (g[:1] * (top - y[1:])).flatten(2))
        flat.scatter_add_(2, at[1:].flatten(2), (g[:1] * (y[:1] - top)).flatten(2))
        near = dx.abs() < TINY
        m = torch.where(near, torch.zeros_like(dx), flat.reshape(dx.shape) / torch.where(near, torch.ones_like(dx), dx))
        return torch.cat([m, torch.zeros_like(m)]), None


def deep_lift(net, x, c):
    """(attribution of output c at x against zeros, sum of it - (S(x) - S(0)))"""
    saved = []
    for m in net.modules():
        if isinstance(m, (nn.ReLU, nn.ReLU6)):
            saved.append(m)
            m.forward = lambda v, f=(F.relu6 if isinstance(m, nn.ReLU6) else F.relu): Elementwise.apply(v, f)
        elif isinstance(m, nn.MaxPool2d):
            saved.append(m)
            m.forward = lambda v, m=m: Pool.apply(v, m)
    try:
        both = torch.cat([x, torch.zeros_like(x)]).requires_grad_(True)
        y = net(both)
        (g,) = torch.autograd.grad(y[0, c], both)
        out = (g[:1] * x).detach()
        return out, float(out.sum() - (y[0, c] - y[1, c]).detach())
    finally:
        for m in saved:
            del m.forward
