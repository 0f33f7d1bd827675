//! The usual ways of preprocessing photos, by name.

use crate::data::preprocess::{Order, Preprocess, Resize, Size};
use crate::error::{Error, Result};

/// The names of the presets.
pub const PRESETS: [&str; 5] = ["imagenet", "caffe", "tf", "inception", "raw"];

/// A usual way of preprocessing for an input of `size`.
///
/// "imagenet": torchvision's mean and deviation of pixels in 0 to 1; "caffe": BGR minus the mean of pixels in 0 to 255;
/// "tf" and "inception": pixels in -1 to 1; "raw": pixels as they are, 0 to 255. Nets that see grey take the mean of the
/// channels' values.
///
/// # Errors
/// Where the net takes no photos, or there is no such preset.
pub fn preset(name: &str, size: Size, channels: usize) -> Result<Preprocess> {
    let base = Preprocess { resize: Resize::Auto, ..Preprocess::new(size, channels)? };
    let spread = |values: [f32; 3]| match channels {
        1 => vec![values.iter().sum::<f32>() / 3.0],
        _ => values.to_vec(),
    };
    let made = match name {
        "imagenet" => Preprocess { mean: spread([0.485, 0.456, 0.406]), std: spread([0.229, 0.224, 0.225]), ..base },
        "caffe" => Preprocess {
            order: Order::Bgr,
            scale: 1.0,
            mean: spread([103.939, 116.779, 123.68]),
            std: spread([1.0; 3]),
            ..base
        },
        "tf" | "inception" => Preprocess { scale: 1.0, mean: spread([127.5; 3]), std: spread([127.5; 3]), ..base },
        "raw" => Preprocess { scale: 1.0, mean: spread([0.0; 3]), std: spread([1.0; 3]), ..base },
        other => return Err(Error::not_found(format!("no preset `{other}`")).hint(PRESETS.join(", "))),
    };
    made.check()?;
    Ok(made)
}
