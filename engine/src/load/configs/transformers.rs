//! The `preprocessor_config.json` of Hugging Face's transformers, read by what the processor that it names does with its keys.

use super::processors::{self, Processor, Way};
use super::{Reading, flag, in_proportion, timm, unread, whole_numbers};
use crate::data::Interpolation;
use crate::data::preprocess::{Order, Preprocess, Resize, Rounding, Size};
use crate::error::Result;
use serde_json::Value;

/// ConvNeXt's share, where nothing is said of it.
const CONVNEXT_SHARE: f64 = 224.0 / 256.0;

/// PoolFormer's share, where nothing is said of it.
const POOLFORMER_SHARE: f64 = 0.9;

/// The side of ConvNeXt's input from which on it sees the whole photo squashed, pixels.
const CONVNEXT_WHOLE: usize = 384;

/// What a processor's size means.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    /// Both sides.
    Sides(Size),
    /// The short side.
    Short(usize),
    /// The short side, and a limit of the long one.
    Bounded,
    /// The long side.
    Long,
}

/// The `preprocessor_config.json` of transformers for an `input` of this size; `model_type` is that of the configuration beside it,
/// which decides where no processor is named. Nothing where it is none of photos.
///
/// # Errors
/// Where its values cannot be computed with.
pub fn transformers(config: &Value, model_type: Option<&str>, input: Size) -> Result<Option<Reading>> {
    if config["pretrained_cfg"].is_object() {
        return timm(config, Some(input));
    }
    let class = ["image_processor_type", "feature_extractor_type"].iter().find_map(|key| config[*key].as_str());
    let found = match class {
        Some(class) => processors::named(class),
        None => model_type.and_then(processors::of_model),
    };
    let processor = found.unwrap_or(&processors::UNKNOWN);
    let mut remarks = Vec::new();
    match (found, class) {
        (Some(_), _) => {}
        (None, Some(class)) => {
            remarks.push(format!("`{class}` is not known, its keys are read as most processors do, which is assumed"));
        }
        (None, None) => {
            remarks
                .push("it names no processor, its keys are read as most processors do, which is assumed".to_string());
        }
    }
    let Some((scale, mean, std)) = values(config, processor) else { return Ok(None) };
    let (resize, own) = fitted(config, processor, input, found.is_some(), &mut remarks);
    let resize = match own.filter(|own| *own != input) {
        Some(own) => {
            remarks.push(in_proportion(own, input));
            scaled(resize, own, input)
        }
        None => resize,
    };
    let flips = processor.way == Way::MobileVit && flag(config, "do_flip_channel_order", true);
    let channels = mean.len();
    let narrow = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
    let made = Preprocess {
        mean: narrow(mean),
        std: narrow(std),
        scale: scale as f32,
        resize,
        order: if flips { Order::Bgr } else { Order::Rgb },
        interpolation: interpolation(config, processor, &mut remarks),
        rounding: Rounding::Transformers,
        ..Preprocess::new(input, channels)?
    };
    made.check()?;
    remarks.extend(unread(config, |key| is_read(key, config, processor)));
    Ok(Some(Reading { preprocess: made, remarks }))
}

/// The size of the input that the configuration of a processor is for.
pub fn size_of(config: &Value) -> Option<Size> {
    let class = ["image_processor_type", "feature_extractor_type"].iter().find_map(|key| config[*key].as_str());
    let processor = class.and_then(processors::named).unwrap_or(&processors::UNKNOWN);
    let crops = flag(config, "do_center_crop", processor.crops || class.is_none());
    let is_cropped = crops && !matches!(processor.way, Way::Perceiver | Way::ConvNext);
    let sides = |key: &str| match target(&config[key], true) {
        Some(Target::Sides(size)) => Some(size),
        Some(Target::Short(n)) => Some(Size::from(n)),
        Some(Target::Bounded | Target::Long) | None => {
            config[key]["shortest_edge"].as_u64().filter(|n| *n > 0).map(|n| Size::from(n as usize))
        }
    };
    is_cropped.then(|| sides("crop_size")).flatten().or_else(|| sides("size"))
}

