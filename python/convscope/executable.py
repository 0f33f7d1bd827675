"""Finds the program ``convscope`` that the wheel installed."""

import os
import shutil
import sys
import sysconfig

NAME = "convscope.exe" if os.name == "nt" else "convscope"


def program():
    """The path of the program ``convscope``: the one that was installed with this package, else the one on the path.

    Raises :class:`FileNotFoundError` where there is none.
    """
    for folder in _folders():
        path = os.path.join(folder, NAME)
        if os.path.isfile(path):
            return path
    found = shutil.which(NAME)
    if found:
        return found
    raise FileNotFoundError(
        "the program `convscope` is not installed in this environment; install the wheel again: "
        f"{sys.executable} -m pip install --force-reinstall convscope"
    )


def _folders():
    """Where pip puts programs: for the environment, for the user, and beside packages in a folder of their own (--target)."""
    yield sysconfig.get_path("scripts")
    yield sysconfig.get_path("scripts", "nt_user" if os.name == "nt" else "posix_user")
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin")
