"""Runs the program in a process of its own and reads the files that it leaves."""

import json
import os
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .executable import program
from .results import Results

#: Exit codes of the program.
DONE, INTERRUPTED = 0, 130
#: The options of ``run`` that the program takes as they are.
OPTIONS = ("seed", "threads", "memory")


class ConvscopeError(Exception):
    """The program's error message: what was requested, what exists, what to do."""

    def _render_traceback_(self):
        """What IPython shows: only the message, since the traceback through this package's files does not help."""
        return [str(self)]


class ScriptError(ConvscopeError):
    """The script failed. The text is the diagnostic, as in a terminal: the message, the line, a caret under the place."""

    def __init__(self, diagnostic, results=None):
        super().__init__(diagnostic)
        #: What the script had saved and shown by then, or None where it never began.
        self.results = results


class Interrupted(KeyboardInterrupt):
    """The script was stopped by an interrupt."""

    def __init__(self, results=None):
        super().__init__("the script was stopped; `results` of this exception holds what was done")
        #: What the script had saved and shown by then.
        self.results = results

    def _render_traceback_(self):
        return [str(self)]


@dataclass(frozen=True)
class Verdict:
    """The verdict of ``verify``; true where the outputs are the same."""

    #: ``same``, ``differs``, ``input``, ``other_engine`` (the same within tolerances), ``script`` or ``tampered``.
    status: str
    #: The program's exit code.
    code: int
    #: In words.
    message: str
    #: The file or output that is to blame.
    culprit: "str | None" = None
    #: The first difference of an output.
    difference: "dict | None" = None
    #: In what the engine or the numerics are others.
    engine: list = field(default_factory=list)
    #: How many outputs were compared.
    outputs: int = 0
    #: The outputs that were compared by another rule than ``bits``: ``output``, ``rule``, and ``same_bits``.
    rules: list = field(default_factory=list)

    def __bool__(self):
        return self.status == "same"

    def __str__(self):
        culprit = f"`{self.culprit}`: " if self.culprit else ""
        return "\n  ".join([f"{self.status}: {culprit}{self.message.strip()}", *self.engine])


def run(script, options, params, called="script"):
    """As :func:`convscope.run`; messages call code ``called``."""
    options = dict(options or {})
    unknown = sorted(set(options) - {*OPTIONS, "out", "cwd"})
    if unknown:
        raise ValueError(f"no option `{unknown[0]}`; options are {', '.join(OPTIONS)}, out, cwd (parameters are keywords)")
    code, file = _source(script)
    keep = None
    if options.get("out") is None:
        # The folder lives as long as the results do.
        keep = tempfile.TemporaryDirectory(prefix="convscope-")
    out = Path(keep.name if keep else options["out"]).absolute()
    command = [program(), "run", file, "--quiet", "--arrays", "--out", str(out)]
    if code is not None:
        # As a cell does, code shows what its last expression is worth.
        command.append("--last")
    for name in OPTIONS:
        if options.get(name) is not None:
            command += [f"--{name}", str(options[name])]
    for name, value in params.items():
        command += ["--param", f"{name}={_param(name, value)}"]
    ended, printed, said = _process(command, code, options.get("cwd"))
    results = Results.read(out, printed, keep) if (out / "shown.json").is_file() else None
    if ended == DONE:
        return results
    if ended == INTERRUPTED:
        raise Interrupted(results)
    if code is not None:
        # The program calls what comes by stdin `-`.
        said = re.sub(r"(?<=\s)-(?=:\d+:\d+)", called, said)
    raise ScriptError(said.strip() or f"convscope ended with code {ended}", results)


def verify(lock, inputs, threads):
    """As :func:`convscope.verify`."""
    command = [program(), "verify", os.fspath(lock), "--json"]
    if inputs is not None:
        command += ["--inputs", os.fspath(inputs)]
    if threads is not None:
        command += ["--threads", str(threads)]
    ended, printed, said = _process(command, None, None)
    if ended == INTERRUPTED:
        raise Interrupted()
    try:
        verdict = json.loads(printed)
    except ValueError:
        raise ConvscopeError(said.strip() or f"convscope ended with code {ended}") from None
    known = Verdict.__dataclass_fields__
    return Verdict(**{name: value for name, value in verdict.items() if name in known})


def _source(script):
    """The code to send and the file to name: one of them."""
    if isinstance(script, os.PathLike):
        return None, os.fspath(script)
    if not isinstance(script, str):
        raise TypeError(f"a script is code or a path, not {type(script).__name__}")
    if "\n" not in script and script.endswith((".rhai", ".ipynb")):
        return None, script
    return script, "-"


def _param(name, value):
    """A parameter as `--param` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()  # NumPy's numbers
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TypeError(f"parameter `{name}` is {type(value).__name__}; parameters are texts, numbers, True or False")


def _process(command, stdin, cwd):
    """Runs a command to its end; its exit code, what it printed, what it said on stderr.

    An interrupt is passed on once, so that the program stops early and saves what is done; a second one ends it.
    """
    pipe = subprocess.PIPE
    # In a session of its own it gets no interrupt but the one that is passed on.
    alone = {"start_new_session": True} if os.name != "nt" else {}
    given = pipe if stdin is not None else subprocess.DEVNULL
    try:
        child = subprocess.Popen(command, cwd=cwd, stdin=given, stdout=pipe, stderr=pipe, **alone)
    except OSError as error:
        what = error.filename or command[0]
        hint = "\n  hint: the wheel may be for another kind of machine; `pip debug --verbose` lists those that fit"
        message = f"error: `{what}` cannot be used: {error.strerror}{hint if what == command[0] else ''}"
        raise ConvscopeError(message) from None
    text = stdin.encode() if stdin is not None else None
    interrupted = False
    while True:
        try:
            printed, said = child.communicate(text)
            break
        except KeyboardInterrupt:
            if interrupted:
                child.kill()
            elif os.name != "nt":
                child.send_signal(signal.SIGINT)
            interrupted, text = True, None
    code = INTERRUPTED if interrupted else child.returncode
    return code, printed.decode(errors="replace"), said.decode(errors="replace")
