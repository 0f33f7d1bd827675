"""Makes tests/golden/checkpoints/files.zip: small files as torch.save and pickle write them, good and bad.

    pip install -r ../weights/requirements.txt
    python make.py

`values.json` in the zip gives every good file's tensors: [shape, values] by name. Bytes differ from run to run: the older
format names storages by their address.
"""
import collections, io, json, os, pickle, sys, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import numpy as np
import torch

from golden import write_zip


def saved(what, **options):
    b = io.BytesIO()
    torch.save(what, b, **options)
    return b.getvalue()


def without_debug(script):
    """A TorchScript archive without its debug files, which hold the paths of the machine."""
    b = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(script)) as old, zipfile.ZipFile(b, 'w') as new:
        for name in old.namelist():
            if not name.endswith('debug_pkl'):
                new.writestr(zipfile.ZipInfo(name), old.read(name))
    return b.getvalue()


def main():
    base = torch.arange(24, dtype=torch.float32) / 8 - 1
    state = collections.OrderedDict(
        plain=base.reshape(2, 3, 4),
        transposed=base.reshape(2, 3, 4).permute(2, 0, 1),
        row=base.reshape(2, 3, 4)[1, :, 2],
        half=base[:6].half().reshape(2, 3),
        bfloat=base[:4].bfloat16(),
        double=base[:3].double(),
        parameter=torch.nn.Parameter(base[3:5].clone()),
        number=torch.tensor(2.5),
        num_batches_tracked=torch.tensor(7),
    )
    whole = torch.nn.Sequential(torch.nn.Linear(2, 2))
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(whole), script)
    wrapped = {'epoch': 3, 'optimizer': {'lr': 0.1, 'momentum': [base[:2].clone()]}, 'arch': None,
               'state_dict': collections.OrderedDict(('module.' + k, v) for k, v in state.items())}
    arrays = {'a': [base.reshape(2, 3, 4).numpy(), np.asfortranarray(base[:6].reshape(2, 3).numpy())], 'b': base[:3].numpy()}
    files = {
        'plain.pth': saved(state),
        'wrapped.pth': saved(wrapped),
        'protocol_4.pth': saved(state, pickle_protocol=4),
        'legacy.pth': saved(state, _use_new_zipfile_serialization=False),
        'legacy_wrapped.pth': saved(wrapped, _use_new_zipfile_serialization=False),
        'whole_module.pth': saved(whole),
        'whole_module_nested.pth': saved({'model': whole}),
        'script.pt': without_debug(script.getvalue()),
        'empty.pth': saved({}),
        'no_state_dict.pth': saved({'epoch': 3, 'loss': 0.5}),
        'tensor.pth': saved(base),
        'arrays_3.pkl': pickle.dumps(arrays, 3),
        'arrays_4.pkl': pickle.dumps(arrays, 4),
        'values.json': json.dumps({k: [list(v.shape), v.detach().double().reshape(-1).tolist()] for k, v in state.items()}).encode(),
    }
    write_zip(os.path.join(HERE, 'files.zip'), files)


if __name__ == '__main__':
    main()
