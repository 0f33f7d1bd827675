//! Image files in rarer forms give what PIL gives (`tests/golden/images/make.py`): orientation as LONG and in XMP, TIFFs with
//! palettes, alpha, real numbers and 64-bit offsets, PNGs without their end.

#![allow(clippy::unwrap_used)]

use crate::{golden, own_process};
use convscope_engine::data::Image;
use convscope_engine::limits::DECODER;
use std::io::Write;

#[test]
fn rarer_forms_are_read_as_pil_reads_them() {
    let forms = golden::path("images/forms.zip");
    let archive = zip::ZipArchive::new(std::fs::File::open(&forms).unwrap()).unwrap();
    let all: Vec<String> = archive.file_names().map(|n| n.unwrap().into_owned()).collect();
    let names: Vec<&String> = all.iter().filter(|n| all.contains(&format!("{n}.png"))).collect();
    assert_eq!(names.len(), 24, "{names:?}");
    for name in names {
        let got = Image::decode(&golden::entry(&forms, name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let want = Image::decode(&golden::entry(&forms, &format!("{name}.png"))).unwrap();
        assert_eq!((got.width(), got.height()), (want.width(), want.height()), "{name}");
        let most = got.pixels().iter().zip(want.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert_eq!(most, 0, "{name}");
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

/// A PNG file with another chunk behind its header.
fn with_chunk(png: &[u8], name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let (header, rest) = png.split_at(33);
    let named = [name.as_slice(), content].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&named);
    let length = content.len() as u32;
    [header, &length.to_be_bytes(), &named, &sum.sum().to_be_bytes(), rest].concat()
}

#[cfg(target_os = "linux")]
#[test]
fn a_colour_profile_takes_no_more_than_a_decoder_may() {
    if let Some(path) = own_process::part() {
        let image = Image::open(path).unwrap();
        assert_eq!((image.width(), image.pixels()), (2, [9; 12].as_slice()));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().split_whitespace().next().unwrap();
        return println!("peak {peak} kB");
    }
    let peak = |bytes: u64| -> u64 {
        let mut packed = flate2::write::ZlibEncoder::new(b"x\0\0".to_vec(), flate2::Compression::fast());
        (0..bytes >> 20).for_each(|_| packed.write_all(&vec![0; 1 << 20]).unwrap());
        let png = Image::filled(2, 2, [9; 3]).unwrap().encode_png().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, with_chunk(&png, b"iCCP", &packed.finish().unwrap())).unwrap();
        let test = "image_forms::a_colour_profile_takes_no_more_than_a_decoder_may";
        let output = own_process::again(test, path.to_str().unwrap()).arg("--nocapture").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = said.lines().find_map(|l| l.split_once("peak ")?.1.strip_suffix(" kB")?.parse::<u64>().ok());
        number.unwrap_or_else(|| panic!("{said}")) << 10
    };
    let (plain, bomb) = (peak(0), peak(8 * DECODER));
    assert!(bomb < plain + 3 * DECODER, "{bomb} bytes, {plain} without the profile");
}
