//! Image files in rarer forms give what PIL gives (`tests/golden/images/make.py`): orientation as LONG and in XMP, TIFFs with
//! palettes, alpha, real numbers and 64-bit offsets, PNGs without their end.

#![allow(clippy::unwrap_used)]

use crate::golden;
use convscope_engine::data::Image;

#[test]
fn rarer_forms_are_read_as_pil_reads_them() {
    let forms = golden::path("images/forms.zip");
    let archive = zip::ZipArchive::new(std::fs::File::open(&forms).unwrap()).unwrap();
    let all: Vec<String> = archive.file_names().map(|n| n.unwrap().into_owned()).collect();
    let names: Vec<&String> = all.iter().filter(|n| all.contains(&format!("{n}.png"))).collect();
    assert_eq!(names.len(), 24, "{names:?}");
    for name in names {
        // Decoders of JPEG differ in their rounding.
        let limit = if name.ends_with("jpg") { 4 } else { 0 };
        let got = Image::decode(&golden::entry(&forms, name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let want = Image::decode(&golden::entry(&forms, &format!("{name}.png"))).unwrap();
        assert_eq!((got.width(), got.height()), (want.width(), want.height()), "{name}");
        let most = got.pixels().iter().zip(want.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(most <= limit, "{name}: off by {most}");
    }
}

#[test]
fn a_png_that_ends_within_its_pixels_is_damaged() {
    let forms = golden::path("images/forms.zip");
    let whole = golden::entry(&forms, "xmp.png");
    for end in [whole.len() / 2, whole.len() - 40] {
        let error = Image::decode(&whole[..end]).unwrap_err();
        assert!(error.message.contains("damaged or truncated PNG"), "{end}: {error}");
    }
}
