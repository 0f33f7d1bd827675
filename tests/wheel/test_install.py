"""A fresh environment, where only pip was run."""

import json
import re
import subprocess
import time
import zipfile

from conftest import ROOT


def said(command, env, **more):
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True, **more).stdout


def test_the_wheel_is_small_and_says_where_it_runs(wheel):
    assert wheel.stat().st_size < 30e6
    with zipfile.ZipFile(wheel) as parts:
        names = parts.namelist()
        assert parts.testzip() is None
    assert wheel.name.startswith("convscope-") and "-py3-none-" in wheel.name and "-any" not in wheel.name
    assert not [name for name in names if name.endswith((".so", ".rs")) or "__pycache__" in name]
    program = next(name for name in names if name.endswith("scripts/convscope"))
    for page in ["man/man1/convscope.1", "man/man1/convscope-run.1", "zsh/site-functions/_convscope"]:
        assert any(name.endswith(f"share/{page}") for name in names), page
    info = zipfile.ZipFile(wheel).getinfo(program)
    assert info.external_attr >> 16 & 0o111, "the program cannot be run"


def test_the_quick_start_runs_without_rust_and_without_the_environment_being_active(fresh, bare, tmp_path):
    begun = time.monotonic()
    out = tmp_path / "out"
    said([fresh / "bin/convscope", "run", ROOT / "scripts/quickstart.rhai", "--out", out], bare)
    print(f"the quick start took {time.monotonic() - begun:.1f} s")
    assert (out / "report.html").stat().st_size > 100_000
    assert list((out / "figures").glob("*.png"))


def test_importing_the_package_imports_little(fresh, bare):
    code = """
import sys, time
before, begun = set(sys.modules), time.perf_counter()
import convscope
print(time.perf_counter() - begun, *sorted(set(sys.modules) - before))
"""
    seconds, *modules = said([fresh / "bin/python", "-c", code], bare).split()
    print(f"import convscope: {1000 * float(seconds):.2f} ms")
    assert modules == ["convscope"]


def test_a_script_gives_arrays_tables_and_pictures(fresh, bare, tmp_path):
    code = """
import convscope, json, numpy
r = convscope.run('''
let net = load_model("shapes");
let image = shapes(#{ n: 4, seed: param("seed", 7) })[0];
let map = gradient().run(net.class(image.label), image);
save(map, "map.npy"); save(net.predict(image), "top.csv"); save(map, "map.png");
show(map); show(net.predict(image)); show("text"); print(image.label);
''', {"threads": 1}, seed=3)
shown = r["gradient of " + r.printed.strip() + " in shapes"]
assert r["map"].dtype == numpy.float32 and r["map"].shape == (3, 64, 64)
assert (shown == r["map"]).all() and (numpy.asarray(r.shown[0]) == shown).all()
assert r["map.png"].size[0] > 400 and r["map.png"].data.startswith(b"\\x89PNG")
assert abs(sum(r["top"]["probability"]) - 1) < 0.05 and list(r["top"])[0]["class"] == r.printed.strip()
assert r["table"].rows[0][0] == r["top"].rows[0][0] and r.shown[2] == "text"
assert r.manifest["params"] == {"seed": 3} and r.report.is_file()
print(json.dumps(float(abs(r["map"]).sum())))
"""
    total = float(said([fresh / "bin/python", "-c", code], bare, cwd=tmp_path))
    # The same by the command line, from the file that it saves.
    script = tmp_path / "same.rhai"
    script.write_text(
        'let image = shapes(#{ n: 4, seed: 3 })[0]; let net = load_model("shapes");\n'
        "print(gradient().run(net.class(image.label), image).value.abs().sum());\n"
    )
    printed = said([fresh / "bin/convscope", "run", script, "--quiet", "--out", tmp_path / "out"], bare)
    assert abs(float(printed) - total) <= 1e-5 * total


def test_a_script_that_fails_says_where(fresh, bare):
    code = """
import convscope
try:
    convscope.run("show(1 + 1);\\nlet b = nope(1);")
except convscope.running.ScriptError as error:
    print(error, "|", error.results.shown)
for wrong in [lambda: convscope.run("1", {"sed": 1}), lambda: convscope.run("1", n=[1]), lambda: convscope.verify("none")]:
    try:
        wrong()
    except Exception as error:
        print(type(error).__name__, error)
"""
    lines = said([fresh / "bin/python", "-c", code], bare).splitlines()
    assert lines[:4] == ["error: no function `nope`", "  script:2:9", "  2 | let b = nope(1);", "    |         ^^^^"]
    assert lines[4].endswith("| ['2']")
    assert [line.split()[0] for line in lines[5:]] == ["ValueError", "TypeError", "ConvscopeError"]


def test_a_lock_is_verified(fresh, bare, tmp_path):
    script = tmp_path / "study.rhai"
    script.write_text('let net = load_model("shapes"); show(gradient().run(net, shapes(1)[0]));\n')
    said([fresh / "bin/convscope", "lock", script], bare)
    code = f"import convscope; v = convscope.verify({str(tmp_path / 'study.lock.json')!r}); print(bool(v), v)"
    assert said([fresh / "bin/python", "-c", code], bare).startswith("True same: ")
    script.write_text(script.read_text().replace("shapes(1)[0]", "shapes(2)[1]"))
    assert said([fresh / "bin/python", "-c", code], bare).startswith("False ")


def test_code_shows_its_last_expression_and_its_report_is_verified_without_one(fresh, bare):
    code = """
import convscope
seen = convscope.run("let a = 20; a + 1")
print(seen.shown)
seen = convscope.run("show(shapes(1)[0]);")
print(len(seen.shown), bool(convscope.verify(seen.report)))
"""
    assert said([fresh / "bin/python", "-c", code], bare).splitlines() == ["['21']", "1 True"]


def test_the_kernel_is_started_through_the_environments_python(fresh, bare):
    spec = json.loads((fresh / "share/jupyter/kernels/convscope/kernel.json").read_text())
    assert spec["argv"][:5] == ["python", "-m", "convscope", "kernel", "start"]
    python = [fresh / "bin/python", "-m", "convscope"]
    assert said([*python, "--version"], bare) == said([fresh / "bin/convscope", "--version"], bare)
    assert (fresh / "share/jupyter/kernels/convscope/quarto_setup_cell").read_text().strip() == "%reset"


def test_all_that_is_packaged_has_one_version(fresh, bare):
    version = re.search(r'(?m)^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text())[1]
    assert said([fresh / "bin/convscope", "--version"], bare) == f"convscope {version}\n"
    code = "import convscope; print(convscope.__version__)"
    assert said([fresh / "bin/python", "-c", code], bare) == f"{version}\n"
    assert re.search(r"(?m)^  version: (\S+)", (ROOT / "packaging/conda/recipe.yaml").read_text())[1] == version
    extension = fresh / "share/jupyter/labextensions/convscope/package.json"
    assert json.loads(extension.read_text())["version"] == version


def test_what_the_page_about_python_says_runs(fresh, bare, tmp_path):
    for page in ["docs/python.md", "python/README.md"]:
        blocks = re.findall(r"(?s)```python\n(.*?)```", (ROOT / page).read_text())
        assert blocks, page
        for block in blocks:
            assert said([fresh / "bin/python", "-c", block + "\nprint('ran', len(seen))"], bare, cwd=tmp_path).startswith("ran")
