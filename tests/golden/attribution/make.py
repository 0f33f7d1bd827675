"""Makes tests/golden/attribution/*.zip: small nets and the maps that Captum and Zennit compute for them.

    pip install -r requirements.txt
    python make.py [--only NAME,NAME]

README.md describes the files and what each map is. Everything is computed in f64 and stored as f32.
"""
import argparse, copy, json, os, sys, warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), 'zoo')]
import captum.attr as ca
import torch
from torch import nn
from zennit import composites, rules
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.types import Convolution, Linear

import onnxfile
from golden import calibrate, fill, input_recipe, npy, recipes, short, values, worst, write_zip
from deep_lift import deep_lift
from nets import NETS, Join

SHAPE = [1, 3, 14, 16]
LOW, HIGH = -2.0, 2.0
LIMIT = 5e-6  # what f32 may differ from f64 in any map


class Merge(SequentialMergeBatchNorm):
    """Zennit's canonizer leaves a merged BatchNorm dividing by sqrt(1 + eps); here it becomes an exact identity."""

    def register(self, linears, batch_norm):
        super().register(linears, batch_norm)
        self.eps, batch_norm.eps = batch_norm.eps, 0.0

    def remove(self):
        super().remove()
        self.batch_norm.eps = self.eps


def single(rule):
    """One rule at every convolution and linear layer; Zennit's usual passes elsewhere."""
    return composites.LayerMapComposite(composites.layer_map_base() + [(Linear, rule)], canonizers=[Merge()])


def z_box(x):
    box = rules.ZBox(torch.full_like(x, LOW), torch.full_like(x, HIGH))
    return composites.SpecialFirstLayerMapComposite(composites.layer_map_base() + [(Linear, rules.Epsilon(1e-6))], [(Convolution, box)], canonizers=[Merge()])


def lrp_composites(x):
    merge = dict(canonizers=[Merge()])
    return dict(
        lrp_epsilon_plus=composites.EpsilonPlus(**merge),
        lrp_epsilon_gamma_box=composites.EpsilonGammaBox(torch.full_like(x, LOW), torch.full_like(x, HIGH), **merge),
        lrp_epsilon_alpha2_beta1=composites.EpsilonAlpha2Beta1(**merge),
        lrp_epsilon=single(rules.Epsilon(1e-6)),
        lrp_epsilon_large=single(rules.Epsilon(0.1)),
        lrp_gamma=single(rules.Gamma(0.25)),
        lrp_alpha_beta=single(rules.AlphaBeta(2, 1)),
        lrp_z_plus=single(rules.ZPlus()),
        lrp_w_square=single(rules.WSquare()),
        lrp_flat=single(rules.Flat()),
        lrp_z_box=z_box(x),
    )


def relevance(net, composite, x, c):
    """Relevance of the input when the output's is its value at class c and zero elsewhere."""
    Join.as_sum = True
    try:
        with composite.context(net) as hooked:
            x = x.clone().requires_grad_(True)
            y = hooked(x)
            seed = torch.zeros_like(y)
            seed[0, c] = y[0, c].detach()
            return torch.autograd.grad(y, x, seed)[0]
    finally:
        Join.as_sum = False


def clamped_at_relu6(net, x, c):
    """Guided backprop for ReLU6, which Captum leaves alone: what arrives at it and is negative stops there."""
    hooks = [m.register_full_backward_hook(lambda m, gi, go: (gi[0].clamp(min=0),)) for m in net.modules() if isinstance(m, nn.ReLU6)]
    x = x.clone().requires_grad_(True)
    g = torch.autograd.grad(net(x)[0, c], x)[0]
    for h in hooks:
        h.remove()
    return g


