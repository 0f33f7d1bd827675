//! A channel's strongest crops in a data set beside their projections to pixels.
//!
//! Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, section 4 and figure 2.

use crate::data::Interpolation;
use crate::data::files::Dataset;
use crate::data::image::{Image, PixelBox};
use crate::data::preprocess::Order;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::pass::Tap;
use crate::probes::attribution::input_signal;
use crate::rules::Rules;
use crate::show::{Artifact, Part, Pictures};
use crate::stats::quantile;
use crate::stream::{StreamReport, stream_tensors};
use crate::subject::{Input, Subject, argmax};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;

/// A channel's largest activation in one image.
struct Peak {
    value: f64,
    image: usize,
    at: [usize; 2],
}

/// Side to which small crops are enlarged, px.
const ENLARGED_SIDE: usize = 96;

/// The `top` crops of `data` that excite a channel most, one an image, each beside its projection under `rules`.
///
/// # Errors
/// Where `on` is no channel of a layer with maps, or no image can be read.
pub fn figure(name: &str, rules: &Rules, top: usize, on: &Subject, data: &Dataset, job: &Job) -> Result<Artifact> {
    let Subject::Channel { model, node, index } = on else {
        return Err(Error::subject(format!("{on} is no channel, which `{name}` asks about over a data set"))
            .hint("`net.layer(name).channel(i)` is one"));
    };
    let (mut peaks, report) = peaks(on, data, job)?;
    peaks.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.image.cmp(&b.image)));
    peaks.truncate(top);
    let field = model.graph().field(*node);
    let [_, height, width] = *model.input_shape() else {
        return Err(Error::subject(format!("{on} belongs to a net without images")));
    };
    let mut images = Vec::new();
    for peak in &peaks {
        let prepared = Input::Image(data.seen(peak.image, model.card().preprocess()?)?).prepared(model)?;
        let unit = Subject::Unit { model: model.clone(), node: *node, at: vec![*index, peak.at[0], peak.at[1]] };
        let signal = input_signal(&unit, &prepared.x, rules)?.squeeze(0)?;
        let [y0, x0, y1, x1] = field.window(peak.at[0], peak.at[1], [height, width]);
        let window = PixelBox::new(x0, y0, (x1 - x0).max(1), (y1 - y0).max(1));
        let seen = model.card().preprocess()?.undo(&prepared.x.squeeze(0)?)?;
        images.push((enlarged(seen.crop(window)?)?, format!("image {}: {:.3}", peak.image, peak.value)));
        images.push((enlarged(picture(model, &signal)?.crop(window)?)?, "projection".to_string()));
    }
    let values: Vec<f32> = peaks.iter().map(|p| p.value as f32).collect();
    let places: Vec<f32> = peaks.iter().flat_map(|p| [p.image, p.at[0], p.at[1]].map(|v| v as f32)).collect();
    let n = peaks.len();
    let title = format!("{name}: what excites {on} most in {} images", data.len());
    Ok(Artifact::new(title.clone())
        .part(Part::Pictures(Pictures { title, images, columns: Some(6) }))
        .array("values", tensor(values, &[n])?)
        .array("places", tensor(places, &[n, 3])?)
        .note("pairs of crop and projection, strongest first; crops are the unit's receptive field on the net's input")
        .note("each projection is scaled by the 99.5 % quantile of its own magnitudes, zero is grey")
        .notes(report.note())
        .reached(report.reached, data.len()))
}

fn peaks(on: &Subject, data: &Dataset, job: &Job) -> Result<(Vec<Peak>, StreamReport)> {
    let Subject::Channel { model, node, index } = on else { return Err(Error::internal("peaks of no channel")) };
    let mut peaks = Vec::new();
    let all = 0..data.len();
    let report = stream_tensors(model, data, std::slice::from_ref(&all), (job, "strongest crops"), |numbers, x| {
        let trace = model.forward(x, &Tap::Only(vec![*node]))?;
        let maps = trace.get(*node)?.narrow(1, *index, 1)?.contiguous()?;
        let [_, _, rows, columns] = *maps.dims() else {
            return Err(Error::subject(format!("{on} is a single value; a channel of maps is asked for")));
        };
        for (image, map) in numbers.iter().zip(to_f64(&maps)?.chunks(rows * columns)) {
            let best = argmax(map);
            peaks.push(Peak { value: map[best], image: *image, at: [best / columns, best % columns] });
        }
        Ok(())
    })?;
    Ok((peaks, report))
}

/// The share of a signal's values that is shown as it is; those beyond are cut to black or white.
const SHOWN_QUANTILE: f64 = 0.995;

/// A signal C x H x W as a picture: zero is grey, magnitudes from the `SHOWN_QUANTILE` quantile on black or white, in the photo's
/// order of colours.
pub fn picture(model: &Model, signal: &Tensor) -> Result<Image> {
    let (channels, height, width) = signal.dims3()?;
    let values = to_f32(signal)?;
    let mut magnitudes: Vec<f64> = values.iter().map(|v| f64::from(v.abs())).filter(|v| *v > 0.0).collect();
    magnitudes.sort_unstable_by(f64::total_cmp);
    let most = quantile(&magnitudes, SHOWN_QUANTILE).map_or(f32::MIN_POSITIVE, |m| m as f32);
    let bgr = model.card().preprocess()?.order == Order::Bgr;
    let plane = height * width;
    let at = |p: usize, c: usize| {
        let c = if channels < 3 {
            0
        } else if bgr {
            2 - c
        } else {
            c
        };
        (127.5 + 127.5 * (values[c * plane + p] / most).clamp(-1.0, 1.0)).round() as u8
    };
    Image::new(width, height, (0..plane).flat_map(|p| [0, 1, 2].map(|c| at(p, c))).collect())
}

fn enlarged(image: Image) -> Result<Image> {
    let factor = ENLARGED_SIDE.div_ceil(image.width().max(image.height())).max(1);
    image.resize(image.width() * factor, image.height() * factor, Interpolation::Nearest)
}
