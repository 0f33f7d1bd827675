"""JupyterLab and Notebook 7 in headless Chromium: a notebook's cells are coloured as rhai, run, completed, in light and dark."""

import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

sys.path.insert(0, str(ROOT / "tests/jupyter"))
from browser import PATIENCE, asked_for_a_kernel, browser, click_menu, free_port, shown, wait_for  # noqa: E402

if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("there is no chromium with its driver", allow_module_level=True)

#: Words of colours.ipynb, and the colour that the theme has for them.
WORDS = {
    "let": "keyword",
    "fn": "keyword",
    "true": "keyword",
    "twice": "def",
    "load_model": "builtin",
    "patch": "attribute",
    "16": "number",
    "0x1f": "number",
    "2.5e-3": "number",
    '"shapes"': "string",
    "`seed ": "string",
    "'x'": "string",
    '#"no \\n escape"#': "string",
    "\\t": "string-2",
    "/// A doc comment.": "comment",
    "// a comment": "comment",
    "/* a block /* inside a block */ still a block */": "comment",
    "&&": "operator",
    "#{": "bracket",
    "${": "bracket",
    "predict": "property",
}
SPANS = """
const found = {};
for (const span of document.querySelectorAll('.jp-CodeCell .cm-line span')) {
  const text = span.textContent;
  (found[text] = found[text] || []).push(getComputedStyle(span).color);
}
const probe = document.body.appendChild(document.createElement('span'));
const colours = {};
for (const name of arguments[0]) {
  probe.style.color = `var(--jp-mirror-editor-${name}-color)`;
  colours[name] = getComputedStyle(probe).color;
}
probe.remove();
return [found, colours];
"""


