"""One-operator ONNX models, their inputs, and what onnxruntime makes of them."""
import dataclasses

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

CASES = {}
IR = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}


@dataclasses.dataclass
class Case:
    name: str
    model: onnx.ModelProto
    x: np.ndarray
    refused: str | None  # part of the message, where convscope refuses the model
    y: np.ndarray | None  # what is right, where onnxruntime is not what counts
    why: str  # the reason


def noise(shape, seed, low=-2.0, high=2.0):
    """Odd multiples of 1/128 between two bounds, the same on every machine: sums and products of them are exact and small."""
    n = int(np.prod(shape))
    r = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed) * np.uint64(40503)) % np.uint64(2**32)
    r = (r * np.uint64(2246822519)) % np.uint64(2**32)
    unit = (r ^ (r >> np.uint64(13))).astype(np.float64) % 65536 / 65536
    return ((2 * np.floor((low + (high - low) * unit) * 64) + 1) / 128).astype(np.float32).reshape(shape)


class Graph:
    """Nodes and constants of one model."""

    def __init__(self, opset):
        self.opset, self.nodes, self.constants, self.functions, self.n = opset, [], [], [], 0

    def const(self, value, dtype=None):
        """The name of an initialiser; floats are f32, Python's whole numbers int64."""
        a = np.asarray(value)
        whole = a.dtype if hasattr(value, 'dtype') else np.int64
        a = a.astype(dtype or (np.float32 if a.dtype.kind == 'f' else whole if a.dtype.kind in 'iu' else a.dtype))
        self.n += 1
        self.constants.append(numpy_helper.from_array(a, f'c{self.n}'))
        return f'c{self.n}'

    def node(self, op, *inputs, out=1, name=None, domain='', **attributes):
        """The names of a node's outputs; an input may be a name or a constant's value."""
        names = [i if isinstance(i, str) else '' if i is None else self.const(i) for i in inputs]
        self.n += 1
        outs = [name] if name else [f'v{self.n}' + (f'_{i}' if out > 1 else '') for i in range(out)]
        self.nodes.append(helper.make_node(op, names, outs, domain=domain, **{k: v for k, v in attributes.items() if v is not None}))
        return outs[0] if out == 1 else outs


def case(name, opset, build, shape=(2, 3, 6, 5), x=None, refused=None, fixed=False, y=None, why='', seed=None):
    """Adds a case: build(g, 'x') adds nodes to the Graph g and returns the name of the output."""
    assert name not in CASES, name
    x = noise(shape, seed or 1 + len(CASES)) if x is None else np.asarray(x, np.float32)
    g = Graph(opset)
    rename = {build(g, 'x'): 'y'}
    for node in g.nodes:
        node.output[:] = [rename.get(o, o) for o in node.output]
        node.input[:] = [rename.get(i, i) for i in node.input]
    batch = x.shape[0] if fixed else 'N'
    info = helper.make_tensor_value_info
    graph = helper.make_graph(g.nodes, 'g', [info('x', TensorProto.FLOAT, [batch, *x.shape[1:]])], [info('y', TensorProto.FLOAT, None)], g.constants)
    domains = ['com.microsoft', 'own'] if any(n.domain for n in g.nodes) else []
    opsets = [helper.make_opsetid('', opset), *[helper.make_opsetid(d, 1) for d in domains]]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR[opset], producer_name='', functions=g.functions)
    CASES[name] = Case(name, model, x, refused, y if y is None else np.asarray(y, np.float32), why)


def one(name, op, opset, *inputs, out=1, pick=0, **told):
    """A case of a single node over x and constant `inputs`; what is no option of `case` is an attribute."""
    options = {k: told.pop(k) for k in ('shape', 'x', 'refused', 'fixed', 'y', 'why', 'seed') if k in told}

    def build(g, x):
        made = g.node(op, x, *inputs, out=out, **told)
        return made if out == 1 else made[pick]
    case(name, opset, build, **options)


def answer(c):
    """(what computed it, its output or None, the error)"""
    if c.y is not None:
        return c.why, c.y, ''
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(c.model.SerializeToString(), options, providers=['CPUExecutionProvider'])
        y = session.run(None, {'x': c.x})[0]
        return 'onnxruntime', y if y.size else None, 'an empty result'
    except Exception as e:
        first = str(e).replace('\n', ' ')
    return 'onnxruntime', None, first
