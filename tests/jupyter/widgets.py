"""Widgets in JupyterLab and Notebook 7 and the viewer of a report, in headless Chromium: moves a slider and sees the picture change, drags the
occluder, reads the value under the pointer and compares it with the array's, ends the kernel and reads what the widget says.
Usage: widgets.py PROGRAM FOLDER SCREENSHOTS. Run by tests/it/notebooks.rs."""

import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys

import nbformat
import numpy
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from browser import PATIENCE, asked_for_a_kernel, browser, free_port, lab, wait_for

NET = 'let net = load_model("shapes"); let image = shapes(1)[0];'
MAP = "occlusion(#{ patch: 8, stride: 4 }).run(net, image)"
CELLS = [
    f"{NET}",
    f"view({MAP})",
    "explore(net, image)",
    'slider("eps", 0, 16); slider("bad", 0, 1, #{ value: 0 });\ninteract(|eps, bad| { if bad == 1 { nope() } plot([1, 2, eps]) })',
]
# What the canvas of a viewer holds, as text.
PIXELS = "return arguments[0].toDataURL()"


def report(program, folder, driver, until, keep):
    """The viewer of a report: reads the value under the pointer at several places and compares it with the array."""
    (folder / "r.rhai").write_text(f'{NET}\nlet a = {MAP};\nshow(a);\nsave(a, "map.npy");\nshow(activations().run(net.layer("conv1"), image));\n')
    subprocess.run([program, "run", "r.rhai", "--out", "out", "--quiet"], cwd=folder, check=True)
    values = numpy.load(folder / "out/map.npy")
    driver.get((folder / "out/report.html").resolve().as_uri())
    assert len(driver.find_elements(By.TAG_NAME, "script")) == 1
    for name, width in (("wide", 1280), ("narrow", 500)):
        driver.set_window_size(width, 1600)
        driver.refresh()
        buttons = driver.find_elements(By.CSS_SELECTOR, ".viewer-open")
        assert buttons, "no button opens the viewer"
        for button in buttons:
            button.click()
        canvas = until(lambda d: d.find_elements(By.CSS_SELECTOR, ".viewer-map"))[0]
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        readout = driver.find_elements(By.CSS_SELECTOR, ".viewer-readout")[0]
        box = canvas.rect
        assert box["width"] <= width, box
        seen = set()
        for x, y in [(0.3, 0.3), (0.5, 0.45), (0.7, 0.6), (0.35, 0.7)]:
            across, down = int((x - 0.5) * box["width"]), int((y - 0.5) * box["height"])
            ActionChains(driver).move_to_element_with_offset(canvas, across, down).perform()
            text = until(lambda d: readout.text)
            place, value = text.split(" · ")[:2]
            row, column = (int(part.split()[1]) for part in place.split(", "))
            found = numpy.float32(value.split()[0])
            assert found == values[row, column], f"{text!r}, the array holds {values[row, column]!r}"
            assert "class" in text, text
            seen.add((row, column))
        assert len(seen) == 4, seen
        # Arrow keys walk, thresholds and opacity change the picture, zoom shows a part.
        before = driver.execute_script(PIXELS, canvas)
        canvas.send_keys(Keys.ARROW_RIGHT)
        assert f"column {column + 1}" in readout.text, readout.text
        assert driver.execute_script(PIXELS, canvas) != before
        for name_of in ("opacity", "threshold", "channel"):
            sliders = driver.find_elements(By.CSS_SELECTOR, f".viewer input[aria-label={name_of}]")
            moved = next(s for s in sliders if s.is_displayed())
            viewer = moved.find_element(By.XPATH, "./ancestor::div[@class='viewer']").find_element(By.CSS_SELECTOR, ".viewer-map")
            before = driver.execute_script(PIXELS, viewer)
            moved.send_keys(Keys.END)
            until(lambda d, viewer=viewer, before=before: driver.execute_script(PIXELS, viewer) != before)
        keep(f"report-{name}.png")
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe, severe


