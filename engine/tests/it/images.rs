//! Decoding, resizing and rotating give what PIL gives (`tests/golden/pil`), and preprocessing gives the
//! reference inputs.

#![allow(clippy::unwrap_used)]

use crate::{golden, reference};
use std::path::PathBuf;

use convscope_engine::data::{Image, Interpolation, Preprocess, load_tensor};

fn pil(name: &str) -> PathBuf {
    golden::path("pil").join(name)
}

/// The same formula as `drawn` in `tests/golden/pil/make.py` and `tests/golden/preprocessing/make.py`.
pub fn drawn(width: usize, height: usize) -> Image {
    let colour = |x: usize, y: usize| {
        let checks = ((x / 5 + y / 7) % 2) * 120;
        [x * 7 + y * 3 + checks, x * y / 3 + checks, x * 2 + y * 5 + x * x / 9].map(|v| (v % 256) as u8)
    };
    let pixels = (0..width * height).flat_map(|i| colour(i % width, i / width)).collect();
    Image::new(width, height, pixels).unwrap()
}

/// Mean and largest difference in pixel steps.
fn difference(a: &Image, b: &Image) -> (f64, u8) {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let steps = || a.pixels().iter().zip(b.pixels()).map(|(a, b)| a.abs_diff(*b));
    let mean = steps().map(f64::from).sum::<f64>() / a.pixels().len() as f64;
    (mean, steps().max().unwrap())
}

#[test]
fn resize_matches_pil() {
    let source = drawn(97, 61);
    for (name, interpolation) in [
        ("nearest", Interpolation::Nearest),
        ("bilinear", Interpolation::Bilinear),
        ("bicubic", Interpolation::Bicubic),
    ] {
        for (width, height) in [(40, 33), (23, 61), (150, 71), (7, 5)] {
            let expected = Image::open(pil(&format!("{name}_{width}x{height}.png"))).unwrap();
            let (mean, most) = difference(&source.resize(width, height, interpolation).unwrap(), &expected);
            println!("{name} {width} x {height}: mean {mean:.4}, most {most}");
            assert!(most == 0, "{name} {width} x {height}: mean {mean}, most {most}");
        }
    }
}

#[test]
fn rotation_matches_pil() {
    for degrees in [30, -75] {
        let expected = Image::open(pil(&format!("rotate_{degrees}.png"))).unwrap();
        let (mean, most) = difference(&drawn(97, 61).rotate(f64::from(degrees)).unwrap(), &expected);
        println!("rotate {degrees}: mean {mean:.4}, most {most}");
        assert!(mean <= 0.6 && most <= 1, "{degrees}: mean {mean}, most {most}");
    }
}

/// The decoder of lossy WebP differs from libwebp in its rounding.
#[test]
fn every_kind_of_file_is_read_as_pil_reads_it() {
    let mut names: Vec<String> = std::fs::read_dir(pil(""))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| pil(&format!("{name}.png")).exists())
        .collect();
    names.sort();
    assert_eq!(names.len(), 25, "{names:?}");
    for name in names {
        let limit = match name.rsplit('.').next().unwrap() {
            "webp" if name.starts_with("lossy") => 3,
            "tif" if name.starts_with("cmyk") => 1,
            _ => 0,
        };
        let expected = Image::open(pil(&format!("{name}.png"))).unwrap();
        let (mean, most) = difference(&Image::open(pil(&name)).unwrap(), &expected);
        println!("{name}: mean {mean:.4}, most {most}");
        assert!(most <= limit, "{name}: mean {mean}, most {most}");
    }
}

#[test]
fn jpeg_files_are_scaled_down_as_pil_s_draft_does_it() {
    for name in ["draft_420", "draft_422", "draft_444", "draft_grey"] {
        let file = pil(&format!("{name}.jpg"));
        for by in [1, 2, 4, 8] {
            let expected = Image::open(pil(&format!("{name}_{by}.png"))).unwrap();
            let found = Image::open_reduced(&file, &|w, h| (w / by, h / by)).unwrap();
            assert_eq!(difference(&found, &expected), (0.0, 0), "{name} by {by}");
        }
        assert_eq!(Image::open(&file).unwrap(), Image::open(pil(&format!("{name}_1.png"))).unwrap(), "{name}");
    }
}

/// A file that ends early, or has a flipped byte, is an error or an image, never a panic.
#[test]
fn damaged_files_are_errors_and_never_panic() {
    for entry in std::fs::read_dir(pil("")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.len() > 3000 {
            continue;
        }
        for end in 0..bytes.len() {
            let whole = Image::decode(&bytes[..end]).is_ok();
            // The closing chunk of a PNG file holds no pixels.
            let only_the_end_is_missing = path.extension().is_some_and(|e| e == "png") && end + 12 >= bytes.len();
            let first_frame_is_there = path.ends_with("animated.gif") && end > 600;
            assert!(
                !whole || first_frame_is_there || end * 10 > bytes.len() * 9 || only_the_end_is_missing,
                "{} is read after {end} of {}",
                path.display(),
                bytes.len()
            );
        }
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x55;
            let read = std::panic::catch_unwind(|| Image::decode(&broken).is_ok());
            assert!(read.is_ok(), "{} panics with a wrong byte {at}", path.display());
        }
    }
}

#[test]
fn preprocessing_gives_the_reference_inputs() {
    let Some(data) = reference::data("") else { return };
    let imagenet = r#""mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]"#;
    let nets = [
        ("squeezenet1.1", r#"{"size": 227, "order": "BGR", "scale": 1.0, "mean": [103.939, 116.779, 123.68]}"#.into()),
        ("mobilenet_v1_0.25_224", r#"{"size": 224, "scale": 1.0, "mean": [127.5], "std": [127.5]}"#.into()),
        ("efficientnet-lite0", r#"{"size": 224, "scale": 1.0, "mean": [127], "std": [128]}"#.into()),
        ("resnet20-cifar10", format!(r#"{{"size": 32, "resize": "direct", {imagenet}}}"#)),
    ];
    let mut checked = 0;
    for (net, options) in nets {
        let preprocess: Preprocess = serde_json::from_str(&options).unwrap();
        for photo in ["chelsea", "parrot"] {
            let reference = data.join("oracle").join(net).join(format!("{photo}.input.npy"));
            if !reference.exists() {
                continue;
            }
            let expected = load_tensor(&reference).unwrap().to_vec3::<f32>().unwrap();
            let image = Image::open(data.join("photos").join(format!("{photo}.png"))).unwrap();
            let found = preprocess.apply(&image).unwrap().to_vec3::<f32>().unwrap();
            let (mut sum, mut most, mut count) = (0.0, 0f32, 0);
            for (channel, step) in preprocess.per_255().iter().enumerate() {
                for (a, b) in expected[channel].iter().flatten().zip(found[channel].iter().flatten()) {
                    let steps = (a - b).abs() / step;
                    sum += f64::from(steps);
                    most = most.max(steps);
                    count += 1;
                }
            }
            let mean = sum / f64::from(count);
            println!("{net}, {photo}: mean {mean:.5}, most {most:.3} of 255");
            assert!(mean <= 1.0 && most <= 2.0, "{net}, {photo}: mean {mean}, most {most}");
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
}
