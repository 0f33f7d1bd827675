"""``%%convscope``: a cell of an IPython notebook as a script of convscope."""

import sys
from pathlib import Path

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import HTML, display

from .running import Interrupted, ScriptError, run


@magics_class
class ConvscopeMagics(Magics):
    """The magics of convscope."""

    @magic_arguments()
    @argument("words", nargs="*", help="NAME: the variable that gets the results; param=value: the value that `param` returns")
    @argument("--seed", type=int, help="the seed of all random numbers")
    @argument("--threads", type=int, help="the number of threads; results do not depend on it")
    @argument("--memory", type=int, help="the memory that the process may use, MB")
    @argument("--out", help="the folder for the report, the figures and what the script saves")
    @cell_magic
    def convscope(self, line, cell):
        """Runs the cell as a script and shows what it shows.

        Each cell is a script of its own: variables do not pass from one to the next. ``%%convscope seen patch=16`` puts the
        results, a dictionary of arrays, tables and pictures, into ``seen``.
        """
        arguments = parse_argstring(self.convscope, line)
        name, params = _words(arguments.words)
        names = ("seed", "threads", "memory", "out")
        options = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
        results = None
        try:
            # The magic's own line counts, as it does in the front end.
            results = run("\n" + cell, {**options, "cwd": Path.cwd()}, params, "cell")
        except (ScriptError, Interrupted) as ended:
            results = ended.results
            raise
        finally:
            if results is not None:
                _show(results)
                if name:
                    self.shell.user_ns[name] = results


def _words(words):
    name, params = None, {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key.isidentifier() or (name is not None and not equals):
            raise UsageError(f"%%convscope takes the name of a variable and param=value, not `{word}`")
        if equals:
            params[key] = value
        else:
            name = key
    return name, params


def _show(results):
    sys.stdout.write(results.printed)
    for shown in results.shown:
        if isinstance(shown, str):
            print(shown)
        elif shown.picture is not None:
            display(shown.picture)
        else:
            display(HTML(shown._repr_html_()))
