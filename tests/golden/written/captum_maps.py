"""Whether maps equal Captum's on torchvision's nets: prints a table for docs/nets.md.

    pip install -r ../weights/requirements.txt captum
    python captum_maps.py CONVSCOPE [NET ...]

CONVSCOPE is the program. Each net of torchvision (weights by the formula of ../golden.py, no published ones) is saved as .pth; the
program draws maps of the net's class at three random inputs from it in f32, Captum in f64. A number is the largest difference over the
map's largest magnitude, the median over the inputs: where a rectifier's input rounds to the other side of zero, one input's map
differs. Behind the stroke stands the same of Captum's own maps in f32.
"""
import os, re, subprocess, sys, tempfile, warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import numpy as np
import torch
import torchvision.models as tv
from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, Occlusion, Saliency

from golden import calibrate, input_recipe, recipes, values

# The layer that Grad-CAM reads: its name in torchvision's module, and the name of the node that gives its value.
NETS = {
    'alexnet': ('features.11', 'features.11'),
    'vgg11': ('features.19', 'features.19'),
    'vgg11_bn': ('features.27', 'features.27'),
    'resnet18': ('layer4', 'layer4.1.relu_1'),
    'resnet34': ('layer4', 'layer4.2.relu_1'),
    'resnet50': ('layer4', 'layer4.2.relu_2'),
    'resnext50_32x4d': ('layer4', 'layer4.2.relu_2'),
    'squeezenet1_0': ('features.12', 'features.12.cat'),
    'squeezenet1_1': ('features.12', 'features.12.cat'),
    'mnasnet1_0': ('layers.16', 'layers.16'),
    'shufflenet_v2_x1_0': ('conv5', 'conv5.2'),
    'regnet_x_400mf': ('trunk_output', 'trunk_output.block4.block4-11.relu_2'),
    'regnet_y_400mf': ('trunk_output', 'trunk_output.block4.block4-5.relu_2'),
}
PX, STEPS, INPUTS = 96, 8, 3
TITLES = ['gradient', 'guided_backprop', 'integrated_gradients', 'grad_cam', 'occlusion']


def captum(net, layer, x, index):
    """Captum's maps, in the order of TITLES."""
    x = x.clone().requires_grad_()
    of = dict(target=index)
    yield Saliency(net).attribute(x, abs=False, **of)
    yield GuidedBackprop(net).attribute(x, **of)
    yield IntegratedGradients(net).attribute(x, n_steps=STEPS, method='gausslegendre', **of)
    yield LayerGradCam(net, net.get_submodule(layer)).attribute(x, relu_attributions=True, **of)
    window, step = (3, 24, 24), (3, 24, 24)
    with torch.no_grad():
        base = net(x)[0, index]
        tiles = Occlusion(lambda v: net(v)).attribute(x, sliding_window_shapes=window, strides=step, **of)
        yield base - tiles[:, 0, ::24, ::24]


def compare(program, name):
    module, node = NETS[name]
    torch.manual_seed(0)
    net = getattr(tv, name)().eval()
    calibrate(net, recipes(net), torch.from_numpy(values(input_recipe([4, 3, PX, PX], 99))))
    inputs = torch.from_numpy(values(input_recipe([INPUTS, 3, PX, PX], 7)))
    with torch.no_grad():
        classes = net.double()(inputs.double()).argmax(1).tolist()
    net.float()
    probes = ['gradient()', 'guided_backprop()', f'integrated_gradients(#{{ steps: {STEPS} }})', f'grad_cam(#{{ layer: "{node}" }})',
              'occlusion(#{ patch: 24, stride: 24 })']
    with tempfile.TemporaryDirectory() as folder:
        at = lambda file: os.path.join(folder, file)
        torch.save(net.state_dict(), at('w.pth'))
        lines = [f'let net = load_model("{name}", #{{ weights: "w.pth", size: {PX} }});', 'let last = net.layers[net.layers.len() - 1];']
        for n, index in enumerate(classes):
            np.save(at(f'x{n}.npy'), inputs[n:n + 1].numpy())
            lines.append(f'let x = load_tensor("x{n}.npy");')
            for i, probe in enumerate(probes):
                # The score of a unit is its raw output; that of a class is a probability, where windows are hidden.
                subject = f'last.unit({index})' if probe.startswith('occlusion') else f'net.class({index})'
                lines.append(f'save({probe}.run({subject}, x).value, "{n}.{i}.npy");')
        open(at('s.rhai'), 'w').write('\n'.join(lines))
        done = subprocess.run([program, 'run', 's.rhai', '--out', at('out')], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f'{name}: {done.stdout[-500:]}{done.stderr[-2000:]}')
        ours = [[np.load(at(f'out/{n}.{i}.npy')).astype(np.float64) for i in range(len(probes))] for n in range(INPUTS)]
    for m in net.modules():
        if hasattr(m, 'inplace'):
            m.inplace = False
    maps = lambda n, kind: [m.detach().numpy().astype(np.float64) for m in captum(net.to(kind), module, inputs[n:n + 1].to(kind), classes[n])]
    rough, exact = ([maps(n, kind) for n in range(INPUTS)] for kind in (torch.float32, torch.float64))
    off = lambda a, b: np.abs(a.reshape(b.shape) - b).max() / np.abs(b).max()
    median = lambda made, i: np.nanmedian([off(made[n][i], exact[n][i]) for n in range(INPUTS)])
    return [(median(ours, i), median(rough, i)) for i in range(len(probes))]


def main():
    warnings.simplefilter('ignore')
    program, names = os.path.abspath(sys.argv[1]), sys.argv[2:] or NETS
    print('| net | ' + ' | '.join(TITLES) + ' |\n|' + ' --- |' * (len(TITLES) + 1))
    for name in names:
        cells = [f'{a:.0e} / {b:.0e}' for a, b in compare(program, name)]
        print(f'| {name} | ' + ' | '.join(cells) + ' |', flush=True)


if __name__ == '__main__':
    main()
