"""A person who clicks points on images, played in headless Chromium.

usage: points.py CONVSCOPE FOLDER

FOLDER holds photos/, images with a white square each. The centre of each square is clicked as `tip`; `tail` is clicked, dragged, put
there by keyboard, or said not to be visible; a step and an answer are taken back; the page is reloaded with one point said, and the
server killed (SIGKILL) while an answer is under way. The last line printed is JSON: for each image in the order shown, the points that
the page showed when it was submitted. With a third argument, pictures of the page are saved in that folder.
"""
import json
import os
import sys

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser import Person, browser, unexpected
import subprocess


def start(binary, folder):
    command = [binary, "label", "photos", "--points", "tip,tail", "--out", "labels.jsonl"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return server, server.stdout.readline().strip()


class Clicker(Person):
    def ready(self):
        return self.driver.execute_script(
            "const p = document.getElementById('picture');"
            "return p.dataset.place !== undefined && !p.classList.contains('waiting') && document.activeElement === p"
            " && document.getElementById('photo').getAttribute('href').endsWith('/' + p.dataset.place)")

    def screen(self, x, y):
        """Where a pixel of the image is on the screen, from the middle of the picture."""
        return self.driver.execute_script(
            "const p = document.getElementById('picture'), b = p.getBoundingClientRect();"
            "const at = new DOMPoint(arguments[0], arguments[1]).matrixTransform(p.getScreenCTM());"
            "return [at.x - b.left - b.width / 2, at.y - b.top - b.height / 2]", x, y)

    def click(self, x, y):
        dx, dy = self.screen(x, y)
        ActionChains(self.driver).move_to_element_with_offset(self.by_id("picture"), round(dx), round(dy)).click().perform()

    def drag(self, start, end):
        (x, y), (u, v) = self.screen(*start), self.screen(*end)
        chain = ActionChains(self.driver).move_to_element_with_offset(self.by_id("picture"), round(x), round(y)).click_and_hold()
        chain.move_by_offset(round(u) - round(x), round(v) - round(y)).release().perform()

    def points(self):
        return self.driver.execute_script(
            "return [...document.querySelectorAll('#points button')].map((b) => b.lastChild.textContent)")

    def asked(self):
        return self.by_id("task").text

    def submit(self):
        shown, before = self.points(), self.done()
        self.key(Keys.ENTER)
        self.wait(lambda: self.done() == before + 1)
        self.answers.append(shown)
        if before + 1 < self.total:
            self.wait(self.ready)


def main(binary, folder, pictures=None):
    server, address = start(binary, folder)
    driver = browser()

    def picture(name, width=None, height=None):
        if pictures:
            if width:
                driver.set_window_size(width, height)
            driver.save_screenshot(os.path.join(pictures, f"{name}.png"))

    try:
        person = Clicker(driver)
        driver.get(address)
        picture("hello")
        person.introduce("ann")
        person.total = int(person.by_id("count").text.split(" of ")[1])
        assert person.by_id("submit").get_attribute("disabled"), "nothing is said yet"
        assert person.asked() == "Click tip.", person.asked()
        picture("empty")
        # By the mouse: two clicks, the second point dragged to its place.
        person.click(20, 15)
        assert person.asked() == "Click tail.", person.asked()
        person.click(60, 40)
        person.drag((60, 40), (70, 50))
        picture("two")
        person.submit()
        # By keyboard alone: a cross, moved by ten and by one; the other point is not visible.
        shift = lambda key: ActionChains(driver).key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT).perform()
        shift(Keys.ARROW_LEFT)
        person.key(Keys.ARROW_UP, Keys.ARROW_UP)
        picture("cross")
        person.key(Keys.ENTER)
        person.key("n")
        assert person.points()[1] == "not visible", person.points()
        # A step back, and the point is asked for again.
        person.key("z")
        assert person.points()[1] == "" and person.asked() == "Click tail.", person.points()
        person.key("n")
        person.submit()
        # Taken back, the answer comes again with its points.
        before = person.done()
        person.key("z")
        person.wait(lambda: person.done() == before - 1)
        person.answers.pop()
        person.wait(person.ready)
        assert person.points()[1] == "not visible", person.points()
        person.submit()
        # Looked at closer, a click is in pixels of the image all the same.
        person.key("+", "+", "+")
        person.click(48.5, 32.5)
        picture("closer")
        # Reloaded with one point said, the page goes on where it was.
        shown = person.points()
        driver.refresh()
        person.wait(lambda: person.ready() and person.points() == shown)
        person.key("n")
        # Killed while an answer is under way: whether it arrived or not, it stands once.
        before, shown = person.done(), person.points()
        driver.execute_script("document.getElementById('submit').click()")
        server.kill()
        server.wait()
        server, again = start(binary, folder)
        assert again == address, (again, address)
        person.wait(lambda: person.done() == before + 1)
        person.answers.append(shown)
        person.wait(person.ready)
        picture("narrow", 360, 740)
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
        picture("wide", 1440, 900)
        # The rest is skipped, and looked at again in the end.
        left = person.total - person.done()
        for _ in range(left):
            before = person.done()
            person.key("s")
            person.wait(lambda: person.done() == before + 1)
        picture("done")
        person.by_id("again").click()
        person.wait(person.ready)
        for _ in range(left):
            person.key("n", "n")
            shown = person.points()
            person.key(Keys.ENTER)
            person.answers.append(shown)
            person.wait(lambda: driver.execute_script("return document.getElementById('stage').hidden") or
                        (person.ready() and person.points() == ["", ""]))
        assert not unexpected(driver), unexpected(driver)
        print(json.dumps({"answers": person.answers}))
    finally:
        driver.quit()
        server.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
