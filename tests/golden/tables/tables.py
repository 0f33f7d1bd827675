"""Writes hf.parquet, a table as Hugging Face's `datasets` writes it, with pyarrow.

    pip install pyarrow pillow numpy
    python tests/golden/tables/tables.py

Twelve PNGs of 4 x 3 pixels in `struct<bytes, path>`, snappy, in row groups of 5: image i is filled with (i, 2 i, 255 - i).
Row 7 holds bytes that are no image, row 9 no bytes. Labels are numbers whose names stand in the metadata.
"""

import io
import json
import pathlib

import numpy
import pyarrow
import pyarrow.parquet
from PIL import Image

rows = []
for i in range(12):
    pixels = numpy.full((3, 4, 3), (i, 2 * i, 255 - i), numpy.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    image = {"bytes": held.getvalue(), "path": f"{i}.png"}
    if i == 7:
        image["bytes"] = b"no image"
    if i == 9:
        image = None
    rows.append({"image": image, "label": i % 3 if i != 5 else -1, "size": i / 4, "place": "ab"[i % 2], "unused": list(range(i))})
features = {
    "image": {"_type": "Image"},
    "label": {"names": ["ant", "bee", "cat"], "_type": "ClassLabel"},
}
schema = pyarrow.schema(
    [
        ("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),
        ("label", pyarrow.int64()),
        ("size", pyarrow.float32()),
        ("place", pyarrow.string()),
        ("unused", pyarrow.list_(pyarrow.int64())),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": features}})},
)
table = pyarrow.Table.from_pylist(rows, schema)
pyarrow.parquet.write_table(table, pathlib.Path(__file__).with_name("hf.parquet"), compression="snappy", row_group_size=5)
