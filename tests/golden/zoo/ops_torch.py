"""Bodies of op nets as PyTorch modules; they get N x 8 x 13 x 10 (or the size named) and may return any shape N x ..."""
import torch
import torch.nn.functional as F
from torch import nn

BODIES = {}


class Body(nn.Module):
    """A function with named submodules."""

    def __init__(self, f, **parts):
        super().__init__()
        self.f = f
        for k, m in parts.items():
            setattr(self, k, m)

    def forward(self, x):
        return self.f(self, x)


def body(name, make, opset=13, exporter='torchscript', dynamic=False, keep_bn=False, size=(13, 10)):
    BODIES[name] = dict(make=make, opset=opset, exporter=exporter, dynamic=dynamic, keep_bn=keep_bn, size=size)


def function(f):
    return lambda: Body(lambda self, x: f(x))


# Convolutions
for name, options in {
    'grouped': dict(out_channels=12, kernel_size=3, groups=4, padding=1),
    'dilated': dict(out_channels=6, kernel_size=3, dilation=2, padding=2, stride=2),
    'depthwise': dict(out_channels=16, kernel_size=5, groups=8, padding=2, stride=2),
    'oblong': dict(out_channels=6, kernel_size=(1, 7), padding=(0, 3), stride=(2, 1), bias=False),
    'strided_1x1': dict(out_channels=10, kernel_size=1, stride=2),
    'even': dict(out_channels=6, kernel_size=(4, 2), padding=(1, 1), stride=(3, 2)),
}.items():
    body('conv_' + name, lambda o=options: nn.Conv2d(8, **o))
body('conv_same_string', lambda: nn.Conv2d(8, 6, (4, 3), padding='same'))
for name, options in {
    'stride2': dict(kernel_size=4, stride=2, padding=1),
    'output_padding': dict(kernel_size=3, stride=(2, 3), padding=1, output_padding=(1, 2)),
    'grouped_dilated': dict(kernel_size=3, groups=2, dilation=2, bias=False),
}.items():
    body('conv_transpose_' + name, lambda o=options: nn.ConvTranspose2d(8, 6, **o), size=(7, 5))

# Pools
body('max_pool_overlap', lambda: nn.MaxPool2d(3, 2, padding=1))
body('max_pool_ceil', lambda: nn.MaxPool2d(3, 2, ceil_mode=True))
body('max_pool_ceil_padded', lambda: nn.MaxPool2d(3, (3, 2), padding=1, ceil_mode=True))
body('max_pool_dilated', lambda: nn.MaxPool2d((3, 2), 1, dilation=2))
body('avg_pool_count_pad', lambda: nn.AvgPool2d(3, 2, padding=1, count_include_pad=True))
body('avg_pool_skip_pad', lambda: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False))
body('avg_pool_ceil', lambda: nn.AvgPool2d(3, 2, ceil_mode=True))
body('avg_pool_count_pad_19', lambda: nn.AvgPool2d(3, 2, padding=1), opset=19)
body('global_avg_pool', lambda: nn.AdaptiveAvgPool2d(1))
body('global_max_pool', lambda: nn.AdaptiveMaxPool2d(1))
body('adaptive_avg_pool', lambda: nn.AdaptiveAvgPool2d((2, 5)), size=(12, 10))

