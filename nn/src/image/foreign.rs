//! Formats of pictures that are not read, by the first bytes of their files, so that an error can name them.

/// The name of the format that a file begins as, where it is a known one that is not read.
pub fn format(bytes: &[u8]) -> Option<&'static str> {
    let begins = |signature: &[u8]| bytes.starts_with(signature);
    // Files of boxes: a length, a type, and for `ftyp` the brand of what follows.
    match (bytes.get(4..8), bytes.get(8..12)) {
        (Some(b"ftyp"), Some(b"avif" | b"avis")) => return Some("an AVIF image"),
        (Some(b"ftyp"), Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1")) => {
            return Some("a HEIC photo");
        }
        (Some(b"ftyp"), _) => return Some("a video"),
        (Some(b"JXL "), _) => return Some("a JPEG XL image"),
        (Some(b"jP  "), _) => return Some("a JPEG 2000 image"),
        _ => {}
    }
    if bytes.get(128..132) == Some(b"DICM") {
        return Some("a DICOM image");
    }
    if let [b'P', b'1'..=b'7', space, ..] = bytes
        && space.is_ascii_whitespace()
    {
        return Some("a PNM image (PBM, PGM, PPM)");
    }
    let known: [(&[u8], &str); 10] = [
        (b"\xff\x0a", "a JPEG XL image"),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
        (b"\0\0\x01\0", "an icon (ICO)"),
        (b"\x76\x2f\x31\x01", "an OpenEXR image"),
        (b"#?RADIANCE", "a Radiance HDR image"),
        (b"8BPS", "a Photoshop file"),
        (b"qoif", "a QOI image"),
        (b"%PDF-", "a PDF file"),
        (b"<svg", "an SVG drawing"),
        (b"DDS ", "a DDS texture"),
    ];
    known.iter().find(|(signature, _)| begins(signature)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_formats_are_named() {
        for (bytes, name) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "a HEIC photo"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF image"),
            (b"\0\0\0\x20ftypisom\0\0\0\0", "a video"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
            (b"P6\n2 2\n255\n", "a PNM image (PBM, PGM, PPM)"),
        ] {
            assert_eq!(format(bytes), Some(name));
        }
        assert_eq!(format(&[&[0; 128][..], b"DICM"].concat()), Some("a DICOM image"));
        assert!(["Python", "P", "", "hello"].iter().all(|text| format(text.as_bytes()).is_none()));
    }
}
