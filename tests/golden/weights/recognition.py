"""Makes tests/golden/weights/recognition.zip and the table engine/src/load/zoo/values.rs from timm's and torchvision's nets.

    pip install -r requirements.txt
    python recognition.py

README.md describes the files. No weight is needed: the nets are made without values.
"""
import json, os, re, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import timm
import torch
import torchvision.models as tv
from torch import nn

from golden import write_zip

ZOO = os.path.join(HERE, '..', '..', '..', 'engine', 'src', 'load', 'zoo')
AUXILIARY = ('aux1.', 'aux2.', 'AuxLogits.')
BUFFERS = ('num_batches_tracked', 'relative_position_index', 'attn_mask')
# Files of nets that no name stands for, or that share their tensors with a named one: what is recognised in them.
OTHERS = ['resnet50c', 'resnet50t', 'seresnet18', 'resnetblur18', 'resnetaa50', 'seresnetaa50d', 'efficientnet_blur_b0', 'tinynet_b',
          'efficientnet_el_pruned', 'resnet26t']
# Families of timm's list among which twins are looked for.
FAMILIES = 'resnet resnext seresnet seresnext wide_resnet densenet mobilenet mnasnet semnasnet regnet efficientnet tf_ convnext vit_ deit ' \
           'swin_ inception tinynet fbnet spnasnet'.split()
LARGEST = 120e6


def names(file):
    return re.findall(r'Architecture::new\("([^"]+)"', open(os.path.join(ZOO, file)).read())


def build(make, **options):
    try:
        with torch.device('meta'):
            return make(**options)
    except NotImplementedError:
        # Some count on values while they are made.
        return make(**options)


def state(net):
    return {k: tuple(t.shape) for k, t in net.state_dict().items()
            if not k.startswith(AUXILIARY) and not k.endswith(BUFFERS)}


def features(shapes, head):
    """The number of values outside the first convolution's weight and the classifier."""
    first = next(k for k, s in shapes.items() if len(s) == 4)
    size = lambda shape: torch.Size(shape).numel()
    return sum(size(s) for k, s in shapes.items() if k != first and not (k == head or k.startswith(head + '.')))


def torchvision_net(name):
    options = dict(init_weights=False) if name in ('googlenet', 'inception_v3') else {}
    net = build(getattr(tv, name), weights=None, **options)
    head = 'classifier.2' if name.startswith('convnext') else [n for n, _ in net.named_children()][-1]
    return net, head


def timm_net(name):
    net = build(lambda: timm.create_model(name))
    return net, net.default_cfg['classifier']


def what_it_computes(net):
    """Strides, dilations, pools, activations and epsilons: whether two nets of the same tensors are the same."""
    kept = (nn.Conv2d, nn.BatchNorm2d, nn.LayerNorm, nn.MaxPool2d, nn.AvgPool2d)
    plain = lambda m: [type(m).__name__] + [str(getattr(m, a, None)) for a in ('stride', 'dilation', 'padding', 'eps', 'groups')]
    return [(n, plain(m)) for n, m in net.named_modules()
            if isinstance(m, kept) or not list(m.children()) and not isinstance(m, (nn.Identity, nn.Dropout))]


def blocks(net):
    """Which blocks of a net of inverted residuals have a skip; stride, activation and epsilon of each."""
    out = {}
    for s, stage in enumerate(net.blocks):
        for b, block in enumerate(stage):
            conv = next(getattr(block, n) for n in ('conv_dw', 'conv_exp', 'conv') if hasattr(block, n))
            out[f'blocks.{s}.{b}'] = dict(skip=block.has_skip, stride=conv.stride[0], activation=type(block.bn1.act).__name__, eps=block.bn1.eps)
    return out


def main():
    known = {n: timm_net for n in names('timm_names.rs')}
    listed = names('torchvision.rs')
    both = [n for n in listed if n in timm.list_models() and not n.startswith('vgg')]
    counts, files, forms, inverted = [], {}, {}, []
    for name in listed:
        if not hasattr(tv, name):
            continue
        net, head = torchvision_net(name)
        counts.append((name, features(state(net), head)))
    for name in [*both, *known, *OTHERS]:
        net, head = timm_net(name)
        shapes = state(net)
        if name not in OTHERS:
            counts.append((name, features(shapes, head)))
            forms.setdefault(tuple(shapes.items()), []).append((name, what_it_computes(net)))
        told = dict(tensors=[[k, list(s)] for k, s in shapes.items()])
        if hasattr(net, 'conv_stem'):
            told['blocks'] = blocks(net)
        if sum(torch.Size(s).numel() for s in shapes.values()) < LARGEST:
            if 'blocks' in told and name not in OTHERS:
                inverted.append(name)
            files[f'{name}.json'] = (json.dumps(told, separators=(',', ':')) + '\n').encode()
    twins = []
    for name in timm.list_models():
        if name in known or name in both or not name.startswith(tuple(FAMILIES)):
            continue
        try:
            net, _ = timm_net(name)
        except Exception:
            continue
        same = forms.get(tuple(state(net).items()), [])
        if same and all(what_it_computes(net) != computed for _, computed in same):
            twins.append((same[0][0], name))
            print('twin', same[0][0], name, flush=True)
    files['inverted.json'] = (json.dumps(inverted) + '\n').encode()
    write_zip(os.path.join(HERE, 'recognition.zip'), files)
    rows = ''.join(f'    ("{n}", {c}),\n' for n, c in sorted(set(counts)))
    pairs = ''.join(f'    ("{n}", "{t}"),\n' for n, t in sorted(twins))
    with open(os.path.join(ZOO, 'values.rs'), 'w') as f:
        f.write(HEAD + f'pub const VALUES: &[(&str, usize)] = &[\n{rows}];\n\n' + TWINS + f'pub const TWINS: &[(&str, &str)] = &[\n{pairs}];\n')


HEAD = '''//! What tells the named architectures apart where their files have the same names of tensors. Written by
//! `tests/golden/weights/recognition.py`.

/// How many values the files of an architecture hold outside the first convolution's weight (whose channels are the input's), the
/// classifier, auxiliary heads and counters; a name has two rows where torchvision's net and timm's differ.
#[rustfmt::skip]
'''
TWINS = '''/// Nets of timm that are no named architectures and have the tensors of one, which comes first, but compute something else.
#[rustfmt::skip]
'''

if __name__ == '__main__':
    main()
