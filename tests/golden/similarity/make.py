"""Makes similarity.json: how alike SciPy and scikit-image find pairs of maps (engine/tests/it/model_randomization.rs).

Run `python make.py` with scipy and scikit-image (made with scipy 1.17.1, scikit-image 0.26.0, numpy 2.4.6).
"""

import json
import os

import numpy as np
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity


def case(a, b):
    """A pair of maps; the dynamic range is the larger of the two."""
    spread = max(np.ptp(a), np.ptp(b))
    return {
        "rows": a.shape[0],
        "columns": a.shape[1],
        "a": a.ravel().tolist(),
        "b": b.ravel().tolist(),
        "spearman": spearmanr(a.ravel(), b.ravel()).statistic,
        "ssim": structural_similarity(a, b, win_size=7, data_range=spread),
    }


def cases():
    rng = np.random.default_rng(11)
    for rows, columns in [(7, 7), (9, 13), (16, 8)]:
        a = rng.integers(0, 1000, (rows, columns)) / 1000
        yield case(a, np.clip(a + rng.integers(-200, 200, a.shape) / 1000, 0, 1))
    y, x = np.mgrid[0:10, 0:10]
    # Few levels, so that most ranks are shared; negative values and another range.
    yield case((x // 3 - y // 4).astype(float), (x * y // 9 - 5).astype(float))
    yield case((x + 10 * y) / 100, 3 * (((x * 37 + y * 61) % 100) / 100) - 1)


if __name__ == "__main__":
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "similarity.json")
    with open(out, "w") as file:
        json.dump(list(cases()), file)
        file.write("\n")
