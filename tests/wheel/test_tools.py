"""Tools around notebooks, in an environment with Jupyter and the wheel: nbconvert, papermill, the cell magic, Quarto's cells."""

import json
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import nbformat
import pygments
import pytest
from conftest import ROOT
from jupyter_client.manager import start_new_kernel
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Error, Keyword, Number, String

PYTHON = sys.executable


def scripts():
    return sorted([*ROOT.glob("scripts/*.rhai"), *ROOT.glob("tests/lang/ok/*.rhai")])


def test_the_lexer_knows_every_script():
    lexer = get_lexer_by_name("rhai")
    assert type(get_lexer_for_filename("a.rhai")) is type(lexer)
    assert len(scripts()) > 30
    for script in scripts():
        text = script.read_text()
        tokens = list(pygments.lex(text, lexer))
        assert "".join(value for _, value in tokens).rstrip("\n") == text.rstrip("\n"), script
        assert not [value for kind, value in tokens if kind in Error], script


@pytest.mark.parametrize(
    "code, kind, text",
    [
        ("/* a /* b */ c */ 1", Comment.Multiline, "/* a /* b */ c */"),
        ("/// says what\nlet a = 1;", String.Doc, "/// says what"),
        ("`a ${f(`b ${1}`)} c`", String.Backtick, "`a `b ` c`"),
        ("`a ${#{ b: 1 }} c`", String.Interpol, "${}"),
        ("1..5", Number.Integer, "15"),
        ("0xff + 1_0.5e-3", Number.Float, "1_0.5e-3"),
        (r'"a \" b" + 1', String, r'"a \" b"'),
        ('#"a " b"#', String, '#"a " b"#'),
        ("let x = a.let_it + true;", Keyword, "lettrue"),
    ],
)
def test_words_are_told_apart(code, kind, text):
    tokens = pygments.lex(code, get_lexer_by_name("rhai"))
    assert "".join(value for found, value in tokens if found in kind) == text


def test_cells_in_rust_are_coloured_as_rust():
    tokens = list(pygments.lex("%%rust -i a\nlet mut x: u8 = 1;\n", get_lexer_by_name("rhai")))
    assert tokens[0] == (Comment.Preproc, "%%rust -i a")
    assert any(kind in Keyword and value == "mut" for kind, value in tokens)


def test_both_colourings_agree():
    """The lexer and CodeMirror's, written apart, on every script: character by character, text, comment, number or keyword."""
    if not shutil.which("node"):
        pytest.skip("there is no node")
    lexer = get_lexer_by_name("rhai")
    files = scripts()
    command = ["node", ROOT / "tests/wheel/tokens.mjs", *files]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for script, marks in zip(files, theirs):
        text = script.read_text()
        ours = ""
        for kind, value in pygments.lex(text, lexer):
            # Doc comments are texts to Pygments; `${` and `}` belong to no text for CodeMirror.
            classes = [(String.Doc, "c"), (String.Interpol, "."), (String, "s"), (Comment, "c"), (Number, "n"), (Keyword, "k")]
            ours += next((mark for token, mark in classes if kind in token), ".") * len(value)
        assert len(ours) == len(marks), script
        for i, (mine, other) in enumerate(zip(ours, marks)):
            line = text.count("\n", 0, i) + 1
            assert mine == other or text[i].isspace(), f"{script.name}:{line}: {text[max(0, i - 20) : i + 20]!r}"


def test_all_colourings_know_the_same_words():
    script = (ROOT / "python/labextension/rhai.js").read_text()
    ours = set("".join(re.findall(r'"([a-z ]+)"', script.split("const KEYWORDS")[1].split(");")[0])).split())
    syntax = ElementTree.parse(ROOT / "python/convscope/rhai.xml")
    theirs = {item.text for item in syntax.iter("item")} - {"true", "false", "this"}
    assert ours == theirs and len(ours) > 20
    for word in ours:
        ((kind, _), *_) = pygments.lex(f"{word} x", get_lexer_by_name("rhai"))
        assert kind in Keyword, word


@pytest.mark.skipif(not shutil.which("pandoc"), reason="there is no pandoc")
def test_pandoc_colours_with_the_syntax_of_the_wheel(colours):
    cell = nbformat.read(colours, 4).cells[2].source
    command = ["pandoc", "--to", "html", "--syntax-definition", ROOT / "python/convscope/rhai.xml"]
    page = subprocess.run(command, input=f"```rhai\n{cell}\n```", check=True, capture_output=True, text=True).stdout
    for piece in ['<span class="kw">let</span>', '<span class="ss">${</span>', '<span class="at">patch</span>']:
        assert piece in page, piece
    assert '<span class="co">/* a block /* inside a block */ still a block */</span>' in page


