"""The results of a run: arrays, tables and pictures by name, and everything it showed, in order."""

import base64
import csv
import html
import json
import math
import struct
from pathlib import Path

import numpy as np

#: NumPy's types by those of safetensors.
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U32": "<u4", "U8": "|u1"}
#: Pixels of a figure for one px of the screen.
SCALE = 2


class Results(dict):
    """A dictionary of NumPy arrays, :class:`Table` and :class:`Picture`.

    What the script saved comes first, by the file's name without its ending: ``save(map, "map.npy")`` is ``["map"]``. What it
    showed follows by its title: the array behind a figure, else the figure, else the table.
    """

    #: Everything that was shown, in order: :class:`Shown`, or a text.
    shown: list
    #: What `print` wrote.
    printed: str
    #: The folder with report.html, figures/, run.json and the files that the script saved.
    folder: Path
    #: `run.json`: seed, parameters, nets and inputs by their digests.
    manifest: dict

    @classmethod
    def read(cls, folder, printed, keep=None):
        """The results in a run's folder, which lives at least as long as ``keep`` does."""
        results = cls()
        results.folder, results.printed, results._keep = folder, printed, keep
        results.manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        arrays = read_safetensors(folder / "arrays.safetensors")
        entries = json.loads((folder / "shown.json").read_text(encoding="utf-8"))
        results.shown = [Shown.of(entry, f"{i}/", arrays, folder) for i, entry in enumerate(entries, 1)]
        for output in results.manifest["outputs"]:
            results._saved(output["path"])
        for shown in results.shown:
            if isinstance(shown, Shown) and shown.main is not None:
                results[_free(results, shown.title or _kind(shown.main))] = shown.main
        return results

    def _saved(self, name):
        content = read_file(self.folder / name)
        if content is not None:
            short = str(Path(name).with_suffix(""))
            self[name if short in self else short] = content

    @property
    def report(self):
        """The path of the self-contained report, for sharing, and for ``convscope.verify`` where the code ended in ``;``."""
        return self.folder / "report.html"

    def __repr__(self):
        lines = [f"  {key!r}: {_brief(value)}" for key, value in self.items()]
        return "\n".join(["convscope results:", *lines]) if lines else "convscope results: none"

    def _repr_html_(self):
        printed = f"<pre>{html.escape(self.printed)}</pre>" if self.printed else ""
        return printed + "".join(_html(shown) for shown in self.shown)


class Shown:
    """One thing that the script showed."""

    def __init__(self, title, arrays, value, tables, plots, texts, notes, complete, picture):
        #: Its title.
        self.title = title
        #: Its arrays by name, never normalised.
        self.arrays = arrays
        #: The primary array, or None.
        self.value = value
        #: Its tables.
        self.tables = tables
        #: The points of its plots, as tables.
        self.plots = plots
        #: Its texts, as Markdown.
        self.texts = texts
        #: Its caveats and findings, one sentence each.
        self.notes = notes
        #: False where it was stopped early.
        self.complete = complete
        #: The figure, or None where it is only a table or text.
        self.picture = picture

    @classmethod
    def of(cls, entry, prefix, arrays, folder):
        """An entry of shown.json with its arrays; a plain text as it is."""
        if "text" in entry:
            return entry["text"]
        if "markdown" in entry:
            return cls("", {}, None, [], [], [entry["markdown"]], [], True, None)
        own = {name: arrays[prefix + name] for name in entry["arrays"]}
        figure = entry["figure"]
        return cls(
            entry["title"],
            own,
            own.get(entry["value"]),
            [Table(**table) for table in entry["tables"]],
            [Table(**plot) for plot in entry["plots"]],
            entry.get("texts", []),
            entry["notes"],
            entry["complete"],
            Picture.read(folder / figure, entry.get("alt", "")) if figure else None,
        )

    @property
    def main(self):
        """The array behind a figure, else the figure, else the table."""
        if self.picture is None and self.tables:
            return self.tables[0]
        return self.picture if self.value is None else self.value

    def __array__(self, dtype=None, copy=None):
        if self.value is None:
            raise TypeError(f'"{self.title}" holds no array')
        return np.array(self.value, dtype=dtype)

    def __repr__(self):
        return f"<{self.title or 'shown'}: {_brief(self.main)}>"

    def _repr_html_(self):
        # A figure has its title, its tables and its notes in it.
        if self.picture is not None:
            return self.picture.html(self.picture.alt or self.title)
        title = f"<p><b>{html.escape(self.title)}</b></p>" if self.title else ""
        texts = "".join(f"<pre style='white-space: pre-wrap'>{html.escape(text)}</pre>" for text in self.texts)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return title + "".join(table._repr_html_() for table in self.tables) + texts + notes