def notebook(folder, driver, until, keep, app, page):
    """The widgets in JupyterLab or Notebook 7, whose notebooks are at `page`."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "convscope", "language": "rhai", "display_name": "convscope"}
    nbformat.write(made, folder / "widgets.ipynb")
    port, token = free_port(), secrets.token_hex(16)
    server = lab(folder, port, token, app)
    try:
        wait_for(f"http://127.0.0.1:{port}/api")
        driver.set_window_size(1400, 2600)
        driver.get(f"http://127.0.0.1:{port}/{page}/widgets.ipynb?token={token}&reset")
        step = lambda f: until(lambda d: not asked_for_a_kernel(d) and f(d))  # noqa: E731
        step(lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell"))
        if app == "jupyterlab":
            step(lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-Notebook-ExecutionIndicator[data-status='idle']"))
        widgets = step(ran)
        view, explore, interact = widgets
        # The slider changes the picture.
        picture = interact.find_element(By.CSS_SELECTOR, ".viewer-picture")
        until(lambda d: int(picture.get_property("naturalWidth")) > 100)
        before = picture.get_property("src")
        sliders = interact.find_elements(By.CSS_SELECTOR, "input[type=range]")
        slide(driver, sliders[0], 0.9)
        until(lambda d: picture.get_property("src") != before and int(picture.get_property("naturalWidth")) > 100)
        # The value under the pointer.
        canvas = view.find_element(By.CSS_SELECTOR, ".viewer-map")
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        ActionChains(driver).move_to_element(canvas).perform()
        until(lambda d: "row" in view.find_element(By.CSS_SELECTOR, ".viewer-readout").text)
        # Dragging the patch changes the numbers.
        scores = lambda: explore.find_element(By.CSS_SELECTOR, ".viewer-scores").text  # noqa: E731
        said = scores()
        photo = explore.find_element(By.CSS_SELECTOR, ".viewer-photo")
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", photo)
        ActionChains(driver).click_and_hold(photo).move_by_offset(-60, -40).release().perform()
        until(lambda d: scores() != said)
        keep("widgets-light.png")
        theme(driver, "JupyterLab Dark")
        keep("widgets-dark.png")
        # An error stands in the widget, and the picture stays.
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", interact)
        slide(driver, sliders[1], 0.95)
        error = interact.find_element(By.CSS_SELECTOR, ".viewer-error")
        until(lambda d: "no function `nope`" in error.text and "^^^^" in error.text)
        assert picture.is_displayed()
        keep("widgets-error-dark.png")
        slide(driver, sliders[1], 0.05)
        until(lambda d: not error.is_displayed())
        # The kernel dies.
        for process in kernels(server.pid):
            os.kill(process, signal.SIGKILL)
        gone = interact.find_element(By.CSS_SELECTOR, ".viewer-gone")
        until(lambda d: gone.is_displayed())
        assert picture.is_displayed() and "the kernel is gone" in gone.text
        keep("widgets-gone-dark.png")
    finally:
        server.terminate()
        server.wait()


def slide(driver, slider, share):
    """Clicks a slider at a share of its width."""
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
    ActionChains(driver).move_to_element_with_offset(slider, int((share - 0.5) * slider.rect["width"]), 0).click().perform()


def ran(driver):
    """The three widgets, once all cells ran. Cells that were run before the kernel was connected are run again."""
    prompts = [p.text.strip() for p in driver.find_elements(By.CSS_SELECTOR, ".jp-CodeCell .jp-InputPrompt")]
    if all(prompt in ("[ ]:", "[]:") for prompt in prompts):
        driver.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    widgets = driver.find_elements(By.CSS_SELECTOR, ".viewer-widget")
    return widgets if len(widgets) == 3 and "[*]:" not in prompts else None


def kernels(server):
    """The processes of convscope that a server started."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [int(pid) for pid, parent, command in rows if int(parent) == server and "kernel start" in command]


def theme(driver, name):
    click = f"const done = arguments[0]; window.jupyterapp.commands.execute('apputils:change-theme', {json.dumps({'theme': name})}).then(() => setTimeout(done, 500), done)"
    driver.execute_async_script(click)


def main(program, folder, screenshots):
    folder, screenshots = pathlib.Path(folder), pathlib.Path(screenshots)
    driver = browser()
    patience = WebDriverWait(driver, PATIENCE, ignored_exceptions=[WebDriverException])
    keep = lambda name: driver.save_screenshot(str(screenshots / name))  # noqa: E731
    try:
        report(program, folder, driver, patience.until, keep)
        for app, page in (("jupyterlab", "lab/tree"), ("notebook", "notebooks")):
            named = lambda name, app=app: keep(f"{app}-{name}")  # noqa: E731
            notebook(folder, driver, patience.until, named, app, page)
    except BaseException:
        keep("widgets-failed.png")
        raise
    finally:
        driver.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
