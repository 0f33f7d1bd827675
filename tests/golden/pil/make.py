"""Makes this folder: what PIL gives for images drawn by formula, for engine/tests/it/images.rs to compare with.

Run `python make.py` with numpy and Pillow (made with Pillow 13.0). Nothing here is random.
"""

import os

import numpy as np
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))


def drawn(width, height):
    """The same formula as `drawn` in engine/tests/it/images.rs: ramps, a product and hard edges, in whole numbers."""
    y, x = np.mgrid[0:height, 0:width]
    checks = ((x // 5 + y // 7) % 2) * 120
    channels = [(x * 7 + y * 3 + checks) % 256, (x * y // 3 + checks) % 256, (x * 2 + y * 5 + (x * x // 9)) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def smooth(width, height):
    """Ramps without edges, so that lossy codecs agree closely."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([40 + x * 3, 200 - y * 3, 90 + x + y], axis=-1).astype(np.uint8)


def save(name, image):
    image.save(os.path.join(HERE, name), optimize=True)


def resizes():
    source = Image.fromarray(drawn(97, 61))
    for name, filter in [("nearest", 0), ("bilinear", 2), ("bicubic", 3)]:
        for width, height in [(40, 33), (23, 61), (150, 71), (7, 5)]:
            save(f"{name}_{width}x{height}.png", source.resize((width, height), filter))
    for degrees in [30, -75]:
        save(f"rotate_{degrees}.png", source.rotate(degrees, resample=Image.Resampling.BILINEAR))


def case(name, **options):
    """Writes a file `name` and, as `name`.png, what PIL reads from it (orientation applied)."""
    image = options.pop("image")
    path = os.path.join(HERE, name)
    image.save(path, **options)
    expect(name)


def expect(name):
    read = Image.open(os.path.join(HERE, name))
    if read.mode.startswith("I;16"):
        eight = np.round(np.asarray(read).astype(np.float64) / 257).astype(np.uint8)
        read = Image.fromarray(eight)
    save(f"{name}.png", ImageOps.exif_transpose(read).convert("RGB"))


def drafts():
    """JPEG files and what PIL gives of them scaled down by 2, 4 and 8 while they are decoded."""
    colours = Image.fromarray(drawn(49, 35))
    for name, image, options in [("draft_420", colours, dict(subsampling=2)), ("draft_422", colours, dict(subsampling=1)),
                                 ("draft_444", colours, dict(subsampling=0, progressive=True)),
                                 ("draft_grey", colours.convert("L"), {})]:
        path = os.path.join(HERE, name + ".jpg")
        image.save(path, quality=85, **options)
        for by in [1, 2, 4, 8]:
            read = Image.open(path)
            read.draft(None, (49 // by, 35 // by))
            save(f"{name}_{by}.png", read.convert("RGB"))


def decodes():
    rgb = Image.fromarray(smooth(24, 18))
    edges = Image.fromarray(drawn(24, 18))
    alpha = Image.fromarray(np.dstack([drawn(24, 18), (np.arange(24 * 18).reshape(18, 24) % 256).astype(np.uint8)]))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        case(f"orientation_{orientation}.jpg", image=rgb, quality=95, subsampling=0, exif=exif)
    case("cmyk.jpg", image=rgb.convert("CMYK"), quality=95)
    case("black.jpg", image=Image.fromarray(cmyk(24, 18), "CMYK"), quality=95)
    case("grey.jpg", image=rgb.convert("L"), quality=95)
    case("progressive.jpg", image=rgb, quality=95, progressive=True)
    case("alpha.png", image=alpha)
    case("grey_alpha.png", image=alpha.convert("LA"))
    case("palette.png", image=edges.quantize(16), transparency=3)
    case("one_bit.png", image=edges.convert("1"))
    case("sixteen.png", image=Image.fromarray((np.arange(24 * 18, dtype=np.uint16) * 151).reshape(18, 24)))
    case("transparent.gif", image=edges.quantize(16), transparency=5)
    case("animated.gif", image=edges, save_all=True, append_images=[rgb])
    case("edges.bmp", image=edges)
    case("alpha.webp", image=alpha, lossless=True, exact=True)
    case("lossy.webp", image=rgb, quality=95)
    case("edges.tif", image=edges, compression="tiff_lzw")
    case("cmyk.tif", image=Image.fromarray(cmyk(24, 18), "CMYK"), compression="tiff_lzw")
    exif = Image.Exif()
    exif[274] = 6
    case("turned.png", image=edges, exif=exif)


def cmyk(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 5, y * 6, 100 + 0 * x, 20 + x + 2 * y], axis=-1).astype(np.uint8)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    resizes()
    decodes()
    drafts()
