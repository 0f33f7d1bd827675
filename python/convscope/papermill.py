"""Registers rhai with papermill: ``papermill -p seed 11 in.ipynb out.ipynb`` writes a cell in rhai.

papermill has no entry point for languages. It loads its engines when it is imported, so this module is one: its engine is
papermill's own, and loading it registers the translator.
"""

import json
import math
import re

from papermill.engines import NBClientEngine
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

#: `let name = value; // help`
ASSIGNED = re.compile(r"^\s*let\s+(?P<name>\w+)\s*=\s*(?P<value>.*?)\s*;\s*(?://\s*(?P<help>.*))?$")
#: `param("name", value)`
PARAM = re.compile(r'^param\(\s*"\w+"\s*,\s*(?P<value>.*)\)$')
NAME = re.compile(r"[A-Za-z_]\w*\Z")


class Engine(NBClientEngine):
    """papermill's engine, under a name of its own."""


class Rhai(Translator):
    """Writes parameters in rhai."""

    @classmethod
    def translate_none(cls, val):
        return "()"

    @classmethod
    def translate_str(cls, val):
        # rhai's escapes are JSON's, but for pairs of surrogates.
        return re.sub(r"[^\x20-\x7e]", _escaped, json.dumps(val, ensure_ascii=False))

    @classmethod
    def translate_int(cls, val):
        if not -(2**63) <= val < 2**63:
            raise ValueError(f"{val} is too large for a whole number of rhai")
        return str(val)

    @classmethod
    def translate_float(cls, val):
        if math.isfinite(val):
            return repr(val)
        return "0.0 / 0.0" if math.isnan(val) else "1.0 / 0.0" if val > 0 else "-1.0 / 0.0"

    @classmethod
    def translate_list(cls, val):
        return "[" + ", ".join(cls.translate(v) for v in val) + "]"

    @classmethod
    def translate_dict(cls, val):
        return "#{ " + ", ".join(f"{_key(k)}: {cls.translate(v)}" for k, v in val.items()) + " }" if val else "#{}"

    @classmethod
    def comment(cls, cmt_str):
        return f"// {cmt_str}"

    @classmethod
    def assign(cls, name, str_val):
        return f"let {name} = {str_val};"

    @classmethod
    def codify(cls, parameters, comment="Parameters"):
        """A variable for each parameter, and its value for `param(name, ..)` from there on."""
        lines = [cls.comment(comment)]
        for name, value in parameters.items():
            if not NAME.match(name):
                raise ValueError(f"`{name}` cannot be the name of a variable in rhai")
            lines.append(cls.assign(name, cls.translate(value)))
            if isinstance(value, (str, int, float)):
                lines.append(f'set_param("{name}", {name});')
        return "\n".join(lines) + "\n"

    @classmethod
    def inspect(cls, parameters_cell):
        """The parameters of a cell tagged so, for `papermill --help-notebook`."""
        found = []
        for line in parameters_cell.get("source", "").splitlines():
            assigned = ASSIGNED.match(line)
            if assigned:
                value = PARAM.sub(lambda param: param["value"].strip(), assigned["value"])
                found.append(Parameter(assigned["name"], "None", value, assigned["help"] or ""))
        return found


def _escaped(match):
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _key(name):
    return name if NAME.match(str(name)) else Rhai.translate_str(str(name))


papermill_translators.register("rhai", Rhai)
