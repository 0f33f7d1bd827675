"""Exports nets to ONNX, empties their weights into recipes, and checks the result with onnxruntime."""
import io, os, tempfile, warnings
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from golden import values

INLINE = 64  # float initialisers of at most this many elements stay in model.onnx


def export(module, x, exporter, opset, dynamic, keep_bn=False):
    """The ModelProto that PyTorch's exporter writes ('torchscript' or 'dynamo')."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if exporter == 'torchscript':
            axes = {'input': {0: 'batch'}, 'output': {0: 'batch'}} if dynamic else None
            mode = torch.onnx.TrainingMode.PRESERVE if keep_bn else torch.onnx.TrainingMode.EVAL
            torch.onnx.export(module, (x,), buffer, dynamo=False, opset_version=opset, input_names=['input'], output_names=['output'],
                              dynamic_axes=axes, training=mode, do_constant_folding=not keep_bn)
            model = onnx.load_from_string(buffer.getvalue())
        else:
            shapes = ({0: torch.export.Dim('batch', min=1, max=64)},) if dynamic else None
            program = torch.onnx.export(module, (x,), dynamo=True, opset_version=opset, input_names=['input'], output_names=['output'],
                                        dynamic_shapes=shapes, verbose=False)
            model = onnx.load_from_string(program.model_proto.SerializeToString())
    strip(model)
    return model


def strip(model):
    """Drops what exporters write about the machine that ran them."""
    def bare(o):
        if 'doc_string' in o.DESCRIPTOR.fields_by_name:
            o.ClearField('doc_string')
        if 'metadata_props' in o.DESCRIPTOR.fields_by_name:
            del o.metadata_props[:]
    g = model.graph
    for o in [model, g, *g.node, *g.initializer, *g.value_info, *g.input, *g.output]:
        bare(o)
    for f in model.functions:
        for o in [f, *f.node]:
            bare(o)


def empty_weights(model, table, refill):
    """Turns every float initialiser above INLINE elements into external data; returns their recipes.

    An initialiser is traced to the recipe of its name, or to the one with the same values. One that the exporter stored
    transposed is given the recipe in its stored layout: `refill(name, array)` puts the transpose back into the module."""
    by_bytes = {}
    for name, r in table.items():
        v = values(r)
        by_bytes[v.tobytes()] = (name, False)
        if v.ndim == 2:
            by_bytes.setdefault(np.ascontiguousarray(v.T).tobytes(), (name, True))
    rows, at = [], 0
    for t in model.graph.initializer:
        n = int(np.prod(t.dims))
        if t.data_type != onnx.TensorProto.FLOAT or n <= INLINE:
            continue
        a = numpy_helper.to_array(t)
        hit = by_bytes.get(a.tobytes())
        if hit is None:
            if n <= 1024:
                continue
            raise SystemExit(f'initialiser {t.name} {list(t.dims)} is no parameter of the module')
        name, turned = hit
        r = dict(table[name], shape=list(t.dims))
        if turned:
            refill(name, np.ascontiguousarray(values(r).T))
        rows.append(dict(name=t.name, file='weights.bin', offset=at, **{k: r[k] for k in ('shape', 'seed', 'scale', 'shift')}))
        set_external(t, 'weights.bin', at, 4 * n)
        at += -(-4 * n // 64) * 64
    return rows


def set_external(t, location, offset, length):
    for field in ('raw_data', 'float_data'):
        t.ClearField(field)
    t.data_location = onnx.TensorProto.EXTERNAL
    del t.external_data[:]
    for k, v in (('location', location), ('offset', offset), ('length', length)):
        if v is not None:
            t.external_data.add(key=k, value=str(v))


def run_onnxruntime(model, weights, x):
    """What onnxruntime computes from the emptied model and the weight files that the recipes describe."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for r in weights:
            files.setdefault(r['file'], []).append(r)
        for name, rows in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with open(os.path.join(folder, name), 'wb') as f:
                for r in rows:
                    f.seek(r['offset'])
                    f.write(values(r).tobytes())
        path = os.path.join(folder, 'model.onnx')
        onnx.save(model, path)
        onnx.checker.check_model(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 2, 3
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
        return session.run(None, {session.get_inputs()[0].name: x})[0]
