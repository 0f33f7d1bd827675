"""Makes the pictures of the book's pages again: python3 docs/book/figures.py [PAGE ..]

The figures that a page's code shows are its pictures: those linked behind a block (`![what is seen](img/NAME.webp)`) are the
figures of that block, in order. Needs Pillow, which makes them small: at most 1,000 px wide, WebP.
"""

import re
import sys
import tempfile
from pathlib import Path

from PIL import Image

from blocks import HERE, ROOT, fetches, run, stage

WIDTH = 1000
PARTS = re.compile(r"(?ms)^```rhai[^\n]*\n(.*?)^```[ \t]*$|!\[[^\]]*\]\(([^)\s]+\.webp)\)")


def shrink(source, target):
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.LANCZOS)
    target.parent.mkdir(exist_ok=True)
    picture.save(target, quality=82, method=6)


def main(pages):
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder))
        for page in pages:
            figures, code = [], None
            for m in PARTS.finditer(page.read_text()):
                if m[1] is not None:
                    figures, code = [], m[1]
                    continue
                if code is not None:
                    if fetches(code):
                        raise SystemExit(f"{page}: {m[2]} shows what was fetched, which is not committed")
                    figures, code = run(code, Path(folder)), None
                if not figures:
                    raise SystemExit(f"{page}: no figure for {m[2]}")
                shrink(figures.pop(0), page.parent / m[2])
                print(page.parent / m[2])


if __name__ == "__main__":
    named = [Path(p).resolve() for p in sys.argv[1:]]
    main(named or sorted(HERE.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")))