/// The factor, mean and deviation of x = (pixel * factor - mean) / deviation, or nothing where they are not known.
fn values(config: &Value, processor: &Processor) -> Option<(f64, Vec<f64>, Vec<f64>)> {
    let rescales = flag(config, "do_rescale", true);
    let scale = if rescales { config["rescale_factor"].as_f64().unwrap_or(1.0 / 255.0) } else { 1.0 };
    let said = |key: &str| match &config[key] {
        Value::Number(one) => one.as_f64().map(|one| vec![one; 3]),
        list => list.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>(),
    };
    let defaults = processor.colours;
    let mean = said("image_mean").or_else(|| defaults.map(|(mean, _)| mean.to_vec()));
    let std = said("image_std").or_else(|| defaults.map(|(_, std)| std.to_vec()));
    let channels = mean.as_ref().map_or(3, Vec::len);
    let normalises = processor.way != Way::MobileVit && flag(config, "do_normalize", processor.normalises);
    let (mut mean, mut divisor) = match normalises {
        true => (mean?, std.clone()?),
        false => {
            // Processors of sounds say of their input whether they normalise it, too.
            let is_of_photos = processor.colours.is_some() || mean.is_some() || !config["size"].is_null();
            is_of_photos.then(|| (vec![0.0; channels], vec![1.0; channels]))?
        }
    };
    if processor.way == Way::EfficientNet {
        if rescales && flag(config, "rescale_offset", false) {
            mean.iter_mut().for_each(|mean| *mean += 1.0);
        }
        if flag(config, "include_top", true) {
            divisor.iter_mut().zip(std?).for_each(|(divisor, std)| *divisor *= std);
        }
    }
    Some((scale, mean, divisor))
}

/// How a photo is resized, and the size of the input that the configuration is for, where it says one.
fn fitted(
    config: &Value,
    processor: &Processor,
    input: Size,
    is_known: bool,
    remarks: &mut Vec<String>,
) -> (Resize, Option<Size>) {
    let crop = flag(config, "do_center_crop", processor.crops).then(|| match target(&config["crop_size"], true) {
        Some(Target::Sides(size)) => size,
        _ => input,
    });
    if !flag(config, "do_resize", true) {
        return (Resize::Auto, crop);
    }
    let square = config["default_to_square"].as_bool().unwrap_or(processor.square);
    let target = match target(&config["size"], square) {
        Some(Target::Short(_)) if config["max_size"].is_u64() => Some(Target::Bounded),
        read => read,
    };
    let share = |usual: f64| config["crop_pct"].as_f64().filter(|share| *share > 0.0).unwrap_or(usual);
    let target = match (processor.way, target) {
        (Way::ConvNext, Some(Target::Short(n))) => {
            let own = Size::from(n);
            return match n < CONVNEXT_WHOLE {
                true => (Resize::Short(((n as f64 / share(CONVNEXT_SHARE)) as usize).max(n)), Some(own)),
                false => (Resize::Direct, Some(own)),
            };
        }
        (Way::PoolFormer, Some(Target::Short(n))) => Some(Target::Short((n as f64 / share(POOLFORMER_SHARE)) as usize)),
        (Way::PoolFormer, Some(Target::Sides(Size { height, width }))) if height == width => {
            Some(Target::Short((height as f64 / share(POOLFORMER_SHARE)) as usize))
        }
        (Way::Levit, Some(Target::Short(n))) => Some(Target::Short((256.0 / 224.0 * n as f64) as usize)),
        (Way::Perceiver, Some(Target::Sides(size))) if crop.is_some_and(|crop| crop != size) => {
            let short = crop.map_or(size.height, |crop| crop.height.max(crop.width));
            remarks.push("its crop comes before its resize, here behind it, which moves some pixels".to_string());
            return (Resize::Short(short.max(size.height.max(size.width))), Some(size));
        }
        (_, target) => target,
    };
    let pads =
        "a photo that is smaller than its crop has a black ground; here it is resized to cover it (option: resize)";
    match (target, crop) {
        (Some(Target::Sides(size)), Some(crop)) if size.height < crop.height || size.width < crop.width => {
            remarks.push(pads.to_string());
            (Resize::Direct, Some(crop))
        }
        (Some(Target::Sides(size)), Some(crop)) if size != crop => (Resize::Squash(size), Some(crop)),
        (Some(Target::Sides(size)), _) => {
            if flag(config, "keep_aspect_ratio", false) {
                remarks.push(
                    "it keeps a photo's proportions; here the photo is squashed to the net's input (option: resize)"
                        .into(),
                );
            }
            (Resize::Direct, Some(size))
        }
        (Some(Target::Short(n)), Some(crop)) => {
            let side = crop.height.max(crop.width);
            if n < side {
                remarks.push(pads.to_string());
            }
            (Resize::Short(n.max(side)), Some(crop))
        }
        (Some(Target::Short(n)), None) if !is_known && n >= input.height.max(input.width) => (Resize::Short(n), None),
        (Some(Target::Short(_) | Target::Bounded), _) => {
            remarks.push(
                "its processor keeps a photo's proportions, which an input of one size does not; here the whole photo is squashed \
                 to it (option: resize)"
                    .to_string(),
            );
            (Resize::Direct, None)
        }
        (Some(Target::Long), _) => {
            remarks.push(
                "its processor fits a photo's long side and fills up at the right and lower edge; here it lies in the middle, on \
                 grey (option: resize)"
                    .to_string(),
            );
            (Resize::Letterbox, None)
        }
        (None, crop) => (Resize::Direct, crop),
    }
}

