"""Measures the labelling page as the person at it feels it, in headless Chromium: 10,000 generated images and 1,000 classes,
the real page and server. Usage: times.py CONVSCOPE

`answer`: the server's reply to an answer that is sent, on the disk by then. `next image`: from the key that submits until the
next image is drawn. `search`: from a letter that is typed until the list of classes stands, laid out.
"""
import pathlib
import statistics
import sys
import tempfile

from browser import Person, browser, start
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

IMAGES, CLASSES, ANSWERS = 10_000, 1_000, 40
SHAPES = ["circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent", "arrow", "hexagon"]
FIRST = ["grey", "eastern", "giant", "lesser", "horned", "banded", "river", "mountain", "striped", "common", "golden"]
SECOND = ["terrier", "warbler", "beetle", "maple", "kettle", "lantern", "tractor", "viper", "orchid", "anchor", "spaniel", "piano"]

# How long the list takes for a query: the page's own handler, and the layout of what it made.
SEARCH = """
const field = document.getElementById('search');
return arguments[0].map((query) => {
  const begun = performance.now();
  field.value = query;
  field.dispatchEvent(new Event('input', { bubbles: true }));
  document.getElementById('list').getBoundingClientRect();
  const took = performance.now() - begun;
  return [took, document.querySelectorAll('.row').length];
});
"""

# Notes when an image was submitted and when the next one was drawn.
WATCH = """
window.noted = [];
document.addEventListener('keydown', (e) => { if (e.key === 'Enter') window.begun = performance.now(); }, true);
new MutationObserver(() => {
  requestAnimationFrame(() => window.noted.push(performance.now() - window.begun));
}).observe(document.getElementById('image'), { attributeFilter: ['data-place'] });
"""


def names():
    made = [f"{a} {b} {n}" for n in range(1, 9) for a in FIRST for b in SECOND]
    return (SHAPES + made)[:CLASSES]


def queries():
    """Every beginning of some names, of words in another order, and of one with a typing error."""
    words = ["grey terrier 4", "lantern golden", "striped orchid", "traingle", "hexagon", "e"]
    return [word[: i + 1] for word in words for i in range(len(word))]


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "classes.txt").write_text("\n".join(names()) + "\n")
        server, address = start(binary, folder, ["--classes", "classes.txt"], IMAGES)
        driver = browser()
        try:
            person = Person(driver)
            driver.get(address)
            person.introduce("ann")
            assert f"of {IMAGES}" in driver.find_element(By.ID, "count").text
            driver.execute_script(SEARCH, queries())
            searches = driver.execute_script(SEARCH, queries())
            assert any(rows for _, rows in searches)
            driver.execute_script(WATCH)
            for i in range(ANSWERS):
                person.take(SHAPES[i % len(SHAPES)])
                before = person.done()
                person.key(Keys.ENTER)
                person.wait(lambda: person.done() == before + 1 and person.ready())
            replies = driver.execute_script(
                "return performance.getEntriesByType('resource').filter((e) => e.name.endsWith('api/answer')).map((e) => e.duration)")
            report("answer", replies)
            report("next image", driver.execute_script("return window.noted"))
            report("search", [took for took, _ in searches])
        finally:
            driver.quit()
            server.kill()
            server.wait()


def report(what, values):
    print(f"{what}: median {statistics.median(values):.1f} ms, most {max(values):.1f} ms of {len(values)}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
