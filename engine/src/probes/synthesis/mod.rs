//! What the probes that make images share: the images as pictures, their 8-bit forms read from PNG files, and a net's
//! predictions for them.

pub mod caricature;
pub mod class_model;
pub mod invert;
pub mod maximize;

use crate::ascent::Space;
use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::show::{Grid, Part, Pictures, Scale, Table, Tile};
use crate::subject::{Input, argmax};
use crate::tensor::tensor;

/// The most images of a batch that goes forward and back.
const MAX_BATCH: usize = 8;

/// Images that go through a net and back together: from its size and the job's memory alone.
pub fn batch(model: &Model, job: &crate::Job) -> usize {
    job.through(model, 3, 3 * model.graph().peak_len(), MAX_BATCH)
}

/// An error for an input given to a probe that takes none.
///
/// # Errors
/// Where something was given.
pub fn no_input(input: &Input) -> Result<()> {
    match input {
        Input::None => Ok(()),
        other => Err(Error::subject(format!("this probe takes no input, got {}", other.kind()))
            .hint("leave the input out: probe.run(subject)")),
    }
}

/// Images in net units (N x C x H x W) as pictures with captions; as tiles around zero where the net's card does not say how
/// pixels are preprocessed.
///
/// # Errors
/// As [`Space::picture`].
pub fn pictures(model: &Model, space: &Space, title: &str, images: &[(Vec<f64>, String)]) -> Result<Part> {
    let frame = space.frame;
    if model.card().preprocess.is_some() {
        let picture = |(x, caption): &(Vec<f64>, String)| Ok((space.picture(model, x)?, caption.clone()));
        let images = images.iter().map(picture).collect::<Result<Vec<_>>>()?;
        return Ok(Part::Pictures(Pictures { title: title.to_string(), images, columns: None }));
    }
    let tile = |(x, caption): &(Vec<f64>, String)| {
        let dims = [frame.channels, frame.height, frame.width];
        let (dims, x) = if frame.channels == 3 { (&dims[..], &x[..]) } else { (&dims[1..], &x[..frame.plane()]) };
        Ok(Tile { caption: caption.clone(), values: tensor(x.iter().map(|v| *v as f32).collect::<Vec<f32>>(), dims)? })
    };
    Ok(Part::Grid(Grid {
        title: title.to_string(),
        tiles: images.iter().map(tile).collect::<Result<_>>()?,
        columns: None,
        label: "net input".to_string(),
        scale: Scale::Diverging { bound: None },
    }))
}

/// A net's class probabilities for a picture of its own size, saved as a PNG and read again.
///
/// # Errors
/// Where the file cannot be written or read.
pub fn seen_in_png(model: &Model, space: &Space, picture: &Image) -> Result<Vec<f64>> {
    let pixels = space.read(model, &through_png(picture)?)?;
    Ok(model.probabilities(&space.tensor(&space.to_net(&pixels))?)?.remove(0))
}

/// The picture as it comes back from the bytes of a PNG file.
///
/// # Errors
/// Where it cannot be encoded or decoded.
pub fn through_png(picture: &Image) -> Result<Image> {
    Image::decode(&picture.encode_png()?)
}

/// The `k` most probable classes as a table.
pub fn top(model: &Model, probabilities: &[f64], k: usize) -> Table {
    let mut table = Table::new(["class", "index", "probability"]);
    let mut left = probabilities.to_vec();
    for _ in 0..k.min(left.len()) {
        let best = argmax(&left);
        table.push([model.card().class_name(best).into(), best.into(), probabilities[best].into()]);
        left[best] = f64::NEG_INFINITY;
    }
    table
}

/// Which of R, G, B each channel of a net is.
pub fn colours(model: &Model) -> Vec<usize> {
    let bgr = model.card().preprocess.as_ref().is_some_and(|p| p.order == crate::data::preprocess::Order::Bgr);
    if bgr { vec![2, 1, 0] } else { vec![0, 1, 2] }
}

/// One image of a batch in net units as an array, C x H x W, f32.
///
/// # Errors
/// Where the values are not whole images.
pub fn array(space: &Space, images: &[f64]) -> Result<candle_core::Tensor> {
    let f = space.frame;
    let n = images.len() / f.len();
    let values: Vec<f32> = images.iter().map(|v| *v as f32).collect();
    let dims = [n, f.channels, f.height, f.width];
    tensor(values, if n == 1 { &dims[1..] } else { &dims })
}