class Server:
    """A server of JupyterLab or Notebook 7 with a folder of notebooks, and a browser in front of it."""

    def __init__(self, module, folder):
        port, token = free_port(), secrets.token_hex(16)
        options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
        options += ["--no-browser", "--ServerApp.port_retries=0", "--expose-app-in-browser"]
        options += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        options += ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        self.url, self.token = f"http://127.0.0.1:{port}", token
        environment = {**os.environ, "JUPYTER_CONFIG_DIR": f"{folder}/.config", "JUPYTERLAB_SETTINGS_DIR": f"{folder}/.settings"}
        environment["JUPYTERLAB_WORKSPACES_DIR"] = f"{folder}/.workspaces"
        command = [sys.executable, "-m", module, *options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
        wait_for(self.url + "/api")
        self.driver = browser()
        patience = WebDriverWait(self.driver, PATIENCE, ignored_exceptions=[WebDriverException])
        self.until = lambda step: patience.until(lambda d: not asked_for_a_kernel(d) and step(d))

    def open(self, page, word="`seed "):
        self.driver.get(f"{self.url}/{page}?token={self.token}&reset")
        self.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell .cm-line span"))
        self.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-Notebook-ExecutionIndicator[data-status='idle']"))
        # The language follows once the kernel has said it.
        self.until(lambda d: self.colour_of(word))

    def colour_of(self, word):
        return self.driver.execute_script(SPANS, [])[0].get(word)

    def theme(self, name):
        before = self.colour_of("let")
        self.command("apputils:change-theme", f"{{theme: '{name}'}}")
        self.until(lambda d: self.colour_of("let") != before)

    def command(self, name, arguments):
        script = f"const done = arguments[0]; window.jupyterapp.commands.execute('{name}', {arguments}).then(() => done(), done)"
        self.driver.execute_async_script(script)

    def run_all(self):
        self.until(lambda d: click_menu(d, "Run"))
        self.until(lambda d: click_menu(d, "Run All Cells"))
        return self.until(shown)

    def keep(self, name):
        """Keeps a screenshot where somebody asked for it."""
        if os.environ.get("CONVSCOPE_TEST_KEEP"):
            self.driver.save_screenshot(str(pathlib.Path(os.environ["CONVSCOPE_TEST_KEEP"], name)))

    def end(self):
        self.driver.quit()
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module", params=["jupyterlab", "notebook"])
def server(request, colours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(colours, folder)
    shutil.copy(ROOT / "scripts/gradient.rhai", folder)
    server = Server(request.param, folder)
    server.folder = folder
    server.page = {"jupyterlab": "lab/tree/", "notebook": "notebooks/"}[request.param]
    server.name = request.param
    yield server
    server.end()


def coloured_as_rhai(server):
    found, colours = server.driver.execute_script(SPANS, sorted(set(WORDS.values())))
    assert len(set(colours.values())) > 7, colours
    for word, name in WORDS.items():
        assert found.get(word), f"{word!r} is no word of its own: {sorted(found)}"
        assert colours[name] in found[word], f"{word!r} is {found[word]}, not {name} ({colours[name]})"


def test_a_notebook_is_coloured_and_runs(server):
    server.open(server.page + "colours.ipynb")
    coloured_as_rhai(server)
    assert server.run_all()[0] > 400
    errors = server.driver.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output[data-mime-type*='stderr']")
    assert not errors, errors[0].text
    server.keep(f"{server.name}-light.png")
    server.theme("JupyterLab Dark")
    coloured_as_rhai(server)
    server.keep(f"{server.name}-dark.png")
    server.theme("JupyterLab Light")
    # Markdown cells colour fenced code, too.
    fenced = server.driver.find_elements(By.CSS_SELECTOR, ".jp-MarkdownOutput pre code span")
    assert any(span.text == "let" for span in fenced)
    severe = [entry["message"] for entry in server.driver.get_log("browser") if "convscope" in entry["message"]]
    assert not severe, severe


def test_cells_of_python_notebooks_are_coloured_where_they_are_scripts(server):
    cells = ["let = 1", "%%convscope\nlet a = `seed ${1 + 1}`;\nshow(a);"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(notebook, server.folder / "magic.ipynb")
    server.open(server.page + "magic.ipynb")
    colour = server.driver.execute_script(SPANS, ["keyword", "string", "meta"])[1]
    # In the first cell it is a name of Python's and no word of its own.
    assert server.colour_of("let") == [colour["keyword"]] and server.colour_of("`seed ") == [colour["string"]]
    assert server.colour_of("%%convscope") == [colour["meta"]]


def test_the_log_keeps_the_progress_of_long_work(server):
    source = 'for i in progress(4, "counting slowly") { sleep(0.5); }'
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "convscope", "language": "rhai", "display_name": "convscope"}
    nbformat.write(notebook, server.folder / "slow.ipynb")
    if server.name == "notebook":
        pytest.skip("Notebook shows its log in JupyterLab only")
    server.open(server.page + "slow.ipynb", word="for")
    server.command("logconsole:open", "{}")
    server.command("logconsole:set-level", "{level: 'info'}")
    server.until(lambda d: click_menu(d, "Run"))
    server.until(lambda d: click_menu(d, "Run All Cells"))
    log = lambda d: " ".join(e.text for e in d.find_elements(By.CSS_SELECTOR, ".jp-LogConsolePanel"))  # noqa: E731
    server.until(lambda d: re.search(r"counting slowly: \d of 4.*counting slowly: \d\.\d s", log(d), re.DOTALL))
    server.keep("jupyterlab-log.png")


def test_cells_are_completed_and_files_have_a_type(server):
    server.open(server.page + "colours.ipynb")
    driver = server.driver
    types = driver.execute_script("return window.jupyterapp.docRegistry.getFileTypesForPath('a.rhai').map(f => f.icon.name)")
    assert types == ["convscope:rhai"]
    cell = driver.find_elements(By.CSS_SELECTOR, ".jp-CodeCell .cm-content")[0]
    cell.click()
    ActionChains(driver).key_down(Keys.CONTROL).send_keys(Keys.END).key_up(Keys.CONTROL).send_keys(" gradie", Keys.TAB).perform()
    # One candidate is taken at once, of several a list is shown.
    said = lambda d: "gradient" in cell.text or d.find_elements(By.CSS_SELECTOR, ".jp-Completer-item")  # noqa: E731
    server.until(said)
    if server.name == "jupyterlab":
        server.command("docmanager:open", "{path: 'gradient.rhai'}")
        spans = ".jp-FileEditor .cm-line span"
        server.until(lambda d: any(s.text == "let" for s in d.find_elements(By.CSS_SELECTOR, spans)))
        server.keep("jupyterlab-file.png")
