//! A single occluding patch at any position: the net's output with it and without it. The probe `occlusion` does the same at every
//! position of a grid.

use super::occlusion::{Extent, Fill, pixels};
use crate::data::{Image, PixelBox};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::params::{Param, Value, unknown_option};
use crate::show::{Artifact, Mark, Part, Pictures, Plot, Series};
use crate::subject::{Input, Prepared};
use crate::tensor::{tensor, to_f32};
use std::collections::BTreeMap;

/// The options of an occluder.
pub const OPTIONS: [&str; 3] = ["patch", "fill", "top"];
/// Classes that are shown unless `top` says how many.
const DEFAULT_CLASSES: usize = 5;
/// The colour in which the patch is drawn on the photo.
const GREY: [u8; 3] = [128; 3];

/// A net, a photo, and a patch that covers a part of it.
#[derive(Clone, Debug)]
pub struct Occluder {
    model: Model,
    photo: Image,
    prepared: Prepared,
    values: Vec<f32>,
    fill: Vec<f32>,
    top: usize,
    /// Rows and columns of the net's input, px.
    pub input: [usize; 2],
    /// Rows and columns of the patch, px of the net's input.
    pub patch: [usize; 2],
    /// The net's output for the photo without the patch, a number a class.
    pub before: Vec<f64>,
}

