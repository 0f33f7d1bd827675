"""A person at the review page, played in headless Chromium.

usage: review.py CONVSCOPE FOLDER [SCREENSHOT]

FOLDER holds the labels.jsonl of a session with errors. Tells errors apart by keys and by clicks, several kinds at once and
faster than the disk; goes forward and back, reloads the page, chooses whose errors are shown, and has the server killed
(SIGKILL) with the page open. The last line printed is JSON: the kinds of every error as the page shows them in the end.
"""
import json
import sys

from browser import PATIENCE, browser, start, unexpected
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

OPTIONS = ["--review", "--net", "shapes"]


def main(binary, folder, screenshot=None):
    server, address = start(binary, folder, OPTIONS)
    driver = browser()
    try:
        reviewer = Reviewer(driver)
        driver.get(address)
        reviewer.wait(lambda: driver.find_element(By.ID, "hello").get_attribute("open") is not None)
        driver.find_element(By.ID, "name").send_keys("rev" + Keys.ENTER)
        reviewer.wait(reviewer.ready)
        told, errors = reviewer.count()
        assert told == 0 and errors == 18, (told, errors)
        kinds = reviewer.names()
        # By key: two kinds, faster than they are kept; the first is taken back.
        reviewer.key("1", "3")
        reviewer.wait(lambda: reviewer.pressed() == [kinds[0], kinds[2]])
        reviewer.key("1")
        reviewer.wait(lambda: reviewer.pressed() == [kinds[2]])
        # On by Enter and arrow, by click, and back: what was said is there.
        reviewer.key(Keys.ENTER)
        reviewer.wait(lambda: reviewer.pressed() == [])
        driver.find_element(By.CSS_SELECTOR, f"[data-kind='{kinds[1]}']").click()
        reviewer.wait(lambda: reviewer.pressed() == [kinds[1]] and reviewer.count()[0] == 2)
        reviewer.key(Keys.ARROW_RIGHT)
        reviewer.key("2", "4")
        reviewer.wait(lambda: reviewer.pressed() == [kinds[1], kinds[3]])
        reviewer.key(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
        reviewer.wait(lambda: reviewer.pressed() == [kinds[2]])
        # Reloaded, the page goes on at the first error that nothing was said of.
        driver.refresh()
        reviewer.wait(lambda: reviewer.ready() and reviewer.count() == (3, errors) and reviewer.pressed() == [])
        assert driver.find_element(By.ID, "subject").text.startswith("4: ann"), driver.find_element(By.ID, "subject").text
        # Killed with the page open: nothing counts as told until the server is back.
        server.kill()
        server.wait()
        reviewer.key("5")
        reviewer.wait(lambda: "kept here" in driver.find_element(By.ID, "trouble").text)
        assert reviewer.count()[0] == 3 and reviewer.pressed() == [], "told before it was kept"
        server, again = start(binary, folder, OPTIONS)
        assert again == address, (again, address)
        reviewer.wait(lambda: reviewer.pressed() == [kinds[4]] and reviewer.count()[0] == 4)
        # One subject's errors alone.
        Select(driver.find_element(By.ID, "whose")).select_by_value("ann")
        reviewer.wait(lambda: reviewer.count()[0] == 4)
        # All told, then read again from the server.
        while reviewer.count()[0] < errors:
            before = reviewer.count()[0]
            reviewer.key("1")
            reviewer.wait(lambda: reviewer.count()[0] == before + 1)
            reviewer.key(Keys.ENTER)
        driver.refresh()
        reviewer.wait(lambda: reviewer.ready() and reviewer.count() == (errors, errors))
        if screenshot:
            driver.save_screenshot(screenshot)
        said = []
        for i in range(errors):
            reviewer.wait(lambda: driver.find_element(By.ID, "subject").text.startswith(f"{i + 1}:"))
            said.append(reviewer.pressed())
            reviewer.key(Keys.ARROW_RIGHT)
        assert not (errors := unexpected(driver)), errors
        print(json.dumps({"kinds": said}))
    finally:
        driver.quit()
        server.kill()
        server.wait()


class Reviewer:
    def __init__(self, driver):
        self.driver = driver

    def wait(self, test):
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: test())

    def key(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def ready(self):
        """An error is shown with its picture."""
        return self.driver.execute_script(
            "const i = document.getElementById('image');"
            "return i.naturalWidth > 0 && document.querySelectorAll('#kinds button').length > 0")

    def count(self):
        """Errors told apart, of how many."""
        words = self.driver.find_element(By.ID, "count").text.split()
        return int(words[0]), int(words[2])

    def names(self):
        return self.driver.execute_script("return [...document.querySelectorAll('#kinds button')].map((b) => b.dataset.kind)")

    def pressed(self):
        return self.driver.execute_script(
            "return [...document.querySelectorAll(\"#kinds [aria-pressed='true']\")].map((b) => b.dataset.kind)")


if __name__ == "__main__":
    main(*sys.argv[1:])