/// What a `size` or `crop_size` means; one number is a `square` or the short side.
fn target(value: &Value, square: bool) -> Option<Target> {
    let side = |key: &str| value[key].as_u64().map(|n| n as usize).filter(|n| *n > 0);
    if let Some(n) = value.as_u64().map(|n| n as usize).filter(|n| *n > 0) {
        return Some(if square { Target::Sides(Size::from(n)) } else { Target::Short(n) });
    }
    if let Some(&[height, width]) = whole_numbers(value).as_deref() {
        return Some(Target::Sides(Size { height, width }));
    }
    match (side("height"), side("width"), side("shortest_edge"), side("longest_edge")) {
        (Some(height), Some(width), ..) => Some(Target::Sides(Size { height, width })),
        (_, _, Some(_), Some(_)) => Some(Target::Bounded),
        (_, _, Some(short), None) => Some(Target::Short(short)),
        (_, _, None, Some(_)) => Some(Target::Long),
        _ => (side("max_height").is_some() && side("max_width").is_some()).then_some(Target::Long),
    }
}

/// A resize for an input of `own` size in proportion for one of another.
fn scaled(resize: Resize, own: Size, input: Size) -> Resize {
    let along =
        |n: usize, from: usize, to: usize| ((n as f64 * to as f64 / from as f64).round_ties_even() as usize).max(to);
    match resize {
        Resize::Short(n) => Resize::Short(along(n, own.height.max(own.width), input.height.max(input.width))),
        Resize::Squash(Size { height, width }) => Resize::Squash(Size {
            height: along(height, own.height, input.height),
            width: along(width, own.width, input.width),
        }),
        Resize::Direct | Resize::Letterbox | Resize::Auto => resize,
    }
}

/// The interpolation of PIL's number, as `resample` has it.
fn interpolation(config: &Value, processor: &Processor, remarks: &mut Vec<String>) -> Interpolation {
    match &config["resample"] {
        Value::Null => processor.interpolation,
        said => match (said.as_u64(), said.as_str().map(Interpolation::named)) {
            (Some(0), _) => Interpolation::Nearest,
            (Some(2), _) => Interpolation::Bilinear,
            (Some(3), _) => Interpolation::Bicubic,
            (None, Some(Ok(named))) => named,
            _ => {
                remarks.push(format!("`resample` {said} is not known, bicubic is taken (option: interpolation)"));
                Interpolation::Bicubic
            }
        },
    }
}

/// Whether a key of a processor's configuration is read, or changes nothing.
fn is_read(key: &str, config: &Value, processor: &Processor) -> bool {
    match key {
        "size" | "max_size" | "crop_size" | "default_to_square" | "do_resize" | "do_center_crop" | "do_rescale"
        | "rescale_factor" | "do_normalize" | "image_mean" | "image_std" | "resample" => true,
        "crop_pct" => matches!(processor.way, Way::ConvNext | Way::PoolFormer),
        "rescale_offset" | "include_top" => processor.way == Way::EfficientNet,
        "do_flip_channel_order" => processor.way == Way::MobileVit,
        "keep_aspect_ratio" => {
            processor.way == Way::Plain && matches!(target(&config["size"], true), Some(Target::Sides(_)))
        }
        "pad_size" => !flag(config, "do_pad", false),
        // What is padded is said where the proportions are kept.
        "do_pad" => !matches!(target(&config["size"], true), Some(Target::Sides(_))),
        other => processors::IDLE.contains(&other),
    }
}
