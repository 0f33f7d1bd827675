"""``python -m convscope``: the program itself. The kernel is started so: it is then the one of Python's environment, whether
that is active or not."""

import os
import sys

from .executable import program


def main():
    try:
        command = [program(), *sys.argv[1:]]
    except FileNotFoundError as missing:
        sys.exit(f"error: {missing}")
    if os.name != "nt":
        # The program takes this process's place, and with it the signals that Jupyter sends.
        os.execv(command[0], command)
    import subprocess

    child = subprocess.Popen(command)
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            # Windows interrupts both; the program decides when it ends.
            continue


if __name__ == "__main__":
    main()