# Activations, each from both sides of zero
for name, make, opset in [
    ('relu', nn.ReLU, 11), ('prelu', lambda: nn.PReLU(8), 11), ('prelu_shared', nn.PReLU, 16), ('leaky_relu', lambda: nn.LeakyReLU(0.2), 11),
    ('elu', lambda: nn.ELU(0.7), 11), ('selu', nn.SELU, 11), ('celu', lambda: nn.CELU(0.6), 12), ('sigmoid', nn.Sigmoid, 11), ('tanh', nn.Tanh, 11),
    ('hard_sigmoid', nn.Hardsigmoid, 13), ('hard_swish_11', nn.Hardswish, 11), ('hard_swish', nn.Hardswish, 14), ('silu', nn.SiLU, 13),
    ('mish', nn.Mish, 13), ('gelu_erf', nn.GELU, 13), ('gelu_tanh', lambda: nn.GELU('tanh'), 13), ('softplus', nn.Softplus, 11),
    ('softsign', nn.Softsign, 11), ('relu6', nn.ReLU6, 11), ('hardtanh', lambda: nn.Hardtanh(-0.4, 0.7), 13), ('log_sigmoid', nn.LogSigmoid, 13),
    ('softmax_channels', lambda: nn.Softmax(1), 13), ('softmax_channels_11', lambda: nn.Softmax(1), 11), ('log_softmax_last', lambda: nn.LogSoftmax(-1), 13),
]:
    body(name, make, opset)
body('gelu_dynamo', nn.GELU, 20, 'dynamo')
body('mish_dynamo', nn.Mish, 18, 'dynamo')
body('hard_swish_dynamo', nn.Hardswish, 18, 'dynamo')

# Normalisation
body('batch_norm', lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU()), keep_bn=True)
body('batch_norm_dropout', lambda: nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU6(), nn.Dropout(0.3)), 14, keep_bn=True)
body('batch_norm_plain', lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8, affine=False)))
body('instance_norm', lambda: nn.InstanceNorm2d(8, affine=True))
body('group_norm', lambda: nn.GroupNorm(4, 8))
body('group_norm_dynamo', lambda: nn.GroupNorm(4, 8), 18, 'dynamo')
for opset in (13, 17):
    body(f'layer_norm_{opset}', lambda: Body(lambda s, x: s.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=nn.LayerNorm(8, eps=1e-6)), opset)
body('layer_norm_all', lambda: nn.LayerNorm([8, 13, 10]), 17)
body('normalize_l2', function(lambda x: F.normalize(x, dim=1)))

# Shapes
body('view_dynamic', function(lambda x: x.view(x.size(0), -1)), 11, dynamic=True)
body('reshape_chain', function(lambda x: x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] * x.shape[3]).mean(2)), 13, dynamic=True)
body('channel_shuffle', function(lambda x: x.view(x.shape[0], 2, 4, x.shape[2], x.shape[3]).transpose(1, 2).reshape(x.shape[0], 8, x.shape[2], x.shape[3])), 11, dynamic=True)
body('slice_steps', function(lambda x: x[:, 1::3, 2:-1:2, ::4]), 11)
body('slice_one_channel', function(lambda x: torch.cat([x[:, 2:3] * 0.5 + 1, x[:, 0].unsqueeze(1) - 2], 1)), 13)
body('split_11', function(lambda x: torch.cat([F.relu(a) * (i + 1) for i, a in enumerate(torch.split(x, [3, 1, 4], 1))][::-1], 1)), 11)
body('split_13', function(lambda x: torch.cat([F.relu(a) * (i + 1) for i, a in enumerate(torch.split(x, [3, 1, 4], 1))][::-1], 1)), 13)
body('chunk_18', function(lambda x: x.chunk(2, 1)[0] * torch.sigmoid(x.chunk(2, 1)[1])), 18, 'dynamo')
body('permute', function(lambda x: F.relu(x.permute(0, 3, 1, 2))[:, :4].permute(0, 2, 3, 1)))
body('squeeze_11', function(lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(2).unsqueeze(1)), 11)
body('squeeze_13', function(lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(2).unsqueeze(1)), 13)
for name, options in {'constant': dict(pad=(1, 2, 0, 3), value=0.5), 'reflect': dict(pad=(2, 1, 3, 2), mode='reflect'),
                      'edge': dict(pad=(2, 1, 0, 3), mode='replicate'), 'crop': dict(pad=(-1, 2, 1, -2))}.items():
    body('pad_' + name, lambda o=options: Body(lambda s, x: F.pad(x, **o)), 13)
body('pad_channels', function(lambda x: x + F.pad(x[:, :4, :, :], (0, 0, 0, 0, 2, 2))), 11)

