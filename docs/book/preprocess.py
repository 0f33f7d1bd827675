"""What mdBook cannot know: the reference from the catalog, a page for each script of the gallery, links from names to the reference,
formulas whose broken lines stay legible, the narrow form of figures for small screens and, with CONVSCOPE_BOOK_FETCH=1, the figures
of code that fetches nets and photos.

mdBook runs it (book.toml) with the book as JSON on stdin. CONVSCOPE names the program; else target/release/convscope is
taken, else `convscope` on the PATH.
"""

import base64
import json
import os
import re
import sys
import tempfile
from html import escape
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from blocks import HERE, NARROW, ROOT, fetches, program, run, said, stage

SCRIPTS = ROOT / "scripts"
SMALL = "The upper part of a figure, made small. The script's report has all figures, whole."
FENCE = re.compile(r"(?ms)^```(\S*)[^\n]*\n(.*?)^```[ \t]*$")


def slug(text):
    """The id that mdBook gives a heading."""
    kept = "".join(c for c in text.lower() if c.isalnum() or c in " _-")
    return kept.strip().replace(" ", "-")


def chapter(name, path, content, number):
    return {"Chapter": {"name": name, "content": content, "number": number, "sub_items": [], "path": path,
                        "source_path": None, "parent_names": []}}


# The reference.

def entry(e):
    """One entry of the catalog as Markdown."""
    signatures = "\n".join(e["signatures"])
    lines = [f"## {e['name']}", f"```text\n{signatures}\n```" if signatures else "", e["doc"]]
    if e["options"]:
        lines.append("| option | takes | default | what it is |\n| --- | --- | --- | --- |")
        for o in e["options"]:
            takes = f"{o['takes'].removesuffix(' from 0')}, {o['range']}" if o["range"] else o["takes"]
            default = "" if o["default"] is None else f"`{spelled(o['default'])}`"
            cells = [f"`{o['name']}`", takes, default, " ".join(o["doc"].split())]
            lines[-1] += "\n| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"
    facts = [(k, e[k]) for k in ("subjects", "input", "source") if e[k]]
    lines.append("\n".join(f"- {k}: {v}" for k, v in facts))
    if e["example"]:
        lines.append(f"```rhai\n{e['example']}\n```")
    return "\n\n".join(line for line in lines if line)


def spelled(default):
    """A default as a script writes it."""
    if isinstance(default, dict):
        if "name" in default:
            options = {k: v for k, v in (default.get("options") or {}).items() if v is not None}
            return f"{default['name']}({spelled(options) if options else ''})"
        return "#{ " + ", ".join(f"{k}: {spelled(v)}" for k, v in default.items()) + " }" if default else "#{}"
    if isinstance(default, list):
        return "[" + ", ".join(map(spelled, default)) + "]"
    return json.dumps(default, ensure_ascii=False)


def joined(entries):
    """The entries, those of one name as one: a property and a function."""
    names = {}
    for e in entries:
        if e["name"] in names:
            first = names[e["name"]]
            first["signatures"] += e["signatures"]
            first["doc"] += f"\n\n{e['doc']}"
        else:
            names[e["name"]] = e
    return names.values()


def reference(number):
    """The reference's chapters, and where each name is described."""
    entries = json.loads(said([program(), "doc", "--json"]))
    sections = {}
    for e in entries:
        sections.setdefault(e["section"], []).append(e)
    pages, places = [], {}
    for i, (section, found) in enumerate(sections.items(), 1):
        title = section.split(": ", 1)[-1]
        title = title[0].upper() + title[1:]
        path = f"book/reference/{slug(title)}.md"
        for e in found:
            places.setdefault(e["name"], f"{path}#{slug(e['name'])}")
        content = f"# {title}\n\n" + "\n\n".join(map(entry, joined(found))) + "\n"
        pages.append(chapter(title, path, content, number + [i]))
    return pages, places


# The gallery.

def gallery(number):
    """A chapter for each script: its text, and the picture where one is committed, which is small and may be a figure's upper part."""
    pages = []
    for i, script in enumerate(sorted(SCRIPTS.glob("*.rhai")), 1):
        source = script.read_text()
        pictures = sorted((HERE / "img/gallery").glob(f"{script.stem}*.webp"))
        shown = [p for p in pictures if re.fullmatch(rf"{script.stem}(-\d+)?", p.stem)]
        picture = f"![A figure of this script](../img/gallery/{shown[0].name})\n\n*{SMALL}*\n\n" if shown else ""
        pages.append(chapter(script.stem, f"book/gallery/{script.stem}.md",
                             f"# {script.stem}\n\n{picture}```sh\nconvscope run scripts/{script.name}\n```\n\n```rhai\n{source}```\n",
                             number + [i]))
    return pages


# Links and figures.

