"""Makes tests/golden/quirks/*.zip: ONNX models of one operator each, their inputs, and what onnxruntime computes.

    pip install -r ../zoo/requirements.txt
    python make.py [MODULE ..]

README.md describes the files.
"""
import json, os, sys, zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import numpy as np

from model import CASES, answer

MODULES = ('pointwise', 'windows', 'norms', 'shapes', 'resizes', 'geometries', 'layers', 'places')


def write(module, names):
    rows, models, values = [], b'', []

    def put(a):
        values.append(np.ascontiguousarray(a, '<f4').reshape(-1))
        return dict(shape=list(a.shape), at=sum(v.size for v in values[:-1]))
    for name in names:
        c = CASES[name]
        by, y, error = answer(c)
        if y is None and not c.refused:
            raise SystemExit(f'{name}: onnxruntime: {error}')
        if y is not None and y.dtype != np.float32:
            raise SystemExit(f'{name}: a result of {y.dtype}')
        model = c.model.SerializeToString(deterministic=True)
        row = dict(name=name, model=[len(models), len(model)], x=put(c.x))
        models += model
        rows.append(dict(row, refused=c.refused) if c.refused else dict(row, y=put(y), by=by))
    path = os.path.join(HERE, module + '.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for name, data in [('cases.json', json.dumps(rows, indent=0).encode()), ('models.bin', models), ('values.bin', np.concatenate(values).tobytes())]:
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    refused = sum(bool(CASES[n].refused) for n in names)
    print(f'{module:12} {len(names):4} models, {refused:3} refused, {os.path.getsize(path) / 1024:6.1f} KB')


def main(wanted):
    for module in MODULES:
        before = set(CASES)
        __import__(module)
        if not wanted or module in wanted:
            write(module, [n for n in CASES if n not in before])


if __name__ == '__main__':
    main(sys.argv[1:])