# Arithmetic
body('reduce_mean', function(lambda x: x.mean((2, 3))), 11)
body('reduce_mean_18', function(lambda x: x.mean((1, 3))), 18, 'dynamo')
body('reduce_sum', function(lambda x: x * x.sum((2, 3), keepdim=True) * 0.01), 13)
body('standardize', function(lambda x: (x - x.mean((2, 3), keepdim=True)) / torch.sqrt(((x - x.mean((2, 3), keepdim=True)) ** 2).mean((2, 3), keepdim=True) + 1e-5)))
body('arithmetic', function(lambda x: 2.0 / (x * x + 1) - (x - 0.3) / 2 + (x.abs() + 0.5).pow(1.5) - (x * x + 0.1).sqrt() + (-x).exp() * 0.1 + (x * x + 1).log()))
body('squeeze_excite', lambda: Body(lambda s, x: x * torch.sigmoid(s.up(F.relu(s.down(F.adaptive_avg_pool2d(x, 1))))), down=nn.Conv2d(8, 3, 1), up=nn.Conv2d(3, 8, 1)))
body('max_of_two', function(lambda x: torch.maximum(x[:, :4], x[:, 4:]) - torch.minimum(x[:, :4], x[:, 4:]) * 0.5))
body('residual_concat', lambda: Body(lambda s, x: torch.cat([F.relu(x + s.a(x)), s.b(x) * x, x], 1), a=nn.Conv2d(8, 8, 3, padding=1), b=nn.Conv2d(8, 8, 1)))
body('matmul_nhwc', lambda: Body(lambda s, x: s.b(F.gelu(s.a(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2), a=nn.Linear(8, 20), b=nn.Linear(20, 8)), 14)
body('linear_stack', lambda: nn.Sequential(nn.Flatten(), nn.Linear(8 * 13 * 10, 16), nn.ReLU(), nn.Linear(16, 12, bias=False)), 11)
body('attention', lambda: Body(lambda s, x: (lambda t: torch.softmax(s.q(t) @ s.k(t).transpose(1, 2) / 8 ** 0.5, -1) @ t)(x.flatten(2).transpose(1, 2)),
                               q=nn.Linear(8, 8), k=nn.Linear(8, 8)), 14)

# ReLUs that edit in place, are used twice, or are functions
class Reused(nn.Module):
    """One in-place ReLU module used three times, and functional ReLUs around it."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(x)
        y = self.relu(self.a(x))
        y = F.relu(self.b(y) + x, inplace=True)
        return self.relu(y - 0.3) + F.relu(y - 1.0)


body('relu_reused', Reused)


class Twins(nn.Module):
    """Two convolutions that share a weight and a bias, which legacy exporters store once and alias through Identity."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.b.weight, self.b.bias = self.a.weight, self.a.bias

    def forward(self, x):
        return self.b(self.act(self.a(x))) + x


body('shared_weights', Twins)

# Resizing
for name, options in {'nearest': dict(scale_factor=2.0), 'nearest_size': dict(size=(9, 25)), 'bilinear': dict(scale_factor=2.0, mode='bilinear', align_corners=False),
                      'bilinear_corners': dict(size=(20, 17), mode='bilinear', align_corners=True), 'bilinear_down': dict(size=(6, 7), mode='bilinear', align_corners=False)}.items():
    for opset in (11, 18) if name == 'bilinear' else (13,):
        body(f'resize_{name}_{opset}', lambda o=options: Body(lambda s, x: F.interpolate(x, **o)), opset)
body('resize_bilinear_dynamo', lambda: nn.Upsample(scale_factor=3, mode='bilinear'), 18, 'dynamo')
body('pixel_shuffle', lambda: nn.PixelShuffle(2), 13)
body('softmax_end', lambda: Body(lambda s, x: torch.softmax(s.fc(x.flatten(1)), 1), fc=nn.Linear(1040, 7)))
