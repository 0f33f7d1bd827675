#!/usr/bin/env python3
"""Measures many nets against PyTorch and onnxruntime, and writes the table to docs/speed.md.

usage: nets.py --bin TASKS [--nets NAME,..] [--tasks forward:1,gradient:1,forward:8] [--rounds 9] [--threads 1] [--folder DIR]
               [--json OUT] [--write docs/speed.md]

TASKS is the built `tasks` bench (`cargo build --release --bench tasks`; cargo prints its path). Nets are torchvision's with seeded
random weights at 224 px, exported to ONNX. All sides run in turns. On one thread each cell is the least CPU time of the rounds,
which other programs on the machine disturb less than wall time; on more threads it is the median of wall times, which needs an idle
machine; in milliseconds. PyTorch runs in both layouts, and the better counts. `--write` replaces what stands between the markers `<!-- nets -->` and `<!-- /nets -->`. Needs requirements.txt.
"""
import argparse, glob, json, os, statistics, subprocess, sys, tempfile, time, warnings

# Before the libraries start their threads.
THREADS = int(sys.argv[sys.argv.index('--threads') + 1]) if '--threads' in sys.argv else 1
os.environ.update(RAYON_NUM_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS), MKL_NUM_THREADS=str(THREADS),
                  MIMALLOC_PURGE_DELAY='10000')
warnings.filterwarnings('ignore')
import numpy as np
import onnxruntime
import torch
import torchvision

torch.set_num_threads(THREADS)
NETS = """alexnet vgg16 squeezenet1_1 resnet18 resnet50 wide_resnet50_2 resnext50_32x4d densenet121 googlenet inception_v3 mobilenet_v2
mobilenet_v3_small mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 efficientnet_b0 efficientnet_b3 efficientnet_v2_s regnet_y_400mf
regnet_y_8gf convnext_tiny convnext_base vit_b_16 swin_t""".split()
BEGIN, END = '<!-- nets -->', '<!-- /nets -->'


def make(name):
    torch.manual_seed(0)
    options = dict(init_weights=False) if name in ('googlenet', 'inception_v3') else {}
    net = getattr(torchvision.models, name)(weights=None, **options).eval().requires_grad_(False)
    for key, value in net.named_parameters():
        # Fresh layer scales are next to nothing, fresh heads of transformers nothing at all.
        if 'layer_scale' in key:
            value.normal_(0.1, 0.1)
        if key in ('heads.head.weight', 'head.weight'):
            value.normal_(0, 0.02)
    return net


def export(net, name, folder):
    """The net as an ONNX file; transformers reshape by the batch, so that theirs is fixed."""
    path = os.path.join(folder, name + '.onnx')
    if not os.path.exists(path):
        # The fused attention of PyTorch's inference has no ONNX form.
        torch.backends.mha.set_fastpath_enabled(False)
        axes = None if name.startswith(('vit', 'swin')) else {'x': {0: 'n'}, 'y': {0: 'n'}}
        torch.onnx.export(net, torch.zeros(1, 3, 224, 224), path, input_names=['x'], output_names=['y'], dynamic_axes=axes,
                          dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
        torch.backends.mha.set_fastpath_enabled(True)
    return path


class Ours:
    """The bench process, whose CPU time is read before and after a task."""

    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def cpu(self):
        threads = glob.glob(f'/proc/{self.process.pid}/task/*/schedstat')
        return sum(int(open(thread).read().split()[0]) for thread in threads) / 1e9

    def seconds(self, path, task, batch):
        before = self.cpu()
        self.process.stdin.write(f'{path} {task} {batch}\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f'{path}: no answer')
        return self.cpu() - before if THREADS == 1 else float(answer)


def timed(run):
    clock = time.process_time if THREADS == 1 else time.perf_counter
    before = clock()
    run()
    return clock() - before


def gradient(net, x):
    x = x.detach().requires_grad_(True)
    net(x)[:, 0].sum().backward()


def measure(ours, name, folder, tasks, rounds):
    net = make(name)
    path, last = export(net, name, folder), make(name).to(memory_format=torch.channels_last)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    for task in tasks:
        kind, batch = task.split(':')
        if name.startswith(('vit', 'swin')) and batch != '1':
            continue
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((int(batch), 3, 224, 224), dtype=np.float32))
        x_last, x_array = x.contiguous(memory_format=torch.channels_last), x.numpy()
        sides = {'ours': lambda: ours.seconds(path, kind, batch)}
        if kind == 'forward':
            sides['torch'] = lambda: timed(lambda: net(x))
            sides['last'] = lambda: timed(lambda: last(x_last))
            sides['onnx'] = lambda: timed(lambda: session.run(None, {'x': x_array}))
        else:
            sides['torch'] = lambda: timed(lambda: gradient(net, x))
            sides['last'] = lambda: timed(lambda: gradient(last, x_last))
        times = {side: [] for side in sides}
        with torch.set_grad_enabled(kind != 'forward'):
            for turn in range(rounds + 1):
                for side, run in sides.items():
                    # On more threads the peers' threads go on spinning for a while.
                    time.sleep(0.02 if THREADS == 1 else 0.3)
                    run()
                    spent = run()
                    if turn > 0:
                        times[side].append(spent)
        of_rounds = min if THREADS == 1 else statistics.median
        best = {side: of_rounds(all) * 1e3 for side, all in times.items()}
        peer = min(best['torch'], best['last'])
        yield dict(net=name, task=kind, batch=int(batch), ours=best['ours'], torch=peer, onnx=best.get('onnx'))


def row(r):
    number = lambda v: f'{v:.1f}' if v < 100 else f'{v:.0f}'
    onnx = f"{number(r['onnx'])} | {r['ours'] / r['onnx']:.2f}" if r['onnx'] else '|'
    return f"| {r['net']} | {r['task']} | {r['batch']} | {number(r['ours'])} | {number(r['torch'])} | {r['ours'] / r['torch']:.2f} | {onnx} |"


def main():
    a = argparse.ArgumentParser()
    a.add_argument('--bin', required=True)
    a.add_argument('--nets', default=','.join(NETS))
    a.add_argument('--tasks', default='forward:1,gradient:1,forward:8')
    a.add_argument('--rounds', type=int, default=9)
    a.add_argument('--threads', type=int, default=1)
    a.add_argument('--folder', default='')
    a.add_argument('--json', default='')
    a.add_argument('--write', default='')
    a = a.parse_args()
    folder, ours = a.folder or tempfile.mkdtemp(), Ours(a.bin)
    rows = []
    for name in a.nets.split(','):
        for r in measure(ours, name, folder, a.tasks.split(','), a.rounds):
            rows.append(r)
            print(row(r), flush=True)
            if a.json:
                with open(a.json, 'w') as f:
                    json.dump(rows, f, indent=1)
    head = '| net | task | batch | convscope, ms | PyTorch, ms | ratio | onnxruntime, ms | ratio |\n' + '| --- ' * 8 + '|'
    if a.write:
        with open(a.write) as f:
            text = f.read()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        with open(a.write, 'w') as f:
            f.write('\n'.join([before + BEGIN, head, *map(row, rows), END + after]))


if __name__ == '__main__':
    sys.exit(main())
