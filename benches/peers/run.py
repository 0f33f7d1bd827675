#!/usr/bin/env python3
"""Holds convscope's speed against PyTorch, Captum, foolbox and onnxruntime on the same nets and tensors.

usage: run.py --bin TASKS [--only forward,gradient,..] [--nets squeezenet1_1,..] [--rounds 7] [--json OUT]

TASKS is the built `tasks` bench (`cargo build --release --bench tasks`; cargo prints its path). Nets are torchvision's
with seeded random weights, exported to ONNX; both sides run in turns on two threads, and the table gives medians and the
ratio of medians, ours / theirs. Needs requirements.txt beside this file.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time, warnings

THREADS = int(os.environ.get('RAYON_NUM_THREADS', '2'))
os.environ.update(RAYON_NUM_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS), MKL_NUM_THREADS=str(THREADS),
                  MIMALLOC_PURGE_DELAY='10000')  # as the convscope command sets it
warnings.filterwarnings('ignore')
import foolbox
import numpy as np
import onnxruntime
import torch
import torchvision
from PIL import Image
from captum.attr import GuidedBackprop, IntegratedGradients, NoiseTunnel, Occlusion, Saliency

torch.set_num_threads(THREADS)
DEFAULT_NETS = ['squeezenet1_1', 'resnet18', 'vgg16', 'mobilenet_v2']


class Net:
    """One net on all sides."""

    def __init__(self, name, folder):
        torch.manual_seed(0)
        self.name, self.path = name, os.path.join(folder, name + '.onnx')
        self.eager = getattr(torchvision.models, name)(weights=None).eval()
        if not os.path.exists(self.path):
            torch.onnx.export(self.eager, torch.zeros(1, 3, 224, 224), self.path, input_names=['x'], output_names=['y'],
                              dynamic_axes={'x': {0: 'n'}, 'y': {0: 'n'}}, dynamo=False,
                              training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
        for parameter in self.eager.parameters():
            parameter.requires_grad_(False)
        # In-place rectifiers break Captum's hooks.
        for module in self.eager.modules():
            if isinstance(module, (torch.nn.ReLU, torch.nn.ReLU6)):
                module.inplace = False
        self.last = getattr(torchvision.models, name)(weights=None).eval().to(memory_format=torch.channels_last)
        self.last.load_state_dict(self.eager.state_dict())
        for parameter in self.last.parameters():
            parameter.requires_grad_(False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(self.path, options, providers=['CPUExecutionProvider'])


def gradient(net, x):
    x = x.detach().requires_grad_(True)
    net(x)[:, 0].sum().backward()
    return x.grad


def hand_loop(session, x, patch, stride, batch=16):
    side = range(0, -(-(x.shape[2] - patch) // stride) * stride + 1, stride)
    copies, scores = [], []
    for i in side:
        for j in side:
            copy = x.copy()
            copy[:, :, i:i + patch, j:j + patch] = 0
            copies.append(copy)
            if len(copies) == batch:
                scores.append(session.run(None, {'x': np.concatenate(copies)})[0][:, 0])
                copies = []
    if copies:
        scores.append(session.run(None, {'x': np.concatenate(copies)})[0][:, 0])
    return scores


def peers(net, task, batch, args):
    """Named callables that do the task."""
    x = torch.randn(batch, 3, 224, 224)
    last = x.contiguous(memory_format=torch.channels_last)
    eager, fast = net.eager, net.last
    if task == 'forward':
        run = lambda m, x: (lambda: m(x))
        return {'PyTorch': run(eager, x), 'PyTorch channels_last': run(fast, last),
                'onnxruntime': lambda: net.session.run(None, {'x': x.numpy()})}, True
    if task == 'gradient':
        return {'Captum Saliency': lambda: Saliency(eager).attribute(x, target=0, abs=False),
                'PyTorch channels_last': lambda: gradient(fast, last), 'PyTorch': lambda: gradient(eager, x)}, False
    if task == 'guided_backprop':
        return {'Captum GuidedBackprop': lambda: GuidedBackprop(eager).attribute(x, target=0)}, False
    if task == 'occlusion':
        patch, stride = args
        def captum(n):
            return lambda: Occlusion(eager).attribute(x, target=0, sliding_window_shapes=(3, patch, patch),
                                                      strides=(3, stride, stride), perturbations_per_eval=n)
        return {'Captum, 16 a pass': captum(16), 'onnxruntime hand loop': lambda: hand_loop(net.session, x.numpy(), patch, stride)}, True
    if task == 'integrated_gradients':
        return {'Captum': lambda: IntegratedGradients(eager).attribute(x, target=0, n_steps=args[0], internal_batch_size=8)}, False
    if task == 'smooth_grad':
        return {'Captum': lambda: NoiseTunnel(Saliency(eager)).attribute(x, target=0, nt_samples=args[0], nt_samples_batch_size=8, abs=False)}, False
    if task == 'pgd':
        images = torch.stack([torch.from_numpy(pixels(f)) for f in photos(args[1])])
        model = foolbox.PyTorchModel(eager, bounds=(0, 1), preprocessing=dict(mean=MEAN, std=STD, axis=-3))
        with torch.no_grad():
            labels = model(images).argmax(-1)
        attack = foolbox.attacks.LinfPGD(steps=args[0])
        return {'foolbox': lambda: attack(model, images, labels, epsilons=4 / 255)}, False
    if task == 'codes':
        features = lambda m, x: m.features(x).mean((2, 3)) if hasattr(m, 'features') else trunk(m, x)
        def loader(workers):
            def run():
                data = torch.utils.data.DataLoader(Photos(args[0]), batch_size=16, num_workers=workers)
                return torch.cat([features(fast, x.contiguous(memory_format=torch.channels_last)) for x in data])
            return run
        return {'PyTorch loader': loader(0), 'PyTorch loader, 2 workers': loader(2)}, True
    raise SystemExit(f'no task {task}')


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photos(folder):
    return sorted(os.path.join(folder, f) for f in os.listdir(folder))


def make_photos(folder, count):
    """Generated JPEGs of a photo's size and smoothness."""
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        fine = rng.integers(-12, 13, (375, 500, 3))
        image = np.asarray(small.resize((500, 375), Image.BICUBIC)).astype(int) + fine
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(os.path.join(folder, f'{i:04}.jpg'), quality=90)
    return folder


