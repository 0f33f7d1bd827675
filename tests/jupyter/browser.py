"""Opens a notebook in JupyterLab in headless Chromium, runs all of it with the buttons that people use, and waits for its
figures. Usage: browser.py NOTEBOOK SCREENSHOT. Run by tests/it/notebooks.rs."""

import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 120


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def lab(folder, port, token, app="jupyterlab"):
    """A server of JupyterLab, or of Notebook 7 by its name."""
    options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    options += ["--no-browser", "--ServerApp.port_retries=0", "--expose-app-in-browser"]
    if app == "jupyterlab":
        options += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if hasattr(os, "getuid") and os.getuid() == 0:
        options.append("--allow-root")
    return subprocess.Popen([sys.executable, "-m", app, *options], stderr=subprocess.DEVNULL)


def wait_for(url):
    for _ in range(PATIENCE * 5):
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("JupyterLab does not answer")


def browser():
    options = webdriver.ChromeOptions()
    for option in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,2400"]:
        options.add_argument(option)
    # Named, so that selenium does not look for one elsewhere.
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def main(notebook, screenshot):
    notebook = pathlib.Path(notebook).resolve()
    port, token = free_port(), secrets.token_hex(16)
    server = lab(notebook.parent, port, token)
    driver = None
    try:
        wait_for(f"http://127.0.0.1:{port}/api")
        driver = browser()
        driver.get(f"http://127.0.0.1:{port}/lab/tree/{notebook.name}?token={token}&reset")
        until = WebDriverWait(driver, PATIENCE, ignored_exceptions=[WebDriverException]).until
        idle = ".jp-Notebook-ExecutionIndicator[data-status='idle']"
        for step in [
            lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell"),
            lambda d: d.find_elements(By.CSS_SELECTOR, idle),
            lambda d: click_menu(d, "Run"),
            lambda d: click_menu(d, "Run All Cells"),
        ]:
            until(lambda d, step=step: not asked_for_a_kernel(d) and step(d))
        figures = until(shown)
        print(f"{len(figures)} figures are on the page, the first {figures[0]} px wide")
        # What a cell wrote to stderr, its error among it.
        errors = driver.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output[data-mime-type*='stderr']")
        raise SystemExit("an error is on the page" if errors else 0)
    finally:
        if driver:
            driver.save_screenshot(screenshot)
            driver.quit()
        server.terminate()
        server.wait()


def asked_for_a_kernel(driver):
    """Whether JupyterLab asks for a kernel. It proposes the notebook's own, which is accepted."""
    buttons = driver.find_elements(By.CSS_SELECTOR, ".jp-Dialog button.jp-mod-accept")
    for button in buttons:
        button.click()
    return bool(buttons)


def click_menu(driver, text):
    labels = driver.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
    label = next((label for label in labels if label.text == text and label.is_displayed()), None)
    if label:
        label.click()
    return label


def shown(driver):
    """The widths of the figures, once no cell runs any more."""
    prompts = driver.find_elements(By.CSS_SELECTOR, ".jp-CodeCell .jp-InputPrompt")
    if any("[*]" in p.text or p.text.strip() in ("[ ]:", "[]:") for p in prompts):
        return None
    images = driver.find_elements(By.CSS_SELECTOR, ".jp-OutputArea img")
    widths = [driver.execute_script("return arguments[0].naturalWidth", image) for image in images]
    return [w for w in widths if w > 100] or None


if __name__ == "__main__":
    main(*sys.argv[1:])