def test_papermill_sets_parameters_by_itself(bare, colours, tmp_path):
    out = tmp_path / "out.ipynb"
    command = [PYTHON, "-m", "papermill", "--no-progress-bar", colours, out, "-p", "seed", "11"]
    command += ["-r", "note", 'a "quote", \\, é, 😀', "-y", "list: [1, 2.5, null, {a b: true}]"]
    subprocess.run(command, check=True, env=bare)
    notebook = nbformat.read(out, 4)
    printed = "".join(o.text for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream")
    assert "seed 11, twice 22" in printed
    written = next(c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", []))
    # What was written means what was given.
    check = 'if note != "a \\"quote\\", \\\\, é, 😀" { throw note; } if list[1] != 2.5 || !list[3]["a b"] { throw list; }'
    check += ' if param("note", "") != note || param("seed", 1) != 11 { throw "param"; }'
    script = tmp_path / "check.rhai"
    script.write_text(written.source + check)
    subprocess.run([PYTHON, "-m", "convscope", "run", script, "--out", tmp_path / "run"], check=True)


def test_parameters_reach_notebooks_without_a_tagged_cell(tmp_path):
    out = tmp_path / "out.ipynb"
    notebook = nbformat.read(ROOT / "examples/quickstart.ipynb", 4)
    for cell in notebook.cells:
        cell.metadata.pop("tags", None)
    nbformat.write(notebook, tmp_path / "in.ipynb")
    command = [PYTHON, "-m", "papermill", "--no-progress-bar", tmp_path / "in.ipynb", out, "-p", "seed", "11"]
    subprocess.run(command, check=True)
    assert "made with seed 11" in out.read_text()


def test_nbconvert_runs_and_colours(bare, colours, tmp_path):
    # By its path alone: the environment is not active.
    command = [PYTHON, "-m", "nbconvert", "--execute", "--to", "html", "--output-dir", tmp_path, colours]
    subprocess.run(command, check=True, env=bare)
    page = (tmp_path / "colours.html").read_text()
    for piece in ['<span class="kd">let</span>', '<span class="si">${</span>', '<span class="na">patch</span>']:
        assert piece in page, piece
    assert 'class="err"' not in page
    joined = page.replace('</span><span class="cm">', "")
    assert '<span class="cm">/* a block /* inside a block */ still a block */</span>' in joined


def test_latex_is_coloured():
    from nbconvert.filters import Highlight2Latex

    tex = Highlight2Latex(pygments_lexer="rhai")("let a = `b ${1}`;")
    assert r"\PY{k+kd}{let}" in tex and r"\PY{l+s+si}" in tex


class Notebook:
    """A kernel, and what its cells give back."""

    def __init__(self, name):
        self.manager, self.client = start_new_kernel(kernel_name=name)

    def run(self, code):
        outputs = []
        take = lambda message: outputs.append((message["msg_type"], message["content"]))  # noqa: E731
        reply = self.client.execute_interactive(code, output_hook=take, timeout=120)
        return reply["content"]["status"], outputs

    def value(self, code):
        return next(content["data"]["text/plain"] for kind, content in self.run(code)[1] if kind == "execute_result")

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def python():
    notebook = Notebook("python3")
    yield notebook
    notebook.end()


def test_the_magic_shows_and_gives_back(python):
    assert python.run("%load_ext convscope\nn = 2")[0] == "ok"
    cell = '%%convscope seen count={n}\nlet net = load_model("shapes");\nlet data = shapes(param("count", 1));\n'
    status, outputs = python.run(cell + "print(data.len()); show(net.predict(data[1])); gradient().run(net, data[1])")
    assert status == "ok"
    shown = [content["data"] for kind, content in outputs if kind == "display_data"]
    assert "<table" in shown[0]["text/html"] and len(shown[1]["image/png"]) > 10_000
    assert [content["text"] for kind, content in outputs if kind == "stream"] == ["2\n"]
    assert "True" in python.value("import numpy; numpy.isfinite(seen.shown[1].value).all()")


def test_a_magic_that_fails_shows_the_diagnostic_alone(python):
    python.run("%load_ext convscope")
    status, outputs = python.run("%%convscope part\nshow(1);\nlet b = nope(1);")
    assert status == "error"
    (error,) = [content for kind, content in outputs if kind == "error"]
    lines = "\n".join(error["traceback"]).splitlines()
    # The magic's own line is the first.
    assert lines[:4] == ["error: no function `nope`", "  cell:3:9", "  3 | let b = nope(1);", "    |         ^^^^"]
    assert python.value("part.shown") == "['1']"


def test_an_interrupt_stops_the_script_and_keeps_what_it_showed(python):
    python.run("%load_ext convscope\nimport os, signal, threading")
    python.run("threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()")
    status, outputs = python.run("%%convscope part\nshow(1); sleep(60.0); show(2);")
    assert status == "error"
    assert python.value("part.shown") == "['1']"


def test_the_kernel_names_rhai_and_quartos_cells_leave_nothing():
    notebook = Notebook("convscope")
    try:
        told = notebook.client.kernel_info(reply=True, timeout=60)
        language = told["content"]["language_info"]
        assert language["pygments_lexer"] == "rhai"
        # A JupyterLab that has no rhai finds Rust.
        assert language["codemirror_mode"] == {"name": "rhai", "mime": "text/x-rustsrc"}
        folder = notebook.manager.kernel_spec.resource_dir
        for name in ["quarto_setup_cell", "quarto_cleanup_cell"]:
            assert notebook.run("let x = 1;")[0] == "ok"
            with open(f"{folder}/{name}") as cell:
                assert notebook.run(cell.read())[0] == "ok"
            assert notebook.run("x")[0] == "error", name
    finally:
        notebook.end()
