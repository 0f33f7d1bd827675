"""Makes tests/golden/checkpoints/forms.zip: small checkpoints in the forms that training code leaves, as torch.save writes them.

    pip install -r ../weights/requirements.txt
    python make_forms.py

`values.json` in the zip gives the tensors that each should be read as: [shape, values] by name, by file. Made with PyTorch 2.15.
"""
import collections, io, json, os, sys, tempfile, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import torch

from golden import write_zip


def saved(what, stem='net'):
    """torch.save to a file of that stem, which is the folder within the archive."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, stem + '.pth')
        torch.save(what, path)
        with open(path, 'rb') as file:
            return file.read()


def packed(archive):
    """The same archive with its entries deflated, as zip tools write it."""
    b = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)
    return b.getvalue()


def state(factor=1.0, front=''):
    base = torch.arange(12, dtype=torch.float32) / 8 - 1
    return collections.OrderedDict([(front + 'a.weight', factor * base.reshape(3, 4)), (front + 'b.bias', factor * base[:2])])


def main():
    plain = state()
    halves = collections.OrderedDict()
    exact = torch.linspace(-3, 3, 7) / 3
    halves['half'], halves['bfloat'] = exact.half(), exact.bfloat16()
    signs = collections.OrderedDict()
    signs['negated'] = torch._neg_view(exact)
    signs['imaginary'] = torch.complex(exact, exact + 1).conj().imag
    signs['transposed'] = torch._neg_view(exact[:6].reshape(2, 3)).t()
    cases = {
        'stem_20.pth': (saved(plain, 'n' * 20), plain),
        'stem_21.pth': (saved(plain, 'efficientnet_b0_final'), plain),
        'stem_22.pth': (saved(plain, 'n' * 22), plain),
        'deflated.pth': (packed(saved(plain)), plain),
        'signs.pth': (saved(signs), signs),
        'halves.pth': (saved(halves), halves),
        'ema.pth': (saved({'state_dict_ema': state(2), 'state_dict': plain, 'epoch': 3}), plain),
        'only_ema.pth': (saved({'epoch': 3, 'model_ema': state(2)}), state(2)),
        'network.pth': (saved({'network': plain}), plain),
        'params.pth': (saved({'params': plain}), plain),
        'twice.pth': (saved({'model': {'state_dict': plain, 'epoch': 3}}), plain),
        'teacher.pth': (saved({'student': state(2, 'module.'), 'teacher': state(1, 'module.')}), plain),
        'beside.pth': (saved({'best_acc1': torch.tensor(0.9), 'state_dict': plain}), plain),
        'compiled.pth': (saved({'model': state(1, '_orig_mod.module.')}), plain),
        'unknown_key.pth': (saved({'resnet': plain, 'optimizer': {'state': {0: {'step': torch.tensor(3.0)}}}}), plain),
    }
    files = {name: archive for name, (archive, _) in cases.items()}
    values = {
        name: {k: [list(v.shape), v.detach().double().resolve_neg().reshape(-1).tolist()] for k, v in tensors.items()}
        for name, (_, tensors) in cases.items()
    }
    files['values.json'] = json.dumps(values).encode()
    write_zip(os.path.join(HERE, 'forms.zip'), files)


if __name__ == '__main__':
    main()
