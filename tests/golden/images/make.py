"""Makes forms.zip: image files in rarer forms, and what PIL reads from each (NAME.png), for the engine's tests.

Run `python make.py` in this folder with numpy and Pillow (made with Pillow 13.0). Nothing here is random.
"""
import io, os, struct, zipfile

import numpy as np
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 24, 18


def drawn():
    """Ramps, a product and hard edges."""
    y, x = np.mgrid[0:H, 0:W]
    checks = ((x // 5 + y // 7) % 2) * 120
    channels = [(x * 7 + y * 3 + checks) % 256, (x * y // 3 + checks) % 256, (x * 2 + y * 5 + (x * x // 9)) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def saved(image, form, **options):
    b = io.BytesIO()
    image.save(b, form, **options)
    return b.getvalue()


def exif(kind, value):
    """An EXIF block that says the orientation as a number of kind 3 (SHORT) or 4 (LONG)."""
    number = struct.pack('<HH', value, 0) if kind == 3 else struct.pack('<I', value)
    return b'Exif\0\0II*\0' + struct.pack('<IHHHI', 8, 1, 0x112, kind, 1) + number + struct.pack('<I', 0)


def with_tag(tiff, tag, kind, value):
    """A little-endian TIFF whose tag of one number is of another kind and value."""
    data = bytearray(tiff)
    at = struct.unpack_from('<I', data, 4)[0]
    for i in range(struct.unpack_from('<H', data, at)[0]):
        entry = at + 2 + 12 * i
        if struct.unpack_from('<H', data, entry)[0] == tag:
            struct.pack_into('<HII', data, entry + 2, kind, 1, value)
            return bytes(data)
    raise KeyError(tag)


XMP = ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')


def png_with_xmp(image):
    from PIL import PngImagePlugin
    info = PngImagePlugin.PngInfo()
    info.add_itxt('XML:com.adobe.xmp', XMP)
    return saved(image, 'PNG', pnginfo=info)


def files():
    rgb = Image.fromarray(drawn())
    palette = rgb.quantize(16)
    wide = rgb.quantize(200)
    grey = rgb.convert('L')
    alpha = Image.fromarray(np.dstack([np.asarray(grey), (np.arange(H * W).reshape(H, W) % 256).astype(np.uint8)]), 'LA')
    ramp = np.linspace(-20, 300, W * H, dtype=np.float32).reshape(H, W)
    out = {
        'long.jpg': saved(rgb, 'JPEG', quality=95, exif=exif(4, 6)),
        'long.png': saved(rgb, 'PNG', exif=exif(4, 3)),
        'long.webp': saved(rgb, 'WEBP', lossless=True, exif=exif(4, 8)),
        'xmp.jpg': saved(rgb, 'JPEG', quality=95, xmp=XMP.encode()),
        'xmp.png': png_with_xmp(rgb),
        'xmp.webp': saved(rgb, 'WEBP', lossless=True, xmp=XMP.encode()),
        'exif_before_xmp.jpg': saved(rgb, 'JPEG', quality=95, exif=exif(3, 3), xmp=XMP.encode()),
        'nonsense.jpg': saved(rgb, 'JPEG', quality=95, exif=exif(3, 77)),
        'palette.tif': saved(palette, 'TIFF'),
        'palette_wide_lzw.tif': saved(wide, 'TIFF', compression='tiff_lzw'),
        'palette_big.tif': saved(wide, 'TIFF', big_tiff=True),
        'grey_alpha.tif': saved(alpha, 'TIFF'),
        'grey_alpha_deflate.tif': saved(alpha, 'TIFF', compression='tiff_adobe_deflate'),
        'grey_alpha.png': saved(alpha, 'PNG'),
        'float_grey.tif': saved(Image.fromarray(ramp), 'TIFF'),
        'float_grey_big.tif': saved(Image.fromarray(ramp), 'TIFF', big_tiff=True),
        'whole_grey.tif': saved(Image.fromarray(np.round(ramp).astype(np.int32)), 'TIFF'),
        'big.tif': saved(rgb, 'TIFF', big_tiff=True),
        'big_grey_lzw.tif': saved(grey, 'TIFF', big_tiff=True, compression='tiff_lzw'),
        'one_bit.tif': saved(rgb.convert('1'), 'TIFF'),
        'turned.tif': saved(rgb, 'TIFF', tiffinfo={274: 6}),
        'endless.png': saved(rgb, 'PNG')[:-12],
        'half_an_end.png': saved(palette, 'PNG')[:-6],
    }
    out['turned_long.tif'] = with_tag(out['turned.tif'], 274, 4, 8)
    return out


def read(data):
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB')


if __name__ == '__main__':
    with zipfile.ZipFile(os.path.join(HERE, 'forms.zip'), 'w', zipfile.ZIP_DEFLATED) as out:
        for name, data in files().items():
            for entry, content in [(name, data), (name + '.png', saved(read(data), 'PNG', optimize=True))]:
                out.writestr(zipfile.ZipInfo(entry), content, zipfile.ZIP_DEFLATED)
