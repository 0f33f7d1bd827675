"""Writes docs/correspondence.md: runs docs/correspondence.rhai by the built convscope and sets its tables as Markdown.

Run: cargo build --release && python3 docs/correspondence.py
"""

import csv
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
HEAD = """# Points found again under known warps

How precisely does a feature locate a point? (Long, Zhang, Darrell, "Do Convnets Learn Correspondence?", 2014.) Random points of each
image are searched for in a changed copy: rotated by 15 degrees, enlarged by 1.25, or lit from the right (a gain of 0.3 at the left
border, 1.4 at the right) with a colour cast. A layer's feature at a point (bilinear between positions) is compared with all positions
of the copy by cosine distance; the best position is refined by a parabola. Raw patches and HOG (as in SIFT) are computed at the first
layer's positions. PCK@a is the share of points found within a times the longer side of the object's box (for photos, of the image).
Errors are medians, in pixels of the net's input and in receptive fields.

In all layers but the first, localisation is much finer than the receptive field. Raw patches do well where only the geometry changes a
little, and are far worse than the middle layers where the light changes. HOG, which was designed for that, is best on the small
shapes; on photos the deeper layers are best under rotation and under the change of light.

Made by `python3 docs/correspondence.py`.
"""
SECTIONS = [
    ("shapes.csv", "Sixty generated shapes, the embedded net (64 px)"),
    ("photos.csv", "Twenty ImageNet photos, SqueezeNet 1.1 (227 px)"),
]


def cell(text):
    try:
        return f"{float(text):.3f}".rstrip("0").rstrip(".")
    except ValueError:
        return text


def main():
    page = HEAD
    with tempfile.TemporaryDirectory() as out:
        binary = HERE.parent / "target" / "release" / "convscope"
        subprocess.run([binary, "run", "--quiet", "--out", out, HERE / "correspondence.rhai"], check=True)
        for name, title in SECTIONS:
            with open(pathlib.Path(out) / name, newline="") as f:
                rows = list(csv.reader(f))
            lines = [rows[0], ["---"] * len(rows[0])] + [[cell(c) for c in row] for row in rows[1:]]
            page += f"\n## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (HERE / "correspondence.md").write_text(page)


main()
