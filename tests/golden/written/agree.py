"""Whether maps agree between a weight file and what PyTorch's two exporters make of the net: prints a table for docs/nets.md.

    pip install -r ../weights/requirements.txt
    python agree.py CONVSCOPE [NET ...]

CONVSCOPE is the program. For each of twelve nets of torchvision and timm (weights by the formula of ../golden.py, no published
ones) it saves the state_dict (.pth or .safetensors) and two ONNX files (TorchScript, opset 17; dynamo, opset 18), and lets the
program draw eight maps of one class at one random input from each. A number is the largest difference from the weight file's map
over that map's largest magnitude.
"""
import os, re, subprocess, sys, tempfile, warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import numpy as np
import timm
import torch
import torchvision.models as tv
from safetensors.torch import save_file

from golden import calibrate, input_recipe, recipes, values

NETS = {
    'mobilenet_v3_small': (tv.mobilenet_v3_small, 64, {}),
    'efficientnet_b0': (tv.efficientnet_b0, 64, {}),
    'efficientnet_v2_s': (tv.efficientnet_v2_s, 64, {}),
    'convnext_tiny': (tv.convnext_tiny, 64, {}),
    'regnet_y_400mf': (tv.regnet_y_400mf, 64, {}),
    'vit_b_32': (tv.vit_b_32, 96, dict(image_size=96)),
    'swin_t': (tv.swin_t, 64, {}),
    'tf_efficientnet_b0': ('timm', 64, {}),
    'tf_mobilenetv3_small_100': ('timm', 64, {}),
    'semnasnet_050': ('timm', 64, {}),
    'seresnet50': ('timm', 64, {}),
    'vit_tiny_patch16_224': ('timm', 64, dict(img_size=64)),
}
PROBES = ['gradient()', 'guided_backprop()', 'deconvnet()', 'integrated_gradients(#{ steps: 8 })', 'deep_lift()', 'lrp()', 'grad_cam()',
          'occlusion(#{ patch: 16, stride: 16 })']
CLASS = 3


def compare(program, name):
    make, px, options = NETS[name]
    torch.manual_seed(0)
    net = (timm.create_model(name, **options) if make == 'timm' else make(**options)).eval()
    table = recipes(net)
    calibrate(net, table, torch.from_numpy(values(input_recipe([4, 3, px, px], 99))))
    x = torch.from_numpy(values(input_recipe([1, 3, px, px], 7)))
    with tempfile.TemporaryDirectory() as folder:
        at = lambda file: os.path.join(folder, file)
        state = {k: v.contiguous() for k, v in net.state_dict().items()}
        weights = 'w.safetensors' if make == 'timm' else 'w.pth'
        save_file(state, at(weights)) if make == 'timm' else torch.save(state, at(weights))
        with torch.no_grad():
            torch.onnx.export(net, x, at('script.onnx'), dynamo=False, opset_version=17)
            torch.onnx.export(net, x, at('dynamo.onnx'), dynamo=True, opset_version=18, external_data=False, verbose=False)
        np.save(at('x.npy'), x.numpy())
        lines = [f'let nets = [load_model("{name}", #{{ weights: "{weights}", size: {px} }}), load_model("./script.onnx"), load_model("./dynamo.onnx")];',
                 'let x = load_tensor("x.npy");']
        for i, probe in enumerate(['forward', *PROBES]):
            one = 'n.forward(x)' if probe == 'forward' else f'{probe}.run(n.class({CLASS}), x).value'
            lines += ['{', 'let maps = [];', f'for n in nets {{ maps.push({one}); }}',
                      'let top = maps[0].abs().max();',
                      f'print("AGREE {i} " + ((maps[1] - maps[0]).abs().max() / top) + " " + ((maps[2] - maps[0]).abs().max() / top));', '}']
        open(at('s.rhai'), 'w').write('\n'.join(lines))
        done = subprocess.run([program, 'run', 's.rhai', '--out', at('out')], cwd=folder, capture_output=True, text=True)
        found = re.findall(r'AGREE (\d+) (\S+) (\S+)', done.stdout)
        if len(found) != len(PROBES) + 1:
            raise SystemExit(f'{name}: {done.stdout[-500:]}{done.stderr[-2000:]}')
        return [(float(a), float(b)) for _, a, b in found]


def main():
    warnings.simplefilter('ignore')
    # An operator of its own that the TorchScript exporter does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    program, names = os.path.abspath(sys.argv[1]), sys.argv[2:] or NETS
    titles = ['forward', *(re.match(r'\w+', p).group(0) for p in PROBES)]
    print('| net | ' + ' | '.join(titles) + ' |\n|' + ' --- |' * (len(titles) + 1))
    for name in names:
        cells = [f'{a:.0e} / {b:.0e}' for a, b in compare(program, name)]
        print(f'| {name} | ' + ' | '.join(cells) + ' |', flush=True)


if __name__ == '__main__':
    main()
