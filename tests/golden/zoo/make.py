"""Makes tests/golden/zoo/*.zip: ONNX files of known architectures and of single ops, and what they must compute.

    pip install -r requirements.txt
    python make.py [--only NAME,NAME] [--list]

README.md describes the files. Each case is checked before it is written: onnxruntime's output of the emptied model with
the formula's weights must agree with PyTorch's f64 output, and PyTorch's f32 gradient with its f64 gradient.
"""
import argparse, copy, os, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import numpy as np
import onnx
import torch

import architectures, onnxfile, ops
from golden import calibrate, input_recipe, npy, recipes, reference, sampled, to_json, values, worst, write_zip

AGREE = 1e-4


def architecture(name):
    c = architectures.CASES[name]
    torch.manual_seed(0)
    net = architectures.build(c)
    shape = [2 if c['dynamic'] else 1, 3, c['size'], c['size']]
    table = recipes(net)
    calibrate(net, table, torch.from_numpy(values(input_recipe(shape, 99))))
    model = onnxfile.export(net, torch.zeros(shape), c['exporter'], c['opset'], c['dynamic'], c['keep_bn'])
    state = net.state_dict()
    weights = onnxfile.empty_weights(model, table, lambda k, v: state[k].copy_(torch.from_numpy(v)))
    told = dict(name=name, source=f"torchvision {c['build'].__name__}" if 'torchvision' in c['build'].__module__ else c['build'].__name__,
                exporter=c['exporter'], opset=c['opset'], dynamic_batch=c['dynamic'])
    finish(told, model, weights, net, copy.deepcopy(net).double(), shape)


def op_net(name):
    told, model, weights, f32, f64, shape = ops.build(name)
    finish(dict(name=name, **told), model, weights, f32, f64, shape)


def finish(told, model, weights, f32, f64, shape):
    """Computes the references, holds onnxruntime against them, and writes the case."""
    ref = reference(f32, f64, shape)
    ours = onnxfile.run_onnxruntime(model, weights, values(ref['input']))
    error = worst(ours, ref['output'])
    if not error <= AGREE or ours.shape != ref['output'].shape:
        raise SystemExit(f"{told['name']}: onnxruntime differs from PyTorch by {error:.1e}")
    gradient, kept = sampled(ref['gradient'])
    noise = dict(ref['noise'], onnxruntime=float(f'{error:.3g}'))
    case = dict(**told, input=ref['input'], target=ref['target'], gradient=gradient, noise=noise, weights=weights)
    path = os.path.join(HERE, told['name'] + '.zip')
    ops_used = ' '.join(sorted({n.op_type for n in model.graph.node}))
    write_zip(path, {'model.onnx': model.SerializeToString(deterministic=True), 'case.json': to_json(case),
                     'output.npy': npy(ref['output']), 'gradient.npy': npy(kept)})
    print(f"{told['name']:28} {os.path.getsize(path) / 1024:6.1f} KB  onnxruntime {error:.0e}  f32 gradient {ref['noise']['gradient']:.0e}  "
          f"std {ref['output'].std():.2g}  |g| {gradient['max_abs']:.1e}  {ops_used}", flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--only', default='', help='comma-separated names')
    a.add_argument('--list', action='store_true')
    a = a.parse_args()
    names = [*architectures.CASES, *ops.NAMES]
    if a.list:
        return print('\n'.join(names))
    torch.set_num_threads(2)
    only = [n for n in a.only.split(',') if n]
    unknown = set(only) - set(names)
    if unknown:
        raise SystemExit(f'no case {", ".join(sorted(unknown))}; --list shows them')
    bad = []
    for name in only or names:
        start = time.time()
        try:
            architecture(name) if name in architectures.CASES else op_net(name)
        except (SystemExit, Exception) as e:
            bad.append(name)
            print(f'{name}: {type(e).__name__}: {str(e)[:1500]}', flush=True)
    if bad:
        raise SystemExit(f'not made: {", ".join(bad)}')


if __name__ == '__main__':
    main()