class Table:
    """A table: ``columns`` are names, ``rows`` lists of texts, numbers, true, false and None."""

    def __init__(self, title, columns, rows):
        self.title, self.columns, self.rows = title, columns, rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        """The rows as dictionaries."""
        return (dict(zip(self.columns, row)) for row in self.rows)

    def __getitem__(self, name):
        """The values of a column: a NumPy array where they are numbers, else a list."""
        if name not in self.columns:
            raise KeyError(f"no column `{name}`; columns are {', '.join(self.columns)}")
        values = [row[self.columns.index(name)] for row in self.rows]
        numbers = all(isinstance(v, (int, float)) for v in values)
        return np.array(values) if numbers else values

    def to_pandas(self):
        """The table as a pandas data frame."""
        import pandas

        return pandas.DataFrame(self.rows, columns=self.columns)

    def __repr__(self):
        return f"<table {len(self.rows)} x {len(self.columns)}: {', '.join(self.columns)}>"

    def _repr_html_(self):
        title = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        rows = "".join("<tr>" + "".join(f"<td>{_cell(v)}</td>" for v in row) + "</tr>" for row in self.rows)
        return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


class Picture:
    """A PNG: ``data`` are its bytes, ``size`` its width and height in pixels, ``alt`` says what it shows."""

    def __init__(self, data, alt=""):
        self.data = data
        self.alt = alt
        self.size = struct.unpack(">II", data[16:24])

    @classmethod
    def read(cls, path, alt=""):
        """The picture in a file."""
        return cls(path.read_bytes(), alt)

    def save(self, path):
        """Writes it into a file."""
        Path(path).write_bytes(self.data)

    def to_pil(self):
        """The picture as Pillow has it."""
        import io

        from PIL import Image

        return Image.open(io.BytesIO(self.data))

    def __repr__(self):
        return f"<picture {self.size[0]} x {self.size[1]}>"

    def _repr_png_(self):
        about = {"width": self.size[0] // SCALE, "height": self.size[1] // SCALE}
        return self.data, {**about, "alt": self.alt} if self.alt else about

    def html(self, title=""):
        """The picture as an element of a page, with its title for those who cannot see it."""
        data = base64.b64encode(self.data).decode()
        return (
            f'<p><img alt="{html.escape(title)}" width="{self.size[0] // SCALE}" style="max-width: 100%" '
            f'src="data:image/png;base64,{data}"></p>'
        )


def read_file(path):
    """A saved file as the type that fits it; a path for other files, None where the file is gone."""
    if not path.is_file():
        return None
    ending = path.suffix.lower()
    if ending == ".npy":
        return np.load(path, allow_pickle=False)
    if ending == ".safetensors":
        return read_safetensors(path)
    if ending == ".png":
        return Picture.read(path)
    if ending == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if ending == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            columns, *rows = csv.reader(file)
        return Table("", columns, [[_number(cell) for cell in row] for row in rows])
    return path


def read_safetensors(path):
    """The arrays of a .safetensors file: a length, that many bytes of JSON, and the values."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, about in head.items():
        if name != "__metadata__":
            start, end = (8 + length + at for at in about["data_offsets"])
            values = np.frombuffer(data[start:end], dtype=TYPES[about["dtype"]])
            arrays[name] = values.reshape(about["shape"]).copy()
    return arrays


def _number(cell):
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell or None


def _free(taken, title):
    """The title, or with a number behind it where it is taken."""
    key, n = title, 1
    while key in taken:
        n += 1
        key = f"{title} ({n})"
    return key


def _kind(value):
    return "array" if isinstance(value, np.ndarray) else type(value).__name__.lower()


def _brief(value):
    if isinstance(value, dict):
        return f"{len(value)} arrays: {', '.join(value)}"
    if isinstance(value, np.ndarray):
        return f"array {' x '.join(map(str, value.shape)) or 'of one number'}, {value.dtype}"
    return repr(value)


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return html.escape(str(value))


def _html(shown):
    return f"<pre>{html.escape(shown)}</pre>" if isinstance(shown, str) else shown._repr_html_()
