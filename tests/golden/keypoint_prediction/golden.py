"""Writes keypoint_prediction.json: what detectors trained by scikit-learn find of the arrows' points (pip install numpy scikit-learn).

The features are those that convscope itself writes of the objects cut out by their boxes; descriptors, examples, prior and PCK are
those of the probe's documentation, written anew. All negative examples are trained on at once, where the probe mines the hard ones:
both have the same optimum. Compared by engine/tests/it/keypoint_prediction.rs.
Run: python3 tests/golden/keypoint_prediction/golden.py path/to/convscope
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import sklearn
from sklearn.svm import LinearSVC

N, SEED, FOLDS, C, ETA, SIGMA, POSITIVES, ALPHA, SIDE = 20, 21, 4, 1.0, 0.1, 0.044, 10, 0.1, 64
LAYERS, RADII, LAST = ["conv3/relu", "conv4/relu"], [0, 1], "conv5/relu"
DATA = f'shapes(#{{ n: {N}, seed: {SEED}, classes: ["arrow"], rotation: [-25, 25], clutter: 0.3 }})'


def dump(convscope, folder):
    """Each object's maps by layer, its points on the input, its scale and extent; each layer's first centre, stride and field."""
    names = json.dumps(LAYERS + [LAST])
    script = f"""
let net = load_model("shapes");
let data = {DATA};
let names = {names};
let about = [];
for i in 0..data.len() {{
    let photo = data[i];
    let b = photo.box;
    let cut = photo.crop(b).resize({SIDE}, {SIDE});
    for n in 0..names.len() {{ save(activations().run(net.layer(names[n]), cut), `${{i}}-${{n}}.npy`); }}
    let points = [];
    for name in cut.keypoints.keys() {{ points.push(`${{name}} ${{cut.keypoints[name][0]}} ${{cut.keypoints[name][1]}}`); }}
    about.push(#{{ w: b[2], h: b[3], points: points.reduce(|a, p| if a == "" {{ p }} else {{ a + ";" + p }}, "") }});
}}
save(table(about), "about.json");
"""
    path = os.path.join(folder, "dump.rhai")
    with open(path, "w") as f:
        f.write(script)
    subprocess.run([convscope, "run", "--quiet", "--out", folder, path], check=True)
    with open(os.path.join(folder, "about.json")) as f:
        table = json.load(f)
    about = [dict(zip(table["columns"], row)) for row in table["rows"]]
    maps = [[np.load(os.path.join(folder, f"{i}-{n}.npy")) for n in range(len(LAYERS) + 1)] for i in range(N)]
    return about, maps


def lattice(side, field, stride, first):
    at = first + stride * np.arange(side)
    y, x = np.meshgrid(at, at, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], 1), field, stride


def describe(maps, r):
    """Positions x values: the (2 r + 1)^2 cells about each position, row by row, zeros beyond the map."""
    c, h, w = maps.shape
    padded = np.pad(maps, ((0, 0), (r, r), (r, r)))
    cells = [padded[:, dy : dy + h, dx : dx + w] for dy in range(2 * r + 1) for dx in range(2 * r + 1)]
    return np.concatenate(cells).reshape(-1, h * w).T.astype(np.float64)


def main():
    with tempfile.TemporaryDirectory() as folder:
        about, maps = dump(os.path.abspath(sys.argv[1]), folder)
    # Receptive fields of the embedded net by hand: 7 x 7 and 3 x 3 convolutions that keep the size, 3 x 3 pools of stride 2
    # without padding.
    geometry = {}
    field, stride, first = 1, 1, 0.5
    for name, k, s, pad in [("conv1", 7, 1, 3), ("pool1", 3, 2, 0), ("conv2", 3, 1, 1), ("pool2", 3, 2, 0),
                            ("conv3", 3, 1, 1), ("conv4", 3, 1, 1)]:
        first += ((k - 1) / 2 - pad) * stride
        field += (k - 1) * stride
        stride *= s
        geometry[name] = (field, stride, first)
    points = [{p.rsplit(" ", 2)[0]: tuple(map(float, p.rsplit(" ", 2)[1:])) for p in a["points"].split(";")} for a in about]
    kinds = sorted({name for p in points for name in p})
    codes = np.stack([m[-1].ravel() for m in maps]).astype(np.float64)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    fold = np.arange(N) % FOLDS
    out = {"made_by": f"scikit-learn {sklearn.__version__}", "n": N, "seed": SEED, "folds": FOLDS, "layers": LAYERS,
           "radii": RADII, "kinds": kinds, "methods": []}
    for n, layer in enumerate(LAYERS):
        side = maps[0][n].shape[1]
        centres, field, stride = lattice(side, *geometry[layer.split("/")[0]])
        for r in RADII:
            rows = [describe(m[n], r) for m in maps]
            reach = field / 2 + r * stride
            found, hits, prior_hits = {"x": [[], []], "y": [[], []]}, [0, 0], 0
            for kind in kinds:
                for f in range(FOLDS):
                    x, y = [], []
                    for i in range(N):
                        if fold[i] == f or kind not in points[i]:
                            continue
                        apart = np.abs(centres - points[i][kind])
                        far = np.hypot(apart[:, 0], apart[:, 1])
                        order = np.argsort(far, kind="stable")
                        near, rest = order[:POSITIVES], order[POSITIVES:]
                        beyond = [p for p in rest if (apart[p] > reach).any()]
                        beyond = beyond or [p for p in rest if far[p] > 2 * far[near[-1]]]
                        x += [rows[i][near], rows[i][beyond]]
                        y += [1] * len(near) + [-1] * len(beyond)
                    x, y = np.concatenate(x), np.array(y)
                    mean = x.mean(0)
                    scale = 1 / np.sqrt(((x - mean) ** 2).sum(1).mean())
                    svm = LinearSVC(C=C, tol=1e-7, max_iter=200_000).fit((x - mean) * scale, y)
                    for i in np.flatnonzero(fold == f):
                        if kind not in points[i]:
                            continue
                        s = svm.decision_function((rows[i] - mean) * scale)
                        others = [o for o in range(N) if fold[o] != f and kind in points[o]]
                        at = points[others[int(np.argmax(codes[others] @ codes[i]))]][kind]
                        square = ((centres - at) ** 2).sum(1)
                        log = -(1 - ETA) * np.logaddexp(0, -s) - ETA * square / (2 * (SIGMA * SIDE) ** 2)
                        scale_to = np.array([about[i]["w"], about[i]["h"]]) / SIDE
                        for k, values in enumerate([s, log]):
                            p = centres[int(np.argmax(values))]
                            miss = np.hypot(*((p - points[i][kind]) * scale_to))
                            hits[k] += miss <= ALPHA * max(about[i]["w"], about[i]["h"])
                            found["x"][k].append((kind, int(i), p[0]))
                            found["y"][k].append((kind, int(i), p[1]))
                        miss = np.hypot(*((np.array(at) - points[i][kind]) * scale_to))
                        prior_hits += miss <= ALPHA * max(about[i]["w"], about[i]["h"])
            flat = {axis: [[v for *_, v in sorted(part)] for part in found[axis]] for axis in ["x", "y"]}
            total = len(flat["x"][0])
            out["methods"].append({"layer": layer, "radius": r, "pck": [h / total for h in hits], **flat})
            out["prior"] = prior_hits / total
            print(layer, r, [h / total for h in hits], prior_hits / total, flush=True)
    with open(os.path.join(os.path.dirname(__file__), "keypoint_prediction.json"), "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
