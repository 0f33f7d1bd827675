//! A box of the object from a saliency map, without training on boxes.
//!
//! Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2013, section 3.2.

use crate::data::image::{Image, PixelBox};
use crate::data::preprocess::Placement;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::{Probe, ProbeArg};
use crate::probes::attribution::gradient::Gradient;
use crate::probes::judge::pixels;
use crate::show::{Artifact, Part, Pictures};
use crate::space::graph_cut::{largest_part, segment};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use std::sync::Arc;

crate::params! {
    /// The object's box: the most and least salient pixels seed colour models of foreground and background, a graph cut
    /// separates them, and the box is that of the largest connected part.
    ///
    /// The array `box` holds left, top, right, bottom in pixels of the photo, `mask` the foreground on the net's input.
    #[probe(
        family = Where,
        source = "Simonyan, Vedaldi, Zisserman 2013, section 3.2",
        subjects = "what the inner probe takes",
        input = One,
        example = "saliency_box(gradient()).run(net, image)"
    )]
    pub struct SaliencyBox as "saliency_box" {
        /// The probe whose map is used.
        probe: ProbeArg = ProbeArg(Arc::new(Gradient::new()));
        /// The map's quantile above which pixels are certainly foreground.
        foreground: f64 = 0.95, in 0.0..=1.0;
        /// The map's quantile below which pixels are certainly background.
        background: f64 = 0.30, in 0.0..=1.0;
        /// Weight of the graph cut's smoothness term: the cost of a cut between neighbouring pixels of equal colour.
        smoothness: f64 = 50.0, in 0.0..=10_000.0;
    }
}

impl Probe for SaliencyBox {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let seen = model.card().preprocess()?.undo(&prepared.x.squeeze(0)?)?;
        let (rows, columns) = (seen.height(), seen.width());
        let map = pixels(self.probe.0.as_ref(), &target, &prepared.x, job)?;
        let mask = self.mask(&seen, &map)?;
        let bounds = bounds(&mask, columns).ok_or_else(|| {
            Error::subject("the cut left no foreground").hint("a lower `foreground` quantile seeds more")
        })?;
        let corners = prepared.placement.map_or(bounds, |place| on_photo(&place, bounds));
        let photo = prepared.photo.clone().unwrap_or(seen.clone());
        let pictures = Pictures {
            title: format!("box of {target}"),
            images: vec![
                (framed(&photo, corners, RED), "the box on the photo".into()),
                (masked(&seen, &mask)?, "the foreground".into()),
            ],
            columns: Some(2),
        };
        let as_f32: Vec<f32> = mask.iter().map(|m| f32::from(u8::from(*m))).collect();
        Ok(Artifact::new(format!("box of {target} in {} from {}", model.card().name, self.probe.0.name()))
            .part(Part::Pictures(pictures))
            .array("box", tensor(corners.map(|v| v as f32).to_vec(), &[4])?)
            .array("mask", tensor(as_f32, &[rows, columns])?)
            .note(format!(
                "left {:.0}, top {:.0}, right {:.0}, bottom {:.0} px",
                corners[0], corners[1], corners[2], corners[3]
            )))
    }
}

impl SaliencyBox {
    /// An error where the quantiles are crossed.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> Result<()> {
        if self.background > self.foreground {
            return Err(Error::value(format!(
                "the background quantile {} lies above the foreground's {}",
                self.background, self.foreground
            )));
        }
        Ok(())
    }

    /// The foreground of the net's input by a graph cut: `map` has one importance for each pixel of `seen`, row by row.
    ///
    /// # Errors
    /// Where the quantiles are crossed or the map is constant.
    pub fn mask(&self, seen: &Image, map: &[f64]) -> Result<Vec<bool>> {
        self.check()?;
        let mut sorted = map.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| sorted[(q * (sorted.len() - 1) as f64).round() as usize];
        let (high, low) = (quantile(self.foreground), quantile(self.background));
        if high <= low {
            return Err(Error::subject(format!(
                "the map of `{}` is constant, so it seeds nothing",
                self.probe.0.name()
            )));
        }
        let seeds: Vec<Option<bool>> = map
            .iter()
            .map(|v| {
                if *v > high {
                    Some(true)
                } else if *v < low {
                    Some(false)
                } else {
                    None
                }
            })
            .collect();
        let colours: Vec<[f64; 3]> = seen.pixels().chunks(3).map(|p| [0, 1, 2].map(|a| f64::from(p[a]))).collect();
        let (rows, columns) = (seen.height(), seen.width());
        Ok(largest_part(&segment(&colours, &seeds, rows, columns, self.smoothness), columns))
    }
}

/// The colour of boxes that were found.
pub const RED: [u8; 3] = [230, 30, 60];

/// A box of the net's input on the photo: left, top, right, bottom.
pub fn on_photo(place: &Placement, [left, top, right, bottom]: [f64; 4]) -> [f64; 4] {
    let ((l, t), (r, b)) = (place.to_photo(left, top), place.to_photo(right, bottom));
    [l, t, r, b]
}

/// The tight box of a mask: left, top, right, bottom; none of an empty one.
pub fn bounds(mask: &[bool], columns: usize) -> Option<[f64; 4]> {
    let inside = || (0..mask.len()).filter(|p| mask[*p]);
    let left = inside().map(|p| p % columns).min()?;
    let right = inside().map(|p| p % columns).max()? + 1;
    let top = inside().map(|p| p / columns).min()?;
    let bottom = inside().map(|p| p / columns).max()? + 1;
    Some([left, top, right, bottom].map(|v| v as f64))
}

/// The photo with a box (left, top, right, bottom) drawn as a frame.
pub fn framed(photo: &Image, corners: [f64; 4], colour: [u8; 3]) -> Image {
    let width = (photo.width().max(photo.height()) / 150).max(1);
    let clip = |v: f64, n: usize| (v.round().max(0.0) as usize).min(n);
    let (l, t) = (clip(corners[0], photo.width()), clip(corners[1], photo.height()));
    let (r, b) = (clip(corners[2], photo.width()), clip(corners[3], photo.height()));
    let (w, h) = (r.saturating_sub(l), b.saturating_sub(t));
    let sides = [
        PixelBox::new(l, t, w, width.min(h)),
        PixelBox::new(l, b.saturating_sub(width), w, width.min(h)),
        PixelBox::new(l, t, width.min(w), h),
        PixelBox::new(r.saturating_sub(width), t, width.min(w), h),
    ];
    sides.into_iter().fold(photo.clone(), |image, side| image.fill(side, colour))
}

/// The picture with its background faded.
fn masked(seen: &Image, mask: &[bool]) -> Result<Image> {
    let fade = |v: u8| (u16::from(v) / 4 + 190) as u8;
    let pixels = seen.pixels().iter().enumerate().map(|(i, v)| if mask[i / 3] { *v } else { fade(*v) }).collect();
    Image::new(seen.width(), seen.height(), pixels)
}
