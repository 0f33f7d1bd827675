"""The wheel in the hands of those who install it. pytest runs in the environment that Jupyter and the wheel are installed in;
CONVSCOPE_WHEEL is the wheel, CONVSCOPE_TEST_KEEP a folder for screenshots. Run by tests/it/wheel.rs."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel():
    return pathlib.Path(os.environ["CONVSCOPE_WHEEL"])


@pytest.fixture(scope="session")
def bare():
    """The environment of somebody who has neither Rust nor an active environment."""
    names = ("HOME", "LANG", "TMPDIR", "SYSTEMROOT", "PIP_CACHE_DIR", "PIP_INDEX_URL", "PIP_CONFIG_FILE")
    kept = {name: v for name, v in os.environ.items() if name in names or name.startswith(("JUPYTER_", "CONVSCOPE_"))}
    return {**kept, "PATH": "/usr/bin:/bin", "PYTHONNOUSERSITE": "1"}


@pytest.fixture(scope="session")
def fresh(wheel, bare, tmp_path_factory):
    """A new virtual environment with nothing but the wheel and what it depends on; how long pip took is said."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    begun = time.monotonic()
    pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", ROOT / "tests/env/requirements.txt", wheel], check=True, env=bare)
    print(f"pip install took {time.monotonic() - begun:.1f} s")
    return folder


@pytest.fixture(scope="session")
def colours():
    return ROOT / "tests/wheel/colours.ipynb"
