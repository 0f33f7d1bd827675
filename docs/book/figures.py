"""Makes the pictures of the book's pages again, and README's: python3 docs/book/figures.py [PAGE ..]

The figures that a page's code shows are its pictures: those linked behind a block (`![what is seen](img/NAME.webp)`) are the
figures of that block, in order. A picture `img/gallery/SCRIPT.webp` is the first figure of scripts/SCRIPT.rhai, or its second where
the link ends in `SCRIPT-2.webp`. A page's picture gets a twin for small screens, `NAME-narrow.webp`, which preprocess.py puts in
its place there. Needs Pillow, which makes them small: at most 900 px wide, 400 in the gallery, WebP.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from blocks import HERE, ROOT, fetches, program, run, said, stage

WIDTH, THUMBNAIL = 900, 400
# The narrow twin is laid out anew, so many px wide, and kept with so many pixels.
TWIN, PIXELS = 336, 560
SHOWN = re.compile(r"(?m)^( *)show\((.*)\);( *//.*)?$")
PARTS = re.compile(r"(?ms)^```rhai[^\n]*\n(.*?)^```[ \t]*$|!\[[^\]]*\]\(([^)\s]+\.webp)\)")


def shrink(source, target, width):
    picture = Image.open(source).convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.LANCZOS)
    if width == THUMBNAIL:
        # The upper part of tall figures, so that the gallery's rows are even.
        picture = picture.crop((0, 0, picture.width, min(picture.height, picture.width)))
    target.parent.mkdir(exist_ok=True)
    picture.save(target, quality=70 if width == PIXELS else 78, method=6)
    print(target)


def twins(code):
    """The same code, showing narrow what it shows, and one below the other what it shows in columns; what has no look, as a table,
    stays as it is."""
    narrow = f'show({{ let it = \\2; try {{ it.look("light", #{{ width: {TWIN} }}) }} catch {{ it }} }});'
    return SHOWN.sub(rf"\1{narrow}", re.sub(r"#\{ columns: \d+ \}", "#{ columns: 1 }", code))


def thumbnail(target, folder):
    """The figure of the gallery's script that the picture's name says."""
    script, _, number = target.stem.partition("-")
    path = ROOT / "scripts" / f"{script}.rhai"
    if fetches(path.read_text()):
        raise SystemExit(f"{path} fetches, and what was fetched is not committed")
    out = folder / "gallery"
    said([program(), "run", "--quiet", "--out", out / script, path])
    figures = sorted((out / script / "figures").glob("*.png"))
    shrink(figures[int(number or 1) - 1], target, THUMBNAIL)


def main(pages):
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder))
        for page in pages:
            figures, code = [], None
            for m in PARTS.finditer(page.read_text()):
                if m[1] is not None:
                    figures, code = [], m[1]
                    continue
                target = page.parent / m[2]
                if target.parent.name == "gallery":
                    thumbnail(target, Path(folder))
                    continue
                if code is not None:
                    if fetches(code):
                        raise SystemExit(f"{page}: {m[2]} shows what was fetched, which is not committed")
                    figures = list(zip(run(code, Path(folder), "wide"), run(twins(code), Path(folder), "narrow"), strict=True))
                    code = None
                if not figures:
                    raise SystemExit(f"{page}: no figure for {m[2]}")
                wide, narrow = figures.pop(0)
                shrink(wide, target, WIDTH)
                shrink(narrow, target.with_stem(f"{target.stem}-narrow"), PIXELS)


def readme():
    """README's picture, which docs/readme.rhai saves."""
    with tempfile.TemporaryDirectory() as folder:
        said([program(), "run", "--quiet", "--out", folder, ROOT / "docs/readme.rhai"])
        shutil.copy(Path(folder) / "where.png", ROOT / "docs/where.png")
        print(ROOT / "docs/where.png")


if __name__ == "__main__":
    if sys.argv[1:]:
        main([Path(p).resolve() for p in sys.argv[1:]])
    else:
        main(sorted(HERE.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")))
        readme()