def pixels(file):
    image = Image.open(file).convert('RGB').resize((224, 224), Image.BILINEAR)
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255


class Photos(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.files = photos(folder)
        self.normal = torchvision.transforms.Normalize(MEAN, STD)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return self.normal(torch.from_numpy(pixels(self.files[i])))


def trunk(m, x):
    """A ResNet's code: what its classifier takes in."""
    for name, layer in m.named_children():
        x = x.flatten(1) if name == 'fc' else layer(x)
        if name == 'avgpool':
            return x.flatten(1)


class Ours:
    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, net, task, batch, args):
        self.process.stdin.write(' '.join([net.path, task, str(batch), *map(str, args)]) + '\n')
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def tasks(nets, folder):
    for net in nets:
        for task in ['forward', 'gradient', 'guided_backprop']:
            for batch in [1, 8]:
                yield net, task, batch, []
        yield net, 'occlusion', 1, [32, 16 if net == 'vgg16' else 8]
        if net in ('squeezenet1_1', 'resnet18'):
            yield net, 'integrated_gradients', 1, [50]
            yield net, 'smooth_grad', 1, [50]
            yield net, 'pgd', 8, [40, make_photos(os.path.join(folder, 'photos8'), 8)]
            yield net, 'codes', 1, [make_photos(os.path.join(folder, 'photos512'), 512)]


def main():
    a = argparse.ArgumentParser()
    a.add_argument('--bin', required=True)
    a.add_argument('--only', default='')
    a.add_argument('--nets', default=','.join(DEFAULT_NETS))
    a.add_argument('--rounds', type=int, default=7)
    a.add_argument('--batches', default='1,8')
    a.add_argument('--folder', default='')
    a.add_argument('--json', default='')
    a = a.parse_args()
    folder = a.folder or tempfile.mkdtemp()
    ours, nets, rows = Ours(a.bin), {}, []
    print('| net | task | batch | convscope | peer | theirs | ratio |\n| --- | --- | --- | --- | --- | --- | --- |')
    for name, task, batch, args in tasks(a.nets.split(','), folder):
        if (a.only and task not in a.only.split(',')) or str(batch) not in a.batches.split(','):
            continue
        net = nets.setdefault(name, None) or Net(name, folder)
        nets[name] = net
        others, forward_only = peers(net, task, batch, args)
        slow = task in ('occlusion', 'integrated_gradients', 'smooth_grad', 'pgd', 'codes')
        rounds = min(a.rounds, 3) if slow else a.rounds
        times = {who: [] for who in ['ours', *others]}
        with torch.set_grad_enabled(not forward_only):
            for turn in range(rounds + (not slow)):
                for who in times:
                    # Peers' worker threads spin after their last task, onnxruntime's for more than 20 ms: let them go to sleep.
                    # Then a run that warms up, but for tasks that take seconds, and the one that counts.
                    time.sleep(0.2)
                    for again in range(1 if slow else 2):
                        spent = ours.seconds(net, task, batch, args) if who == 'ours' else timed(others[who])
                    if turn > 0 or slow:
                        times[who].append(spent)
        medians = {who: statistics.median(t) for who, t in times.items()}
        for who in others:
            ratio = medians['ours'] / medians[who]
            rows.append(dict(net=name, task=task, args=args, batch=batch, ours=medians['ours'], peer=who, theirs=medians[who], ratio=ratio))
            print(f"| {name} | {task} {' '.join(str(v) for v in args if not isinstance(v, str))} | {batch} | {medians['ours'] * 1e3:.1f} ms | {who} | {medians[who] * 1e3:.1f} ms | {ratio:.2f} |", flush=True)
    if a.json:
        with open(a.json, 'w') as f:
            json.dump(rows, f, indent=1)


if __name__ == '__main__':
    sys.exit(main())
