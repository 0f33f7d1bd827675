"""Makes tests/golden/weights: the state_dicts of torchvision's architectures, and what some of them compute.

    pip install -r requirements.txt
    python make.py [--only NAME,NAME]

README.md describes the files. Weights follow the formula in ../golden.py.
"""
import argparse, copy, json, os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import timm
import torch
import torchvision.models as tv

from golden import calibrate, input_recipe, npy, recipes, reference, sampled, to_json, values, write_zip

LISTED = ['alexnet', 'vgg11', 'vgg11_bn', 'vgg13', 'vgg13_bn', 'vgg16', 'vgg16_bn', 'vgg19', 'vgg19_bn', 'squeezenet1_0', 'squeezenet1_1',
          'resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152', 'googlenet', 'densenet121', 'densenet161', 'densenet169', 'densenet201',
          'mobilenet_v2', 'efficientnet_b0', 'resnext50_32x4d', 'resnext101_32x8d', 'resnext101_64x4d', 'wide_resnet50_2', 'wide_resnet101_2',
          'inception_v3', 'mobilenet_v3_large', 'mobilenet_v3_small', 'shufflenet_v2_x0_5', 'shufflenet_v2_x1_0', 'shufflenet_v2_x1_5',
          'shufflenet_v2_x2_0', 'mnasnet0_5', 'mnasnet0_75', 'mnasnet1_0', 'mnasnet1_3', 'regnet_y_400mf', 'regnet_y_800mf', 'regnet_y_1_6gf',
          'regnet_y_3_2gf', 'regnet_y_8gf', 'regnet_y_16gf', 'regnet_y_32gf', 'regnet_x_400mf', 'regnet_x_800mf',
          'regnet_x_1_6gf', 'regnet_x_3_2gf', 'regnet_x_8gf', 'regnet_x_16gf', 'regnet_x_32gf', 'convnext_tiny', 'convnext_small',
          'convnext_base', 'convnext_large', 'efficientnet_b1', 'efficientnet_b2', 'efficientnet_b3', 'efficientnet_b4', 'efficientnet_b5',
          'efficientnet_b6', 'efficientnet_b7', 'efficientnet_v2_s', 'efficientnet_v2_m', 'efficientnet_v2_l', 'vit_b_16', 'vit_b_32',
          'vit_l_16', 'vit_l_32', 'vit_h_14', 'swin_t', 'swin_s', 'swin_b']
# case: (architecture, input height and width, options)
CASES = {
    'alexnet': ('alexnet', (224, 224), {}),
    'alexnet_small_input': ('alexnet', (96, 110), {}),
    'vgg11': ('vgg11', (224, 224), {}),
    'vgg11_bn': ('vgg11_bn', (64, 96), {}),
    'squeezenet1_0': ('squeezenet1_0', (64, 64), {}),
    'squeezenet1_1': ('squeezenet1_1', (64, 80), {}),
    'resnet18': ('resnet18', (64, 64), {}),
    'resnet50': ('resnet50', (64, 80), {}),
    'googlenet': ('googlenet', (64, 64), dict(transform_input=True)),
    'googlenet_plain_input': ('googlenet', (64, 64), {}),
    'densenet121': ('densenet121', (64, 64), {}),
    'mobilenet_v2': ('mobilenet_v2', (64, 64), {}),
    'efficientnet_b0': ('efficientnet_b0', (64, 64), {}),
    'resnext50_32x4d': ('resnext50_32x4d', (64, 64), {}),
    'mobilenet_v3_small': ('mobilenet_v3_small', (64, 80), {}),
    'mobilenet_v3_large': ('mobilenet_v3_large', (64, 64), {}),
    'shufflenet_v2_x0_5': ('shufflenet_v2_x0_5', (64, 64), {}),
    'mnasnet0_5': ('mnasnet0_5', (64, 64), {}),
    'regnet_y_400mf': ('regnet_y_400mf', (64, 64), {}),
    'convnext_tiny': ('convnext_tiny', (64, 64), {}),
    'efficientnet_v2_s': ('efficientnet_v2_s', (64, 64), {}),
    'inception_v3': ('inception_v3', (96, 107), dict(transform_input=True)),
    'vit_b_32': ('vit_b_32', (96, 96), dict(image_size=96)),
    'swin_t': ('swin_t', (64, 88), {}),
    'timm_resnet26d': ('timm:resnet26d', (64, 64), {}),
    'timm_efficientnet_b0': ('timm:efficientnet_b0', (64, 64), {}),
    'timm_tf_efficientnet_b0': ('timm:tf_efficientnet_b0', (64, 64), {}),
    'timm_tf_mobilenetv3_small_100': ('timm:tf_mobilenetv3_small_100', (64, 64), {}),
    'timm_tf_efficientnetv2_b0': ('timm:tf_efficientnetv2_b0', (64, 64), {}),
    'timm_mobilenetv2_050': ('timm:mobilenetv2_050', (64, 64), {}),
    'timm_regnety_004': ('timm:regnety_004', (64, 64), {}),
    'timm_convnext_tiny': ('timm:convnext_tiny', (64, 64), {}),
    'timm_vit_tiny_patch16_224': ('timm:vit_tiny_patch16_224', (64, 64), dict(img_size=64)),
    'timm_swin_tiny_patch4_window7_224': ('timm:swin_tiny_patch4_window7_224', (224, 224), {}),
}


