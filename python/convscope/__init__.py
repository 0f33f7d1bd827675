"""Look inside trained ConvNets: runs convscope's scripts and returns what they show and save.

``run`` runs a script, ``verify`` checks a locked one, ``%load_ext convscope`` adds ``%%convscope`` cells to IPython. The
work is done by the program ``convscope`` in a process of its own. Importing this package imports nothing else: NumPy is
imported by the first ``run``.
"""

__all__ = ["run", "verify", "program"]


def run(script, options=None, /, **params):
    """Runs a script and returns what it saved and showed, as :class:`convscope.results.Results`: a dictionary of NumPy
    arrays, tables and pictures by name.

    ``script`` is rhai code, or the path of a ``.rhai`` or ``.ipynb`` file. Code shows the value of its last expression, unless
    it ends in ``;``. ``params`` are the values that ``param(name, default)`` returns in the script. ``options`` is a dictionary
    with any of

    - ``seed``: the seed of all random numbers;
    - ``threads``: the number of threads, on which results do not depend;
    - ``memory``: the memory that the process may use, MB;
    - ``out``: the folder for the report, the figures and what the script saves (a temporary one otherwise);
    - ``cwd``: the folder that paths in code are relative to (a file's are relative to the file).

    Raises :class:`convscope.running.ScriptError` where the script fails: its text is the diagnostic with the place, and its
    ``results`` are those up to the error. An interrupt stops the script early and raises
    :class:`convscope.running.Interrupted`, which has ``results``, too.
    """
    from .running import run

    return run(script, options, params)


def verify(lock, *, inputs=None, threads=None):
    """Runs a locked script again and compares its outputs: a :class:`convscope.running.Verdict`, true where they are the same.

    ``lock`` is a lock (``S.lock.json``), a bundle (``.zip``), a report (``report.html``), a script with its lock beside it, or a
    run's folder. ``inputs`` is a folder with the inputs that a bundle only names, or with those of a report.

    Raises :class:`convscope.running.ConvscopeError` where there is nothing to verify.
    """
    from .running import verify

    return verify(lock, inputs, threads)


def program():
    """The path of the program ``convscope``.

    Raises :class:`FileNotFoundError` where it is not installed.
    """
    from .executable import program

    return program()


def load_ipython_extension(shell):
    """``%load_ext convscope``: registers ``%%convscope`` cells."""
    from .magic import ConvscopeMagics

    shell.register_magics(ConvscopeMagics)


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("convscope")
    raise AttributeError(f"module 'convscope' has no attribute '{name}'")