def outside_code(text, change):
    """`change` applied to what stands outside fenced code."""
    parts, end = [], 0
    for m in FENCE.finditer(text):
        parts += [change(text[end:m.start()]), m[0]]
        end = m.end()
    return "".join(parts + [change(text[end:])])


def linked(path, text, places):
    """Links that lead to scripts go to the gallery, others out of docs/ become text, names in code go to the reference; not in
    headings, nor in indented code."""
    folder = str(PurePosixPath(path).parent)

    def link(m):
        target, _, anchor = m[2].partition("#")
        if "://" in target or not target:
            return m[0]
        place = normpath(f"docs/{folder}/{target}")
        script = re.fullmatch(r"scripts/(\w+)\.rhai", place)
        if script:
            return f"[{m[1]}]({relpath(f'book/gallery/{script[1]}.md', folder)})"
        if place == "scripts":
            return f"[{m[1]}]({relpath('book/gallery.md', folder)})"
        return m[0] if place.startswith("docs/") else m[1]

    def name(m):
        script = re.fullmatch(r"scripts/(\w+)\.rhai", m[1])
        if script and (SCRIPTS / f"{script[1]}.rhai").exists():
            return f"[`{m[1]}`]({relpath(f'book/gallery/{script[1]}.md', folder)})"
        target = places.get(m[1]) or places.get(m[1].removesuffix("()"))
        if target is None or path.startswith("book/reference"):
            return m[0]
        page, _, anchor = target.partition("#")
        return f"[`{m[1]}`]({relpath(page, folder)}#{anchor})"

    def change(plain):
        plain = re.sub(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)", link, plain)
        lines = plain.split("\n")
        named = (line if line.startswith(("#", "    ")) else re.sub(r"(?<![\[`])`([\w./]+(?:\(\))?)`(?![\]`])", name, line) for line in lines)
        return "\n".join(named)

    return outside_code(text, change)


def pictured(text, folder):
    """Code that fetches is followed by the figures that it shows, or by a line that says how to get them."""
    wanted = os.environ.get("CONVSCOPE_BOOK_FETCH") == "1"

    def after(m):
        if m[1] != "rhai" or not fetches(m[2]):
            return m[0]
        if not wanted:
            return m[0] + "\n\n*This code fetches; a book built with `CONVSCOPE_BOOK_FETCH=1` shows its figures here.*"
        figures = run(m[2], folder)
        images = (base64.b64encode(f.read_bytes()).decode() for f in figures)
        return m[0] + "".join(f'\n\n<img alt="What the code above shows" src="data:image/png;base64,{i}">' for i in images)

    return FENCE.sub(after, text)


def formulas(text):
    """A chapter's mathematics, a paragraph a line; what stands apart on the right is a remark, and goes below on a small screen."""
    def block(m):
        rows = []
        for line in m[1].splitlines():
            formula, gap, remark = line.partition("   ")
            apart = len(gap + remark) - len(remark.lstrip())
            remark = f"<span>{' ' * apart}</span><i>{escape(remark.lstrip())}</i>" if remark else ""
            rows.append(f"<p>{escape(formula)}{remark}</p>")
        return '**Mathematics.**\n\n<div class="mathematics">' + "".join(rows) + "</div>\n"

    return re.sub(r"(?ms)^\*\*Mathematics\.\*\*\n\n```text\n(.*?)^```$", block, text)


def narrowed(path, text):
    """Pictures that have a narrow form beside them (figures.py) show it on small screens."""
    def picture(m):
        wide = PurePosixPath(m[2])
        narrow = wide.with_stem(f"{wide.stem}-narrow")
        if not (ROOT / "docs" / PurePosixPath(path).parent / narrow).is_file():
            return m[0]
        source = f'<source media="(max-width: {NARROW}px)" srcset="{narrow}">'
        return f'<picture>{source}<img src="{wide}" alt="{escape(m[1])}"></picture>'

    return outside_code(text, lambda plain: re.sub(r"!\[([^\]]*)\]\(([^)\s]+\.webp)\)", picture, plain))


def chapters(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            yield item["Chapter"]
            yield from chapters(item["Chapter"]["sub_items"])


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "supports":
        return
    _, book = json.load(sys.stdin)
    items = book["items"] if "items" in book else book["sections"]
    found = {c["path"]: c for c in chapters(items)}
    places = {}
    if "book/reference.md" in found:
        pages, places = reference(found["book/reference.md"]["number"] or [])
        found["book/reference.md"]["sub_items"] += pages
    if "book/gallery.md" in found:
        found["book/gallery.md"]["sub_items"] += gallery(found["book/gallery.md"]["number"] or [])
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder))
        for c in chapters(items):
            content = c["content"]
            if c["source_path"]:
                content = narrowed(c["path"], pictured(formulas(content), Path(folder)))
            c["content"] = linked(c["path"], content, places)
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
