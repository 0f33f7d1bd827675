"""Makes suppression.zip: detectors that end in NonMaxSuppression, and the boxes that onnxruntime chooses.

    pip install -r ../zoo/requirements.txt
    python make.py

A model takes `x` (1 x 1 x candidates x numbers), slices boxes and scores out of it, and gives what NonMaxSuppression chooses and,
behind it, the chosen boxes. `cases.json` lists, a model a row: its input, and the rows (class, candidate) chosen. `NAME.onnx` and
`NAME.npy` hold models and inputs.
"""
import json, os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

import golden


def model(n, classes, center, most, iou, score, producer):
    constant = lambda name, v, kind: numpy_helper.from_array(np.array(v, kind), name)
    held = [constant('to', [1, n, 4 + classes], np.int64), constant('zero', [0], np.int64), constant('four', [4], np.int64), constant('end', [4 + classes], np.int64), constant('axis', [2], np.int64), constant('last', [2], np.int64), constant('side', 32.0, np.float32)]
    told = ['boxes', 'scores']
    for name, v, kind in (('most', most, np.int64), ('iou', iou, np.float32), ('score', score, np.float32)):
        told.append(name if v is not None else '')
        held += [constant(name, [v], kind)] if v is not None else []
    nodes = [
        helper.make_node('Reshape', ['x', 'to'], ['flat']),
        helper.make_node('Slice', ['flat', 'zero', 'four', 'axis'], ['parts']), helper.make_node('Mul', ['parts', 'side'], ['boxes']),
        helper.make_node('Slice', ['flat', 'four', 'end', 'axis'], ['columns']), helper.make_node('Transpose', ['columns'], ['scores'], perm=[0, 2, 1]),
        helper.make_node('NonMaxSuppression', told, ['chosen'], name='nms', center_point_box=center),
        helper.make_node('Gather', ['chosen', 'last'], ['which'], axis=1), helper.make_node('Squeeze', ['which', 'minor'], ['numbers']),
        helper.make_node('Gather', ['boxes', 'numbers'], ['kept'], axis=1)]
    held.append(constant('minor', [1], np.int64))
    info = helper.make_tensor_value_info
    outputs = [info('chosen', TensorProto.INT64, None), info('kept', TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, 'g', [info('x', TensorProto.FLOAT, [1, 1, n, 4 + classes])], outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=7, producer_name=producer)


def main():
    files, rows = {}, []
    cases = [(40, 3, 0, 10, 0.5, 0.4, ''), (40, 1, 0, 3, 0.3, None, ''), (60, 5, 1, 4, 0.45, 0.6, ''), (50, 2, 0, 50, 0.2, 0.5, 'pytorch'), (30, 4, 0, 5, None, 0.3, '')]
    for i, (n, classes, center, most, iou, score, producer) in enumerate(cases):
        noise = golden.values(dict(shape=[n, 4 + classes], seed=300 + i, scale=0.5, shift=0.5))
        # A few clusters of boxes that overlap.
        at, size = noise[:, :2] * 0.15 + (np.arange(n)[:, None] % 6) / 7 + 0.05, noise[:, 2:4] * 0.2 + 0.15
        corners = np.concatenate([at + size / 2, size] if center else [at, at + size], 1)
        x = np.concatenate([corners, noise[:, 4:]], 1).astype(np.float32)[None, None]
        m = model(n, classes, center, most, iou, score, producer)
        session = onnxruntime.InferenceSession(m.SerializeToString(), providers=['CPUExecutionProvider'])
        chosen = session.run(None, {'x': x})[0]
        files |= {f'{i}.onnx': m.SerializeToString(deterministic=True), f'{i}.npy': golden.npy(x)}
        rows.append(dict(classes=classes, chosen=sorted([int(c), int(b)] for _, c, b in chosen), yx=not center and producer == '', center=center))
        print(i, len(chosen), 'of', n * classes)
    golden.write_zip(os.path.join(HERE, 'suppression.zip'), dict(files, **{'cases.json': json.dumps(rows).encode()}))


if __name__ == '__main__':
    main()
