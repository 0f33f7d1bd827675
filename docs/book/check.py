"""Checks the built book: every link and picture leads to a file of it, every anchor to an id. python3 docs/book/check.py FOLDER"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The ids of a page, and what it links to and shows."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.targets = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        self.targets += [attributes[k] for k in ("href", "src") if attributes.get(k)]


def main(folder):
    pages = {p: Page(p.read_text()) for p in folder.rglob("*.html") if p.name not in ("print.html", "404.html")}
    wrong, checked = [], 0
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or target.startswith("//"):
                continue
            checked += 1
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.exists():
                wrong.append(f"{path}: {target} is not there")
            elif parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].ids:
                wrong.append(f"{path}: {target} has no such place")
    print("\n".join(wrong + [f"{len(pages)} pages, {checked} links, {len(wrong)} lead nowhere"]))
    return bool(wrong) or not pages


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
