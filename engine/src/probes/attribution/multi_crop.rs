//! A map averaged over ten crops of the photo, mapped back: four corners, the centre, and the mirror images of all five.
//!
//! Simonyan, Vedaldi, Zisserman 2013, section 3.1 ("10 cropped and reflected sub-images"); the crops are those of Krizhevsky,
//! Sutskever, Hinton 2012, section 4.1.

use crate::data::image::Image;
use crate::data::preprocess::{Placement, Preprocess, Resize, Size};
use crate::error::{Error, Result};
use crate::graph::op::{Alignment, Sampling};
use crate::job::Job;
use crate::kernels::resize;
use crate::model::Model;
use crate::probe::{Probe, ProbeArg};
use crate::probes::attribution;
use crate::probes::attribution::gradient::Gradient;
use crate::show::Artifact;
use crate::subject::{Input, Prepared, Subject, argmax};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::sync::Arc;

/// The share of the resized photo's side that a crop takes, as usual for nets of ImageNet.
const CROP_SHARE: f64 = 0.875;

crate::params! {
    /// Any probe's map as the mean over five crops of the photo and their mirror images, each mapped back to its position on
    /// the photo.
    ///
    /// The photo is resized as the net's card says (to 8/7 of the input where the card leaves no margin). The map covers the whole
    /// resized photo; places in no crop, such as those between the crops of a wide photo, are NaN. With a net as the subject,
    /// the class is the one with the largest mean probability over the crops. A tensor is first enlarged by 8/7, and its map is
    /// scaled back to the tensor's size. Arrays: `multi_crop` (the mean), `crops` (each crop's map on the net's input, mirrored
    /// back), `count` (crops at each place).
    #[probe(
        family = Where,
        source = "Simonyan, Vedaldi, Zisserman 2013, section 3.1",
        subjects = "what the inner probe takes",
        input = One,
        example = "multi_crop(gradient()).run(net, image)"
    )]
    pub struct MultiCrop as "multi_crop" {
        /// The probe whose maps are averaged.
        probe: ProbeArg = ProbeArg(Arc::new(Gradient::new()));
        /// Whether the mirror images are used, too.
        flips: bool = true;
    }
}

