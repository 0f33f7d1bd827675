"""A person at the labelling page, played in headless Chromium.

usage: browser.py CONVSCOPE FOLDER

Labels 20 generated images by keyboard: searches, takes several guesses, drops one, skips none, takes an answer back, reloads
the page with a guess half made, and has the server killed (SIGKILL) with the page open, once at rest and once while an
answer is under way. The last line printed is JSON: the guesses of every answer that the page went on from, in order.
"""
import json
import shutil
import subprocess
import sys

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 60


def main(binary, folder):
    server, address = start(binary, folder)
    driver = browser()
    try:
        person = Person(driver)
        driver.get(address)
        person.introduce("ann")
        person.label("st", "star")
        person.label("hexa", "hexagon", "ring")
        # A typing error still finds the class; an arrow key chooses another one.
        person.type("traingle")
        assert person.rows()[0] == "triangle", person.rows()
        person.key(Keys.ENTER)
        person.type("")
        person.key(Keys.ARROW_DOWN)
        person.key(Keys.ENTER)
        chosen = person.guesses()
        assert len(chosen) == 2 and chosen[0] == "triangle", chosen
        person.key(Keys.BACKSPACE)
        assert person.guesses() == ["triangle"], person.guesses()
        person.submit(["triangle"])
        # Taken back, the image comes again with its guesses; another answer takes its place.
        person.undo()
        assert person.guesses() == ["triangle"], person.guesses()
        person.key(Keys.BACKSPACE)
        person.label("arrow", "arrow")
        # Reloaded with a guess half made, the page goes on where it was.
        done = person.done()
        person.take("heart")
        driver.refresh()
        person.wait(lambda: person.ready() and person.done() == done)
        person.wait(lambda: person.guesses() == ["heart"])
        person.submit(["heart"])
        # Killed at rest: the page says so, keeps the answer, and sends it when the server is back.
        person.take("cross")
        server.kill()
        server.wait()
        before = person.done()
        person.key(Keys.ENTER)
        person.wait(lambda: "kept here" in driver.find_element(By.ID, "trouble").text)
        assert person.done() == before, "nothing is acknowledged while the server is dead"
        server, again = start(binary, folder)
        assert again == address, (again, address)
        person.wait(lambda: person.done() == before + 1)
        person.answers.append(["cross"])
        # Killed while an answer is under way: whether it arrived or not, it stands once.
        person.take("ring")
        driver.execute_script("document.getElementById('submit').click()")
        server.kill()
        server.wait()
        server, _ = start(binary, folder)
        person.wait(lambda: person.done() == before + 2)
        person.answers.append(["ring"])
        # Closed and opened again.
        driver.get("about:blank")
        driver.get(address)
        person.wait(person.ready)
        names = ["circle", "square", "crescent", "star"]
        while person.done() < 20:
            name = names[person.done() % 4]
            person.label(name[:4], name)
        person.wait(lambda: "All images are done" in driver.find_element(By.ID, "feedback").text)
        assert not (errors := unexpected(driver)), errors
        print(json.dumps({"answers": person.answers}))
    finally:
        driver.quit()
        server.kill()
        server.wait()


def start(binary, folder, options=(), images=20):
    """The server and its address."""
    command = [binary, "label", "shapes", "--n", str(images), "--seed", "3", "--out", "labels.jsonl", *options]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return server, server.stdout.readline().strip()


def browser():
    options = Options()
    options.binary_location = shutil.which("chromium")
    for flag in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1440,900"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def unexpected(driver):
    """The severe lines of the console, but for requests that a killed server left unanswered: Chromium has a net::ERR_ name for
    each moment of a connection at which that may happen. A status like 404 or 500 is no such line."""
    return [e for e in driver.get_log("browser") if e["level"] == "SEVERE" and "net::ERR_" not in e["message"]]


class Person:
    def __init__(self, driver):
        self.driver = driver
        self.answers = []

    def wait(self, test):
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: test())

    def by_id(self, name):
        return self.driver.find_element(By.ID, name)

    def introduce(self, name):
        self.wait(lambda: self.by_id("hello").get_attribute("open") is not None)
        self.by_id("name").send_keys(name + Keys.ENTER)
        self.wait(self.ready)

    def ready(self):
        """An image is shown and the search waits for a word."""
        return self.driver.execute_script(
            "const i = document.getElementById('image');"
            "return i.dataset.place !== undefined && !i.classList.contains('waiting') && i.src.endsWith('/' + i.dataset.place)"
            " && document.activeElement.id === 'search'")

    def done(self):
        text = self.by_id("count").text
        return int(text.split(" of ")[0]) if text else -1

    def key(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def type(self, word):
        self.key(Keys.ESCAPE)
        self.key(word)

    def rows(self):
        return self.driver.execute_script("return [...document.querySelectorAll('.row')].map((r) => r.firstChild.parentElement.textContent)")

    def guesses(self):
        return self.driver.execute_script(
            "return [...document.querySelectorAll('#guesses li:not(.open)')].map((l) => l.childNodes[1].textContent)")

    def take(self, name, typed=None):
        self.type(typed or name)
        assert self.rows()[0] == name, (typed, self.rows())
        self.key(Keys.ENTER)

    def submit(self, guesses):
        before = self.done()
        self.key(Keys.ENTER)
        self.wait(lambda: self.done() == before + 1)
        self.answers.append(guesses)
        if before + 1 < 20:
            self.wait(self.ready)

    def label(self, typed, *names):
        self.take(names[0], typed)
        for name in names[1:]:
            self.take(name)
        self.submit(list(names))

    def undo(self):
        before = self.done()
        ActionChains(self.driver).key_down(Keys.ALT).send_keys("z").key_up(Keys.ALT).perform()
        self.wait(lambda: self.done() == before - 1)
        self.answers.pop()
        self.wait(self.ready)


if __name__ == "__main__":
    main(*sys.argv[1:])
