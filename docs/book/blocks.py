"""The code of the book's pages, run by the built program: what preprocess.py and figures.py share.

Code runs in a folder on which the files lie that it reads (stage.rhai makes them).
"""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The width of screens that get narrow figures, px.
NARROW = 620


def program():
    """The program: what CONVSCOPE names, else the release build, else the one on the PATH."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [os.environ.get("CONVSCOPE"), ROOT / target / "release/convscope", shutil.which("convscope")]
    for path in built:
        if path and Path(path).is_file():
            return str(Path(path).resolve())
    raise SystemExit("no convscope: build it with `cargo build --release`, or name it by CONVSCOPE")


def said(command, **options):
    """What a command writes; where it ends with an error, so does this, with its message."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def fetches(code):
    """Whether code fetches nets or photos."""
    return any(word in code for word in ("sample_image", "squeezenet1_1", "efficientnet_lite0"))


def stage(folder):
    """Lays out the files that the pages' code reads."""
    for net in (ROOT / "scripts/nets").iterdir():
        if net.suffix in (".onnx", ".txt", ".wav", ".gz"):
            shutil.copy(net, folder)
    shutil.copy(folder / "vit.onnx", folder / "net.onnx")
    said([program(), "run", "--quiet", "--out", folder, HERE / "stage.rhai"])


def run(code, folder, out="out"):
    """Runs code in the folder; the figures that it showed, in order, from the folder `out` in it."""
    script = folder / "code.rhai"
    script.write_text(code)
    shutil.rmtree(folder / out, ignore_errors=True)
    said([program(), "run", "--quiet", "--out", folder / out, script])
    return sorted((folder / out / "figures").glob("*.png"))
