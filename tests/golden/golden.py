"""What the generators in this folder share: the weight formula, calibration of random nets, and case files.

Weights are too big to commit, so every tensor is defined by a formula that NumPy here and Rust in the tests compute to
the same bit. A tensor with `seed`, `scale` and `shift` has, at flat (row-major) index i,

    mix(z)  = z ^= z >> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >> 27; z *= 0x94D049BB133111EB; z ^= z >> 31    (u64, wrapping)
    r       = mix(mix(seed) + (i + 1) * 0x9E3779B97F4A7C15) >> 40                                          (24 bits)
    value   = f32(scale * (r / 2^24 * 2 - 1) + shift)                                                      (f64, one rounding to f32)

(SplitMix64, Steele, Lea and Flood 2014; one stream a tensor.) Scales have few digits, so JSON carries them exactly.
"""
import io, json, math, zipfile
import numpy as np
import torch
from torch import nn

GOLDEN = 0x9E3779B97F4A7C15
U64 = 2**64 - 1
SAMPLE = 1000  # values kept of a gradient that is longer


def mix_int(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64
    return z ^ (z >> 31)


def values(recipe):
    """The f32 array that a recipe (a dict with shape, seed, scale, shift) stands for."""
    n = math.prod(recipe['shape'])
    out, start = np.empty(n, np.float32), np.uint64(mix_int(recipe['seed']))
    for at in range(0, n, 1 << 21):
        i = np.arange(at + 1, min(at + (1 << 21), n) + 1, dtype=np.uint64)
        z = i * np.uint64(GOLDEN) + start
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(31))) >> np.uint64(40)
        unit = z.astype(np.float64) / 2.0**24 * 2.0 - 1.0
        out[at:at + len(i)] = recipe['scale'] * unit + recipe['shift']
    return out.reshape(recipe['shape'])


def short(v):
    """v with three significant digits: robust against the last bits of whatever computed it."""
    return float(f'{v:.3g}')


def he_uniform(shape):
    """The scale of a uniform weight that keeps the variance through a ReLU (He et al. 2015)."""
    return short(math.sqrt(6 / max(1, math.prod(shape[1:]))))


def recipes(module):
    """A recipe for every float tensor of a module's state_dict, by name; seeds count from 1 in the state_dict's order.
    A tensor that two names share has one recipe."""
    owner = {f'{m}.{k}'.lstrip('.'): mod for m, mod in module.named_modules(remove_duplicate=False) for k in mod.state_dict() if '.' not in k}
    out, seen = {}, {}
    for seed, (name, t) in enumerate(module.state_dict().items(), 1):
        if not t.is_floating_point():
            continue
        if t.data_ptr() in seen:
            out[name] = seen[t.data_ptr()]
            continue
        mod, leaf = owner[name], name.rsplit('.', 1)[-1]
        if leaf == 'running_var':
            scale, shift = 0.5, 1.0
        elif leaf == 'running_mean' or leaf == 'bias':
            scale, shift = 0.1, 0.0
        elif leaf == 'layer_scale':
            scale, shift = 0.25, 0.5
        elif isinstance(mod, nn.PReLU):
            scale, shift = 0.2, 0.25
        elif t.dim() > 1:
            scale, shift = he_uniform(t.shape), 0.0
        else:
            scale, shift = 0.25, 1.0
        out[name] = seen[t.data_ptr()] = dict(name=name, shape=list(t.shape), seed=seed, scale=scale, shift=shift)
    return out


def fill(module, table):
    """Writes the recipes' values into the module (in its own dtype)."""
    state = module.state_dict()
    with torch.no_grad():
        for name, r in table.items():
            state[name].copy_(torch.from_numpy(values(r)))


def calibrate(module, table, x):
    """Rescales the recipes of convolutions and linear layers, in the order they run, so that each one's output has a
    standard deviation near 1 on x (Mishkin and Matas 2015), and fills the module. Keeps deep random nets alive."""
    fill(module, table)
    names = {m: n for n, m in module.named_modules()}

    def rescale(mod, args, y):
        r = table.get(names[mod] + '.weight')
        std = float(y.std()) if y.numel() > 1 else 0.0
        if r is None or r.get('done') or not std > 1e-6:
            return None
        r['scale'], r['done'] = short(r['scale'] / std), True
        with torch.no_grad():
            mod.weight.copy_(torch.from_numpy(values(r)))
        return mod.forward(*args)

    hooks = [m.register_forward_hook(rescale) for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d))]
    with torch.no_grad():
        module(x)
    for h in hooks:
        h.remove()
    for r in table.values():
        r.pop('done', None)


def input_recipe(shape, seed):
    return dict(shape=list(shape), seed=1_000_000 + seed, scale=1.5, shift=0.0)


def score_gradient(f, x, target=None):
    """(output, target, d sum over the batch of output[:, target] / dx); the target defaults to the first image's top class."""
    x = x.clone().requires_grad_(True)
    y = f(x)
    if target is None:
        target = int(y[0].argmax())
    (g,) = torch.autograd.grad(y[:, target].sum(), x)
    return y.detach(), target, g


def worst(a, b):
    """max|a - b| / max|b|"""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def reference(f32, f64, shape, limit=2e-5, tries=12):
    """Output and input gradient in f64, at the first input where PyTorch's own f32 gradient agrees with it within
    `limit` (elsewhere a ReLU or a pool sits so close to its kink that f32 decides it by rounding)."""
    best = None
    for seed in range(tries):
        r = input_recipe(shape, seed)
        x = torch.from_numpy(values(r))
        y, c, g = score_gradient(f64, x.double())
        y1, _, g1 = score_gradient(f32, x, c)
        noise = dict(output=short(worst(y1, y)), gradient=short(worst(g1, g)))
        if best is None or noise['gradient'] < best['noise']['gradient']:
            best = dict(input=r, target=c, output=y.numpy().astype(np.float32), gradient=g.numpy(), noise=noise)
        if noise['gradient'] <= limit and noise['output'] <= limit:
            break
    return best


def prime_at_least(n):
    while n > 1 and any(n % d == 0 for d in range(2, math.isqrt(n) + 1)):
        n += 1
    return max(n, 1)


def sampled(g):
    """(what case.json says of a gradient, the values kept): all, or every stride-th of the flat array, stride a prime."""
    stride = 1 if g.size <= 2 * SAMPLE else prime_at_least(g.size // SAMPLE)
    told = dict(shape=list(g.shape), stride=stride, max_abs=float(f'{np.abs(g).max():.9g}'), l2=float(f'{np.sqrt((g.astype(np.float64) ** 2).sum()):.9g}'))
    return told, g.reshape(-1)[::stride].astype(np.float32)


def npy(a):
    b = io.BytesIO()
    np.save(b, np.ascontiguousarray(a))
    return b.getvalue()


def write_zip(path, files):
    """A zip whose bytes depend on its contents only."""
    with zipfile.ZipFile(path, 'w') as z:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            z.writestr(info, data, compresslevel=9)


def to_json(case):
    """JSON with one weight a line."""
    rows = case.pop('weights')
    head = json.dumps(case, indent=1)[:-2]
    return (head + ',\n "weights": [\n' + ',\n'.join('  ' + json.dumps(r) for r in rows) + '\n ]\n}\n').encode()