impl Occluder {
    /// An occluder of `photo` for `model`. Options as those of the probe `occlusion`: `patch`, `fill`; `top`: how many classes
    /// are shown.
    ///
    /// # Errors
    /// Where the net does not classify photos, or an option is wrong.
    pub fn new(model: &Model, photo: &Image, options: &BTreeMap<String, Value>) -> Result<Self> {
        if let Some(name) = options.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
            return Err(unknown_option("explore", name, &OPTIONS));
        }
        let named = |name: &'static str| move |e: Error| e.context(format!("option `{name}`"));
        let given = |name: &str| options.get(name);
        let extent = given("patch").map_or(Ok(Extent::InProportion), Extent::read).map_err(named("patch"))?;
        let fill = given("fill").map_or(Ok(Fill::Zero), Fill::read).map_err(named("fill"))?;
        let top = given("top").map_or(Ok(DEFAULT_CLASSES), usize::read).map_err(named("top"))?;
        model.labels_readout()?;
        let prepared = Input::Image(photo.clone()).prepared(model)?;
        let [_, _, height, width] = prepared.x.dims()[..] else {
            return Err(Error::subject(format!("`{}` takes no image", model.card().name)));
        };
        let input = [height, width];
        let patch = extent.on(input, 32)?;
        if patch[0] > height || patch[1] > width {
            return Err(Error::value(format!("a patch of {} on an input of {height} x {width} px", pixels(patch))));
        }
        let (values, fill) = (to_f32(&prepared.x)?, fill.values(model, &prepared.x)?);
        let (model, photo) = (model.clone(), photo.clone());
        let mut made = Occluder { model, photo, prepared, values, fill, top, input, patch, before: Vec::new() };
        made.before = made.said(made.values.clone())?;
        Ok(made)
    }

    /// The net's output with the patch's top left corner at a row and a column of its input, a number a class. A patch that would
    /// extend beyond the border is moved inside.
    ///
    /// # Errors
    /// As those of a pass.
    pub fn at(&self, corner: [usize; 2]) -> Result<Vec<f64>> {
        let ([top, left], [height, width]) = (self.inside(corner), self.input);
        let mut covered = self.values.clone();
        for (plane, value) in covered.chunks_exact_mut(height * width).zip(&self.fill) {
            for row in plane.chunks_exact_mut(width).skip(top).take(self.patch[0]) {
                row[left..left + self.patch[1]].fill(*value);
            }
        }
        self.said(covered)
    }

    fn said(&self, input: Vec<f32>) -> Result<Vec<f64>> {
        let scores = self.model.scores(&tensor(input, self.prepared.x.dims())?)?;
        let readout = self.model.labels_readout()?;
        scores.first().map(|s| readout.shown(s)).ok_or_else(|| Error::internal("no scores for an input"))
    }

    /// The corner at which the patch lies inside the input.
    pub fn inside(&self, corner: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|a| corner[a].min(self.input[a] - self.patch[a]))
    }

    /// The corner at which the patch lies in the middle.
    pub fn middle(&self) -> [usize; 2] {
        [0, 1].map(|a| (self.input[a] - self.patch[a]) / 2)
    }

    /// What the numbers are: "probability" or "score".
    ///
    /// # Errors
    /// Never for an occluder that was made.
    pub fn word(&self) -> Result<&'static str> {
        Ok(self.model.labels_readout()?.word())
    }

    /// The photo.
    pub fn photo(&self) -> &Image {
        &self.photo
    }

    /// The classes worth showing, the most probable first: those of the photo as it is, and the first one of `now`.
    pub fn classes(&self, now: &[f64]) -> Vec<usize> {
        let ranked = |values: &[f64]| {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
            order
        };
        let mut shown = ranked(&self.before);
        shown.truncate(self.top);
        if let Some(first) = ranked(now).first().filter(|first| !shown.contains(first)) {
            shown.push(*first);
        }
        shown
    }

    /// A class's name.
    pub fn name(&self, class: usize) -> String {
        self.model.card().class_name(class)
    }

    /// A rectangle of the net's input (left, top, width, height) in the photo's pixels.
    pub fn on_photo(&self, [left, top, width, height]: [f64; 4]) -> [f64; 4] {
        let Some(placement) = self.prepared.placement else { return [left, top, width, height] };
        let (x, y) = placement.to_photo(left, top);
        let (right, bottom) = placement.to_photo(left + width, top + height);
        [x, y, right - x, bottom - y]
    }

    /// The artifact of the patch at `corner`: the photo with the patch, and the numbers with it and without it.
    ///
    /// # Errors
    /// As [`Occluder::at`].
    pub fn artifact(&self, corner: [usize; 2]) -> Result<Artifact> {
        let [top, left] = self.inside(corner);
        let now = self.at(corner)?;
        let [x, y, w, h] = self.on_photo([left as f64, top as f64, self.patch[1] as f64, self.patch[0] as f64]);
        let (from, to) =
            ([x, y].map(|v| v.round().max(0.0) as usize), [x + w, y + h].map(|v| v.round().max(0.0) as usize));
        let area = PixelBox::new(from[0], from[1], to[0] - from[0], to[1] - from[1]);
        let covered = self.photo.fill(area, GREY);
        let word = self.word()?;
        let classes = self.classes(&now);
        let numbers = |of: &[f64]| classes.iter().map(|class| of[*class]).collect::<Vec<f64>>();
        let places: Vec<f64> = (0..classes.len()).map(|i| i as f64).collect();
        let series = |name: &str, of: &[f64]| Series {
            name: name.into(),
            x: places.clone(),
            y: numbers(of),
            bars: Vec::new(),
            mark: Mark::Bar,
        };
        let plot = Plot {
            title: format!("{word} of the classes"),
            x_label: String::new(),
            y_label: word.into(),
            categories: classes.iter().map(|class| self.name(*class)).collect(),
            series: vec![series("without the patch", &self.before), series("with the patch", &now)],
        };
        let length = [now.len()];
        Ok(Artifact::new(format!("a patch on the photo for {}", self.model.card().name))
            .part(Part::Pictures(Pictures {
                title: String::new(),
                images: vec![(covered, String::new())],
                columns: None,
            }))
            .part(Part::Plot(plot))
            .array("with", tensor(now, &length)?)
            .array("without", tensor(self.before.clone(), &length)?)
            .note(format!("patch {} at row {top}, column {left} of the net's input", pixels(self.patch))))
    }
}
