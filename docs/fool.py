"""Sets the tables of docs/fool.md from what scripts/attack_table.rhai, scripts/attack_peers.py and
scripts/inversion_table.rhai wrote.

    convscope run scripts/attack_table.rhai --param n=20 --out table
    python scripts/attack_peers.py WEIGHTS.safetensors table/clean
    convscope run scripts/inversion_table.rhai --param n=20 --out inversion
    python docs/fool.py table inversion
"""

import csv
import pathlib
import re
import sys

PAGE = pathlib.Path(__file__).resolve().parent / "fool.md"


def read(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def number(text):
    return f"{float(text):.3g}" if float(text) < 1000 else f"{float(text):.0f}"


def attacks(folder):
    theirs = {row["attack"]: row for row in read(folder / "peers.csv")}
    lines = [
        ["attack", "fooled", "linf", "l2", "rms", "fooled, PNG", "linf, PNG", "l2, PNG", "rms, PNG",
         "foolbox: fooled", "rounded", "linf", "l2", "rms"],
        ["---"] * 14,
    ]
    for row in read(folder / "attacks.csv"):
        name = row["attack"][2:]
        own = [f"{row['fooled']} of {row['of']}", *(number(row[k]) for k in ("linf", "l2", "rms"))]
        own += [row["fooled_8bit"], *(number(row[k + "_8bit"]) for k in ("linf", "l2", "rms"))]
        peer = theirs.get(name)
        told = ["", "", "", "", ""]
        if peer:
            told = [f"{peer['fooled']} of {peer['of']}", peer["fooled_8bit"], *(number(peer[k]) for k in ("linf", "l2", "rms"))]
        lines.append([name, *own, *told])
    return lines


def inversion(folder):
    seen = {row["layer"]: row for row in read(folder / "recognised.csv")}
    lines = [["layer", "median error", "lowest", "highest", "median distance / N", "second net agrees"], ["---"] * 6]
    for row in read(folder / "inversion.csv"):
        agrees = seen[row["layer"]]
        told = [number(row[k]) for k in ("median error", "lowest", "highest", "median distance / N")]
        lines.append([row["layer"], *told, f"{agrees['same_class']} of {agrees['of']}"])
    return lines


def put(page, name, lines):
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    page, found = re.subn(pattern, lambda m: f"{m[1]}\n{table}\n{m[2]}", page, flags=re.S)
    assert found == 1, f"{PAGE} has no place for {name}"
    return page


def main():
    page = put(PAGE.read_text(), "attacks", attacks(pathlib.Path(sys.argv[1])))
    PAGE.write_text(put(page, "inversion", inversion(pathlib.Path(sys.argv[2]))))


main()