def maps(net, last, x, c):
    """Every map of class c at x, by name; and by how much Captum's DeepLIFT misses completeness."""
    at = last(net)
    out = dict(gradient=ca.Saliency(net).attribute(x, target=c, abs=False))
    if any(isinstance(m, nn.ReLU6) for m in net.modules()):
        out['guided_backprop'] = clamped_at_relu6(net, x, c)
    else:
        out['guided_backprop'] = ca.GuidedBackprop(net).attribute(x, target=c)
        out['deconvnet'] = ca.Deconvolution(net).attribute(x, target=c)
    out['gradient_x_input'] = ca.InputXGradient(net).attribute(x, target=c)
    out['integrated_gradients'] = ca.IntegratedGradients(net).attribute(x, target=c, n_steps=50, method='gausslegendre')
    out['deep_lift'], missing = deep_lift(net, x, c)
    lift, gap = ca.DeepLift(net).attribute(x, target=c, return_convergence_delta=True)
    if x.dtype == torch.float64:
        assert abs(missing) < 1e-9, missing
        assert abs(float(gap)) > 1e-9 or worst(lift.detach(), out['deep_lift']) < 1e-6, 'Captum is complete and differs'
    out['grad_cam'] = ca.LayerGradCam(net, at).attribute(x, target=c, relu_attributions=True)[0]
    for name, composite in lrp_composites(x).items():
        out[name] = relevance(net, composite, x, c)
    return {k: v.detach().squeeze(0).numpy() for k, v in out.items()}, float(gap)


def weigh(net, exported):
    """Fills both modules with the same calibrated weights. Convolutions have biases below zero: a zero baseline is then
    silent, and no window of a max pool has a tie at the baseline that decides where DeepLIFT puts a fall."""
    table = recipes(net)
    for k, r in table.items():
        if k.endswith('.bias') and len(table[k.replace('.bias', '.weight')]['shape']) == 4:
            r['shift'] = -0.1
    if type(net) is not type(exported):  # the twin's second convolution is the first one again
        for leaf in ('weight', 'bias'):
            table['again.' + leaf] = table['b.' + leaf]
    calibrate(net, table, torch.from_numpy(values(input_recipe([4, *SHAPE[1:]], 99))))
    fill(net, table)
    fill(exported, {k: table[k] for k in exported.state_dict() if k in table})


def make(name):
    reference, export, keep_bn, last, layer = NETS[name]
    torch.manual_seed(0)
    net, exported = reference().eval(), export().eval()
    weigh(net, exported)
    model = onnxfile.export(exported, torch.zeros(SHAPE), 'torchscript', 13, False, keep_bn)
    deep, best = copy.deepcopy(net).double(), None
    for seed in range(60):
        x = torch.from_numpy(values(input_recipe(SHAPE, seed)))
        y = deep(x.double()).detach()
        c = int(y.argmax())
        if not float(y[0, c]) > 0.2:
            continue
        want, gap = maps(deep, last, x.double(), c)
        again, _ = maps(net, last, x, c)
        noise = {k: short(worst(again[k], want[k])) for k in want if k in again}
        if best is None or max(noise.values()) < max(best['noise'].values()):
            best = dict(x=x, y=y, c=c, maps=want, noise=noise, gap=gap)
        if max(noise.values()) < LIMIT:
            break
    with torch.no_grad():
        assert worst(exported(best['x'].clone()), best['y']) < 1e-5
    assert worst(onnxfile.run_onnxruntime(model, [], best['x'].numpy()), best['y']) < 1e-5
    assert any(n.name == layer for n in model.graph.node if n.op_type == 'Conv'), [n.name for n in model.graph.node]
    case = dict(name=name, target=best['c'], score=float(best['y'][0, best['c']]), grad_cam_layer=layer, box=[LOW, HIGH],
                maps=list(best['maps']), noise=best['noise'])
    files = {'model.onnx': model.SerializeToString(deterministic=True), 'case.json': (json.dumps(case, indent=1) + '\n').encode(), 'input.npy': npy(best['x'].numpy()),
             'output.npy': npy(best['y'].numpy().astype('float32'))}
    files.update({k + '.npy': npy(v.astype('float32')) for k, v in best['maps'].items()})
    path = os.path.join(HERE, name + '.zip')
    write_zip(path, files)
    print(f"{name:12} {os.path.getsize(path) / 1024:5.1f} KB  onnx {len(files['model.onnx']) / 1024:.1f} KB  class {best['c']} of {best['y'].numpy().round(2).tolist()[0]}  "
          f"seed {seed}  gap {best['gap']:.1e}  at {case['grad_cam_layer']}\n  noise {best['noise']}\n  "
          + ' '.join(f'{k}: {v.sum():.3f}|{abs(v).max():.2g}' for k, v in best['maps'].items()), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--only', default='', help='comma-separated names')
    a = a.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter('ignore')
    for name in [n for n in a.only.split(',') if n] or NETS:
        make(name)


if __name__ == '__main__':
    main()
