#!/usr/bin/env python3
"""Whole processes: one saliency from JPEG to PNG against the same in Python with Captum, the start of a one-line script,
and the peak memory of long probes under --memory.

usage: process.py --bin CONVSCOPE [--rounds 5] [--net resnet18]
"""
import argparse, os, statistics, subprocess, sys, tempfile, time

PEER = '''
import sys, torch, torchvision, numpy as np
torch.set_num_threads(2)
from PIL import Image
from captum.attr import Saliency
net = getattr(torchvision.models, sys.argv[1])(weights=None)
net.load_state_dict(torch.load(sys.argv[2], weights_only=True))
net.eval()
image = np.asarray(Image.open(sys.argv[3]).convert('RGB').resize((224, 224)), dtype=np.float32).transpose(2, 0, 1) / 255
x = torchvision.transforms.Normalize([.485, .456, .406], [.229, .224, .225])(torch.from_numpy(image.copy()))[None]
x.requires_grad_(True)
map = Saliency(net).attribute(x, target=0).abs().amax(1)[0].numpy()
Image.fromarray((255 * map / map.max()).astype(np.uint8)).save(sys.argv[4])
'''


PREPARE = '''
import os, sys, numpy as np, torch, torchvision
from PIL import Image
name, folder = sys.argv[1:]
torch.manual_seed(0)
net = getattr(torchvision.models, name)(weights=None).eval()
torch.save(net.state_dict(), os.path.join(folder, 'net.pth'))
torch.onnx.export(net, torch.zeros(1, 3, 224, 224), os.path.join(folder, 'net.onnx'), dynamo=False, input_names=['x'],
                  output_names=['y'], dynamic_axes={'x': {0: 'n'}, 'y': {0: 'n'}})
rng = np.random.default_rng(0)
small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
small.resize((500, 375), Image.BICUBIC).save(os.path.join(folder, 'photo.jpg'), quality=90)
os.makedirs(os.path.join(folder, 'photos'))
for i in range(200):
    small.resize((500, 375 + i % 3), Image.BICUBIC).save(os.path.join(folder, 'photos', f'{i}.jpg'), quality=90)
'''


def run(command):
    """Seconds and peak resident MiB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f'{command} ended with {status}')
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    a = argparse.ArgumentParser()
    a.add_argument('--bin', required=True)
    a.add_argument('--rounds', type=int, default=5)
    a.add_argument('--net', default='resnet18')
    a = a.parse_args()
    folder = tempfile.mkdtemp()
    # A process begins with its parent's peak: what needs much memory is made by another.
    subprocess.run([sys.executable, '-c', PREPARE, a.net, folder], check=True)
    state, onnx, photo = (os.path.join(folder, f) for f in ('net.pth', 'net.onnx', 'photo.jpg'))

    def script(name, text):
        path = os.path.join(folder, name)
        with open(path, 'w') as f:
            f.write(text)
        return path

    options = '#{ resize: "direct", scale: 1.0 / 255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }'
    load = f'let net = load_model("{onnx}", {options}); let image = load_image("{photo}");\n'
    saliency = script('saliency.rhai', load + 'save(gradient().run(net.class(0), image), "map.png");')
    ours = [a.bin, 'run', '--quiet', '--threads', '2', '--out', os.path.join(folder, 'out'), saliency]
    theirs = [sys.executable, '-c', PEER, a.net, state, photo, os.path.join(folder, 'map.png')]
    times = {'ours': [], 'theirs': []}
    for _ in range(a.rounds + 1):
        for who, command in (('ours', ours), ('theirs', theirs)):
            times[who].append(run(command))
    (our_s, our_mb), (their_s, their_mb) = ([statistics.median(v[i] for v in times[w][1:]) for i in (0, 1)] for w in times)
    print(f'| {a.net}, one saliency as a process | {our_s:.2f} s, {our_mb:.0f} MiB | {their_s:.2f} s, {their_mb:.0f} MiB '
          f'| {our_s / their_s:.2f}, {our_mb / their_mb:.2f} |')
    line = [run([a.bin, 'eval', '--quiet', '1 + 1'])[0] for _ in range(21)]
    print(f'start of a one-line script: median {statistics.median(line) * 1e3:.1f} ms')
    probes = {
        'occlusion': 'occlusion(#{ patch: 32, stride: 16 }).run(net.class(0), image)',
        'integrated_gradients': 'integrated_gradients(#{ steps: 50 }).run(net.class(0), image)',
        'codes': f'codes(#{{ cache: false }}).run(net, load_images("{os.path.join(folder, "photos")}"))',
    }
    for name, call in probes.items():
        for memory in (256, 1024):
            path = script(f'{name}.rhai', load + f'let it = {call};')
            _, mb = run([a.bin, 'run', '--quiet', '--memory', str(memory), '--out', os.path.join(folder, 'out'), path])
            print(f'{name} under --memory {memory}: peak {mb:.0f} MiB')


if __name__ == '__main__':
    sys.exit(main())