impl Probe for MultiCrop {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = match input {
            Input::Image(photo) => plane_of(model.card().preprocess()?, photo)?,
            other => {
                let one = other.prepared(model)?;
                Prepared { x: enlarged(&one.x)?, ..one }
            }
        };
        let crops = self.crops(model, &prepared.x)?;
        let target = self.target(on, &crops, job)?;
        let mean = self.average(&target, &prepared.x, &crops, job)?;
        let map = match input {
            Input::Image(_) => mean.map.clone(),
            _ => shrunk(&mean.map, model)?,
        };
        let prepared = if matches!(input, Input::Image(_)) { prepared } else { input.prepared(model)? };
        let artifact = attribution::saliency("multi_crop", &target, &prepared, &map)?;
        let bare = mean.bare;
        let artifact = artifact.array("crops", mean.crops).array("count", mean.count).note(format!(
            "the mean of {} over {} crops",
            self.probe.0.name(),
            crops.places.len()
        ));
        Ok(match bare {
            0.0 => artifact,
            share => artifact.note(format!("{:.0} % of the photo lies in no crop", (100.0 * share).max(1.0))),
        })
    }

    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let model = target.model()?;
        let one = |n: usize| {
            let plane = enlarged(&x.narrow(0, n, 1)?)?;
            let crops = self.crops(model, &plane)?;
            shrunk(&self.average(target, &plane, &crops, job)?.map, model)
        };
        Ok(Tensor::stack(&(0..x.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }
}

/// Crops of a plane: the net's inputs and where each was cut, top and left, and whether it is mirrored.
struct Crops {
    x: Tensor,
    places: Vec<([usize; 2], bool)>,
    size: [usize; 2],
}

/// The mean over crops, on the plane.
struct Mean {
    map: Tensor,
    crops: Tensor,
    count: Tensor,
    /// The share of the plane that is in no crop.
    bare: f64,
}

impl MultiCrop {
    fn crops(&self, model: &Model, plane: &Tensor) -> Result<Crops> {
        let (&[_, height, width], &[.., rows, columns]) = (model.input_shape(), plane.dims()) else {
            return Err(Error::subject(format!("`{}` takes no image, so nothing can be cropped", model.card().name)));
        };
        let (down, right) = (rows.saturating_sub(height), columns.saturating_sub(width));
        let mut corners = vec![[0, 0], [0, right], [down, 0], [down, right], [down / 2, right / 2]];
        corners.sort_unstable();
        corners.dedup();
        let flips = if self.flips { &[false, true][..] } else { &[false][..] };
        let places: Vec<([usize; 2], bool)> = corners.iter().flat_map(|c| flips.iter().map(|f| (*c, *f))).collect();
        let cut = |([top, left], flipped): &([usize; 2], bool)| {
            let crop = plane.narrow(2, *top, height)?.narrow(3, *left, width)?;
            if *flipped { mirrored(&crop) } else { Ok(crop.contiguous()?) }
        };
        let x = Tensor::cat(&places.iter().map(cut).collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Crops { x, places, size: [height, width] })
    }

    /// The class of a net as the subject: the most probable one over all crops.
    fn target(&self, on: &Subject, crops: &Crops, job: &Job) -> Result<Subject> {
        let Subject::Model(model) = on else { return on.target(&crops.x) };
        model.labels_readout()?;
        let batch = job.through(model, 1, 2 * model.graph().peak_len(), 16);
        let mut sums: Vec<f64> = Vec::new();
        for from in (0..crops.places.len()).step_by(batch) {
            let some = crops.x.narrow(0, from, batch.min(crops.places.len() - from))?;
            for row in model.probabilities(&some)? {
                sums.resize(row.len(), 0.0);
                sums.iter_mut().zip(row).for_each(|(s, p)| *s += p);
            }
        }
        Subject::class_at(model, argmax(&sums))
    }

    fn average(&self, target: &Subject, plane: &Tensor, crops: &Crops, job: &Job) -> Result<Mean> {
        let (&[.., rows, columns], [height, width]) = (plane.dims(), crops.size) else {
            return Err(Error::subject("a map over crops is one over an image"));
        };
        let (mut sum, mut count) = (vec![0.0; rows * columns], vec![0.0f64; rows * columns]);
        let mut all = Vec::new();
        let model = target.model()?;
        let batch = job.through(model, 3, 3 * model.graph().trace_len(), 8);
        for from in (0..crops.places.len()).step_by(batch) {
            let n = batch.min(crops.places.len() - from);
            let maps = self.probe.0.attribute(target, &crops.x.narrow(0, from, n)?, job)?;
            for (i, ([top, left], flipped)) in crops.places[from..from + n].iter().enumerate() {
                let laid = self.probe.0.on_input(target, maps.get(i)?)?;
                let mut map = self.probe.0.importance(&laid, [height, width])?;
                if *flipped {
                    map.chunks_mut(width).for_each(<[f64]>::reverse);
                }
                for (y, row) in map.chunks(width).enumerate() {
                    let at = (top + y) * columns + left;
                    sum[at..at + width].iter_mut().zip(row).for_each(|(s, v)| *s += v);
                    count[at..at + width].iter_mut().for_each(|c| *c += 1.0);
                }
                all.extend(map.into_iter().map(|v| v as f32));
            }
        }
        let bare = count.iter().filter(|c| **c == 0.0).count() as f64 / count.len() as f64;
        let mean = sum.iter().zip(&count).map(|(s, c)| (s / c) as f32).collect::<Vec<f32>>();
        Ok(Mean {
            map: tensor(mean, &[rows, columns])?,
            crops: tensor(all, &[crops.places.len(), height, width])?,
            count: tensor(count.into_iter().map(|c| c as f32).collect::<Vec<f32>>(), &[rows, columns])?,
            bare,
        })
    }
}

/// The whole photo in the net's units, resized as the card says before its crop.
fn plane_of(p: &Preprocess, photo: &Image) -> Result<Prepared> {
    let Size { height, width } = p.size;
    let wider = |n: usize| (n as f64 / CROP_SHARE).round_ties_even() as usize;
    let (w, h) = (photo.width(), photo.height());
    let (columns, rows) = match p.resize {
        Resize::Squash(to) if to.height > height && to.width > width => (to.width, to.height),
        Resize::Direct | Resize::Letterbox | Resize::Squash(_) => (wider(width), wider(height)),
        Resize::Auto | Resize::Short(_) => {
            let short = match p.resize {
                Resize::Short(short) if short > height.max(width) => short,
                _ => Preprocess::usual_short(p.size),
            };
            let long =
                |long: usize, other: usize| p.rounding.side(long as f64 * short as f64 / other as f64).max(short);
            if w <= h { (short, long(h, w)) } else { (long(w, h), short) }
        }
    };
    let size = Size { height: rows, width: columns };
    let x = Preprocess { size, resize: Resize::Direct, ..p.clone() }.apply(photo)?.unsqueeze(0)?;
    let placement = Placement { left: 0.0, top: 0.0, width: w as f64, height: h as f64, input: size };
    Ok(Prepared { x, photo: Some(photo.clone()), placement: Some(placement), samples: None })
}

/// A batch of one, mirrored left to right.
fn mirrored(x: &Tensor) -> Result<Tensor> {
    let width = *x.dims().last().unwrap_or(&1);
    let mut values = to_f64(x)?;
    values.chunks_mut(width.max(1)).for_each(<[f64]>::reverse);
    Ok(tensor(values, x.dims())?.to_dtype(x.dtype())?)
}

/// A batch of one, enlarged bilinearly so that the net's input is the usual share of it.
fn enlarged(x: &Tensor) -> Result<Tensor> {
    let &[_, channels, height, width] = x.dims() else {
        return Err(Error::subject(format!("a tensor {:?} is no image, so nothing can be cropped", x.dims())));
    };
    let size = [height, width].map(|n| (n as f64 / CROP_SHARE).round_ties_even() as usize);
    let values = resized(&to_f64(x)?, [height, width], size);
    Ok(tensor(values, &[1, channels, size[0], size[1]])?.to_dtype(x.dtype())?)
}

/// A map of the enlarged plane at the size of the net's input.
fn shrunk(map: &Tensor, model: &Model) -> Result<Tensor> {
    let (&[rows, columns], &[_, height, width]) = (map.dims(), model.input_shape()) else {
        return Err(Error::subject("a map over crops is one over an image"));
    };
    let values = resized(&to_f64(map)?, [rows, columns], [height, width]);
    tensor(values.into_iter().map(|v| v as f32).collect::<Vec<f32>>(), &[height, width])
}

fn resized(values: &[f64], input: [usize; 2], output: [usize; 2]) -> Vec<f64> {
    let scale = [0, 1].map(|a| output[a] as f64 / input[a] as f64);
    let (sampling, alignment) = (Sampling::Linear, Alignment::HalfPixel);
    resize::forward(&resize::ResizeGeometry { input, output, scale, sampling, alignment }, values)
}
