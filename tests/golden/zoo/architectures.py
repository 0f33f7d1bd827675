"""The classifiers that the zoo exports: torchvision's, and MobileNet v1, which torchvision lacks."""
import torch
import torch.fx
import torchvision.models as tv
from torch import nn


class MobileNetV1(nn.Module):
    """Howard et al. 2017 at width 0.25: depthwise 3x3 and pointwise convolutions, each with BatchNorm and ReLU."""

    def __init__(self, num_classes=100):
        super().__init__()
        def block(i, o, stride):
            return nn.Sequential(nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False), nn.BatchNorm2d(i), nn.ReLU(inplace=True),
                                 nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))
        plan = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
        layers, width = [nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))], 8
        for o, s in plan:
            layers.append(block(width, o, s))
            width = o
        self.features, self.pool, self.fc = nn.Sequential(*layers), nn.AvgPool2d(2), nn.Linear(width, num_classes)

    def forward(self, x):
        x = self.pool(self.features(x))
        return self.fc(x.view(x.size(0), -1))


def narrow(net, width):
    """The net with its hidden fully connected layers `width` wide: the same graph without hundreds of megabytes."""
    lins = [i for i, m in enumerate(net.classifier) if isinstance(m, nn.Linear)]
    sizes = [net.classifier[lins[0]].in_features, *[width] * (len(lins) - 1), net.classifier[lins[-1]].out_features]
    for at, i, o in zip(lins, sizes, sizes[1:]):
        net.classifier[at] = nn.Linear(i, o)
    return net


def fold_batch_norm(net):
    """Gives every convolution that a BatchNorm follows a bias and drops the BatchNorm: the structure that an export in
    eval mode has. Values come later, so nothing is computed."""
    modules = dict(net.named_modules())
    for node in torch.fx.symbolic_trace(net).graph.nodes:
        if node.op != 'call_module' or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        conv = modules.get(source.target) if source.op == 'call_module' else None
        if isinstance(conv, nn.Conv2d) and len(source.users) == 1:
            conv.bias = nn.Parameter(torch.zeros(conv.out_channels))
            parent, _, leaf = node.target.rpartition('.')
            setattr(net.get_submodule(parent), leaf, nn.Identity())
    return net


def case(build, exporter, opset, size, dynamic=False, keep_bn=False, thin=0, **options):
    return dict(build=build, exporter=exporter, opset=opset, size=size, dynamic=dynamic, keep_bn=keep_bn, thin=thin, options=options)


ts, dy = 'torchscript', 'dynamo'
CASES = {
    'alexnet': case(tv.alexnet, ts, 11, 224, thin=128),
    'alexnet_dynamo': case(tv.alexnet, dy, 18, 224, dynamic=True, thin=64),
    'vgg11': case(tv.vgg11, ts, 12, 224, dynamic=True, thin=64),
    'vgg11_bn': case(tv.vgg11_bn, ts, 16, 224, keep_bn=True, thin=64),
    'vgg16': case(tv.vgg16, ts, 13, 224, thin=64),
    'squeezenet1_0': case(tv.squeezenet1_0, ts, 11, 64, num_classes=1000),
    'squeezenet1_1': case(tv.squeezenet1_1, ts, 13, 64, dynamic=True),
    'googlenet': case(tv.googlenet, ts, 13, 64, aux_logits=False, transform_input=True),
    'inception_v3': case(tv.inception_v3, ts, 14, 96, dynamic=True, aux_logits=False, transform_input=True),
    'resnet18': case(tv.resnet18, ts, 11, 64, num_classes=1000),
    'resnet18_dynamo': case(tv.resnet18, dy, 18, 64, dynamic=True),
    'resnet50': case(tv.resnet50, ts, 17, 64, dynamic=True, keep_bn=True),
    'resnext50_32x4d': case(tv.resnext50_32x4d, ts, 16, 64),
    'densenet121': case(tv.densenet121, ts, 13, 64),
    'densenet121_bn': case(tv.densenet121, ts, 15, 64, dynamic=True, keep_bn=True),
    'mobilenet_v1': case(MobileNetV1, ts, 12, 64, dynamic=True, keep_bn=True),
    'mobilenet_v2': case(tv.mobilenet_v2, ts, 11, 64),
    'mobilenet_v2_dynamo': case(tv.mobilenet_v2, dy, 18, 64),
    'mobilenet_v3_small': case(tv.mobilenet_v3_small, ts, 14, 64, dynamic=True),
    'mobilenet_v3_large': case(tv.mobilenet_v3_large, ts, 13, 64, keep_bn=True),
    'shufflenet_v2_x0_5': case(tv.shufflenet_v2_x0_5, ts, 11, 64, dynamic=True),
    'shufflenet_v2_x1_0': case(tv.shufflenet_v2_x1_0, dy, 18, 64),
    'efficientnet_b0': case(tv.efficientnet_b0, ts, 13, 64),
    'efficientnet_v2_s': case(tv.efficientnet_v2_s, dy, 18, 64, dynamic=True),
    'mnasnet0_5': case(tv.mnasnet0_5, ts, 15, 64),
    'regnet_y_400mf': case(tv.regnet_y_400mf, ts, 17, 64),
    'regnet_x_400mf': case(tv.regnet_x_400mf, dy, 18, 64),
    'convnext_tiny': case(tv.convnext_tiny, ts, 17, 64, dynamic=True),
    'convnext_tiny_16': case(tv.convnext_tiny, ts, 16, 64),
    'convnext_tiny_dynamo': case(tv.convnext_tiny, dy, 18, 64),
}


def build(c):
    """The module of a case, in eval mode, with its convolutions and BatchNorms joined unless the case keeps them apart."""
    options = dict(c['options'])
    options.setdefault('num_classes', 100)
    if c['build'] in (tv.googlenet, tv.inception_v3):
        options['init_weights'] = False
    net = c['build'](**options).eval()
    if c['thin']:
        narrow(net, c['thin'])
    return net if c['keep_bn'] else fold_batch_norm(net)
