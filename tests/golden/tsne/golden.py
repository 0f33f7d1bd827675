"""Writes tsne.json: how well openTSNE keeps the neighbours of generated codes (pip install openTSNE==1.0.4).

The codes follow from integer hashes, so that the Rust test makes the same ones (engine/tests/it/embedding.rs).
Run: python3 tests/golden/tsne/golden.py
"""

import json
import os
import time

import numpy as np
import openTSNE
from sklearn.neighbors import NearestNeighbors


def uniform(index):
    """splitmix64 of each index as a number in [0, 1)."""
    with np.errstate(over="ignore"):
        z = index.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def codes(n, d):
    """Twenty overlapping clusters of rectified codes that vary along eight further directions each."""
    i, j = np.arange(n)[:, None], np.arange(d)[None, :]
    centre = 2.0 * uniform((i % 20) * 4096 + j) - 1.0
    value = centre * 0.7
    for k in range(8):
        along = 2.0 * uniform(1_000_000 + i * 8 + k) - 1.0
        axis = 2.0 * uniform(2_000_000 + k * 4096 + j) - 1.0
        value = value + along * axis
    noise = 2.0 * uniform(10_000_000 + i * 4096 + j) - 1.0
    return np.maximum(value + 0.8 * noise, 0.0).astype(np.float32)


def preserved(high, low, k=10):
    a = NearestNeighbors(n_neighbors=k).fit(high).kneighbors(return_distance=False)
    b = NearestNeighbors(n_neighbors=k).fit(low).kneighbors(return_distance=False)
    return float(np.mean([len(set(p) & set(q)) / k for p, q in zip(a, b)]))


def trustworthiness(high, low, k=10, most=1000):
    """Venna and Kaski 2001, over `most` points drawn at random."""
    n, high, low = len(high), high.astype(np.float64), low.astype(np.float64)
    some = np.random.default_rng(0).permutation(n)[:most]
    cost = 0.0
    for i in some:
        rank = np.empty(n, int)
        rank[np.argsort(np.where(np.arange(n) == i, -1.0, ((high - high[i]) ** 2).sum(1)), kind="stable")] = np.arange(n)
        near = np.argsort(np.where(np.arange(n) == i, -1.0, ((low - low[i]) ** 2).sum(1)), kind="stable")[1 : k + 1]
        cost += np.maximum(rank[near] - k, 0).sum()
    return float(1 - 2 * cost / (len(some) * k * (2 * n - 3 * k - 1)))


def main():
    out = {"made_by": f"openTSNE {openTSNE.__version__}, 2 jobs, perplexity 30, seed 0", "sets": []}
    for n, d in [(1000, 64), (5000, 512), (20000, 512)]:
        x = codes(n, d)
        start = time.time()
        y = openTSNE.TSNE(perplexity=30, n_jobs=2, random_state=0).fit(x)
        seconds = time.time() - start
        out["sets"].append({
            "n": n,
            "d": d,
            "sum": float(x.astype(np.float64).sum()),
            "preserved": round(preserved(x, np.asarray(y)), 4),
            "trustworthiness": round(trustworthiness(x, np.asarray(y)), 4),
            "kl": round(float(y.kl_divergence), 4),
        })
        print(out["sets"][-1], f"{seconds:.1f} s")
    with open(os.path.join(os.path.dirname(__file__), "tsne.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