def build(name, **options):
    if name.startswith('timm:'):
        return timm.create_model(name[5:], **options)
    if name in ('googlenet', 'inception_v3'):
        options['init_weights'] = False
    return getattr(tv, name)(weights=None, **options)


def listing(name):
    """[[name, shape, dtype], ...] in the state_dict's order; dtype is left out where it is f32."""
    try:
        with torch.device('meta'):
            state = build(name).state_dict()
    except NotImplementedError:
        # Some count on values while they are made.
        state = build(name).state_dict()
    rows = [[k, list(t.shape)] + ([] if t.dtype == torch.float32 else ['i64']) for k, t in state.items()]
    return ('[\n' + ',\n'.join(json.dumps(r) for r in rows) + '\n]\n').encode()


def case(name):
    arch, size, options = CASES[name]
    torch.manual_seed(0)
    net = build(arch, **options).eval()
    shape = [1, 3, *size]
    table = recipes(net)
    calibrate(net, table, torch.from_numpy(values(input_recipe([4, 3, *size], 99))))
    ref = reference(net, copy.deepcopy(net).double(), shape)
    gradient, kept = sampled(ref['gradient'])
    rows = [table.get(k) or dict(name=k, shape=list(t.shape), dtype='i64', value=int(t)) for k, t in net.state_dict().items()
            # Swin's places by number follow from its window, and no reader needs them.
            if not k.endswith('relative_position_index')]
    told = dict(name=name, architecture=arch.removeprefix('timm:'), parameters=sum(p.numel() for p in net.parameters()), **{k: v for k, v in options.items() if k != 'init_weights'},
                input=ref['input'], target=ref['target'], gradient=gradient, noise=ref['noise'], weights=rows)
    path = os.path.join(HERE, name + '.zip')
    write_zip(path, {'case.json': to_json(told), 'output.npy': npy(ref['output']), 'gradient.npy': npy(kept)})
    print(f"{name:24} {os.path.getsize(path) / 1024:6.1f} KB  f32 {ref['noise']}  std {ref['output'].std():.2g}  |g| {gradient['max_abs']:.1e}", flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--only', default='', help='comma-separated cases')
    a = a.parse_args()
    torch.set_num_threads(2)
    only = [n for n in a.only.split(',') if n]
    if not only:
        write_zip(os.path.join(HERE, 'state_dicts.zip'), {f'{n}.json': listing(n) for n in LISTED})
    for name in only or CASES:
        case(name)


if __name__ == '__main__':
    main()
