"""Writes linear_probe.json: what scikit-learn says of the codes of the embedded net (pip install numpy scikit-learn).

The codes are those that convscope itself writes; folds, scaling and price are those of the probe's documentation, so that only the
two classifiers differ. Compared by engine/tests/it/linear_probe.rs.
Run: python3 tests/golden/linear_probe/golden.py path/to/convscope
"""

import csv
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import sklearn
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import LinearSVC

N, SEED, FOLDS, C, K = 160, 31, 5, 10.0, 5
LAYERS = ["conv1/relu", "conv2/relu", "conv3/relu"]


def codes(convscope, folder):
    """The codes of each layer and the label of each image."""
    lines = ['let net = load_model("shapes");', f"let data = shapes(#{{ n: {N}, seed: {SEED} }});"]
    for i, layer in enumerate(LAYERS):
        lines.append(f'let c = codes(#{{ cache: false }}).run(net.layer("{layer}"), data); save(c, "{i}.npy");')
    lines.append('save(c.table, "images.csv");')
    script = os.path.join(folder, "codes.rhai")
    with open(script, "w") as f:
        f.write("\n".join(lines))
    subprocess.run([convscope, "run", "--quiet", "--out", folder, script], check=True)
    with open(os.path.join(folder, "images.csv")) as f:
        labels = [row["label"] for row in csv.DictReader(f)]
    return [np.load(os.path.join(folder, f"{i}.npy")) for i in range(len(LAYERS))], labels


def folds(labels):
    """The images of a class are dealt to the folds in turn."""
    seen, out = {}, []
    for label in labels:
        out.append(seen.get(label, 0) % FOLDS)
        seen[label] = seen.get(label, 0) + 1
    return np.array(out)


def vote(classes):
    """The most frequent class of the neighbours, nearest first; of equals the one that was met first."""
    counts = {}
    for c in classes:
        counts[c] = counts.get(c, 0) + 1
    return max(counts, key=counts.get)


def main():
    with tempfile.TemporaryDirectory() as folder:
        all_codes, labels = codes(os.path.abspath(sys.argv[1]), folder)
    names = sorted(set(labels))
    y = np.array([names.index(label) for label in labels])
    fold = folds(labels)
    out = {"made_by": f"scikit-learn {sklearn.__version__}", "n": N, "seed": SEED, "folds": FOLDS, "layers": []}
    for layer, x in zip(LAYERS, all_codes):
        x = x.astype(np.float64)
        linear, near = np.zeros(N, int), np.zeros(N, int)
        for f in range(FOLDS):
            teach, judge = fold != f, fold == f
            mean = x[teach].mean(0)
            scale = 1.0 / np.sqrt(((x[teach] - mean) ** 2).sum(1).mean())
            svm = LinearSVC(C=C, tol=1e-8, max_iter=1_000_000).fit((x[teach] - mean) * scale, y[teach])
            linear[judge] = svm.predict((x[judge] - mean) * scale)
            # Of equal votes the class of the nearest wins; scikit-learn's own vote takes the class that sorts first.
            found = NearestNeighbors(n_neighbors=K).fit(x[teach]).kneighbors(x[judge], return_distance=False)
            near[judge] = [vote(y[teach][row]) for row in found]
        out["layers"].append({
            "layer": layer,
            "linear": float((linear == y).mean()),
            "neighbours": float((near == y).mean()),
            "linear_class": linear.tolist(),
            "neighbour_class": near.tolist(),
        })
        print(layer, out["layers"][-1]["linear"], out["layers"][-1]["neighbours"])
    with open(os.path.join(os.path.dirname(__file__), "linear_probe.json"), "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
