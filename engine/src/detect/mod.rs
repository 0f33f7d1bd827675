//! Detectors: raw outputs decoded as boxes, as the net's card says ([`BoxDecoding`]), and non-maximum suppression. Both are
//! steps after the graph, so that a box's score is a value of the graph and has a gradient.

mod columns;
pub mod precision;
mod recognise;

pub use columns::BoxColumns;
pub use recognise::{recognise, recognise_with};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::boxes::{BoxCode, BoxDecoding, BoxUnit, Squash};
use crate::pass::Tap;
use crate::tensor::to_f64;
use candle_core::Tensor;

/// How far a probability may lie outside 0 to 1 in a quantised net.
const MAX_PROBABILITY_EXCESS: f64 = 0.02;

/// A box that a detector found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The number of the candidate that it comes from.
    pub candidate: usize,
    /// Its class: the most probable one, the background excepted.
    pub class: usize,
    /// Objectness and class probability together.
    pub score: f64,
    /// The probability that there is an object: the net's own number, else one minus the background's probability, else the
    /// largest class probability.
    pub objectness: f64,
    /// The probability of each class.
    pub classes: Vec<f64>,
    /// Left, top, right, bottom in pixels of the net's input.
    pub corners: [f64; 4],
    /// The four raw numbers behind it.
    pub raw: [f64; 4],
}

/// A net whose outputs are read as boxes.
#[derive(Clone, Debug)]
pub struct Detector {
    decoding: BoxDecoding,
    /// At the output of the scores and, where it is another, at that of the boxes.
    scores: Model,
    boxes: Option<Model>,
    columns: BoxColumns,
    /// The class of the background.
    background: Option<usize>,
    /// Height and width of the net's input.
    input: [usize; 2],
}

impl Detector {
    /// The detector that the net's card describes.
    ///
    /// # Errors
    /// Where it describes none, or the outputs do not have the shapes that it says.
    pub fn new(model: &Model) -> Result<Self> {
        let Some(decoding) = &model.card().boxes else {
            return Err(Error::subject(format!("`{}` does not say how its outputs are boxes", model.card().name)).hint(
                "say it: load_model(.., #{ boxes: \"yolov8\" }) or a map such as #{ code: \"corners\", unit: \"fraction\", background: 0 }",
            ));
        };
        let &[_, height, width] = model.input_shape() else {
            return Err(Error::subject(format!("`{}` takes no image", model.card().name)));
        };
        let at = |name: &Option<String>| match name {
            Some(name) if Some(name.as_str()) == own_output(model) => Ok(model.clone()),
            Some(name) => model.output_named(name),
            None => Ok(model.clone()),
        };
        let scores = at(&decoding.scores)?;
        let boxes = decoding.boxes.is_some().then(|| at(&decoding.boxes)).transpose()?;
        let columns = BoxColumns::of(decoding, &scores, boxes.as_ref())?;
        let background = decoding.background_of(columns.classes);
        Ok(Detector { decoding: decoding.clone(), scores, boxes, columns, background, input: [height, width] })
    }

    /// How outputs are read.
    pub fn decoding(&self) -> &BoxDecoding {
        &self.decoding
    }

    /// Classes, the background among them.
    pub fn classes(&self) -> usize {
        self.columns.classes
    }

    /// The class of the background, if there is one.
    pub fn background(&self) -> Option<usize> {
        self.background
    }

    /// The candidates of each sample of `x` whose score is at least `least`, by number.
    ///
    /// # Errors
    /// As the forward pass.
    pub fn candidates(&self, x: &Tensor, least: f64) -> Result<Vec<Vec<Found>>> {
        let samples = |model: &Model| -> Result<Vec<Vec<f64>>> {
            let output = model.graph().output();
            let flat = to_f64(model.forward(x, &Tap::Only(vec![output]))?.get(output)?)?;
            Ok(flat.chunks(model.output_len().max(1)).map(<[f64]>::to_vec).collect())
        };
        let scores = samples(&self.scores)?;
        scores.iter().try_for_each(|scores| self.are_probabilities(scores))?;
        let boxes = self.boxes.as_ref().map(samples).transpose()?;
        let of = |(i, scores): (usize, &Vec<f64>)| {
            let boxes = boxes.as_ref().map_or(scores, |b| &b[i]);
            (0..self.columns.candidates).flat_map(|c| self.candidate(c, scores, boxes, least)).collect()
        };
        Ok(scores.iter().enumerate().map(of).collect())
    }

    /// Refuses scores that no probabilities can be, where the columns of the one output were only recognised.
    fn are_probabilities(&self, scores: &[f64]) -> Result<()> {
        if self.decoding.evidence.is_none() || self.boxes.is_some() || self.decoding.activation != Squash::None {
            return Ok(());
        }
        let columns = &self.columns;
        let all = (0..columns.candidates).flat_map(|c| (0..columns.classes).map(move |k| columns.class_at(c, k)));
        let wrong =
            all.map(|at| scores[at]).find(|v| *v > 1.0 + MAX_PROBABILITY_EXCESS || *v < -MAX_PROBABILITY_EXCESS);
        wrong.map_or(Ok(()), |score| {
            Err(Error::subject(format!(
                "a box of `{}` has the score {score:.3}, which is no probability: its outputs are read wrongly",
                self.scores.card().name
            ))
            .hint("say how: load_model(.., #{ boxes: #{ like: \"yolov8\", classes: 2 } }), or `activation: \"sigmoid\"` where scores are logits"))
        })
    }

    /// The boxes of one input after non-maximum suppression, best first: of two boxes of a class that overlap by more than the
    /// decoding says, the better one stays.
    ///
    /// # Errors
    /// As the forward pass; where `x` holds several inputs.
    pub fn boxes(&self, x: &Tensor) -> Result<Vec<Found>> {
        let mut all = self.candidates(x, self.decoding.score)?;
        match (all.pop(), all.is_empty()) {
            (Some(found), true) => Ok(self.without_doubles(found)),
            _ => Err(Error::shape(format!("expected one input, got {:?}", x.dims()))),
        }
    }

    /// Greedy non-maximum suppression, class by class.
    fn without_doubles(&self, mut found: Vec<Found>) -> Vec<Found> {
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.candidate.cmp(&b.candidate)));
        let mut kept: Vec<Found> = Vec::new();
        for one in found {
            if kept.len() == self.decoding.limit {
                break;
            }
            let double = |k: &Found| k.class == one.class && overlap(&k.corners, &one.corners) > self.decoding.iou;
            let is_full = |most: usize| kept.iter().filter(|k| k.class == one.class).count() >= most;
            if self.decoding.limit_per_class.is_some_and(is_full) {
                continue;
            }
            if !kept.iter().any(double) {
                kept.push(one);
            }
        }
        kept
    }

    /// The boxes that candidate `c` stands for: one of its best class, or one of each class whose score is high enough.
    fn candidate(&self, c: usize, scores: &[f64], boxes: &[f64], least: f64) -> Vec<Found> {
        let (columns, decoding) = (&self.columns, &self.decoding);
        let sigmoid = |v: f64| 1.0 / (1.0 + libm::exp(-v));
        let mut classes: Vec<f64> = (0..columns.classes).map(|k| scores[columns.class_at(c, k)]).collect();
        match decoding.activation {
            Squash::None => {}
            Squash::Sigmoid => classes.iter_mut().for_each(|v| *v = sigmoid(*v)),
            Squash::Softmax => classes = crate::kernels::softmax::softmax(classes.len(), 1, false, &classes),
        }
        let foreground = (0..classes.len()).filter(|k| Some(*k) != self.background);
        let asked: Vec<usize> = match decoding.each_class {
            true => foreground.collect(),
            // The first of equals.
            false => foreground.reduce(|a, b| if classes[b] > classes[a] { b } else { a }).into_iter().collect(),
        };
        let own = columns.objectness_at(c).map(|i| match decoding.activation {
            Squash::None => scores[i],
            _ => sigmoid(scores[i]),
        });
        let raw = [0, 1, 2, 3].map(|k| boxes[columns.box_at(c, k)]);
        let found = |class: usize| {
            let score = match own {
                Some(o) => power(o, decoding.powers[0]) * power(classes[class], decoding.powers[1]),
                None => classes[class],
            };
            if score.is_nan() || score < least {
                return None;
            }
            let objectness = own.or(self.background.map(|b| 1.0 - classes[b])).unwrap_or(classes[class]);
            let corners = self.corners(c, raw);
            Some(Found { candidate: c, class, score, objectness, classes: classes.clone(), corners, raw })
        };
        asked.into_iter().filter_map(found).collect()
    }

    /// Left, top, right, bottom in pixels of the net's input.
    fn corners(&self, candidate: usize, v: [f64; 4]) -> [f64; 4] {
        let [height, width] = self.input.map(|n| n as f64);
        let [sx, sy] = match self.decoding.unit {
            BoxUnit::Fraction => [width, height],
            BoxUnit::Pixels => [1.0, 1.0],
        };
        let centred = |x: f64, y: f64, w: f64, h: f64| [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
        let [l, t, r, b] = match self.decoding.code {
            BoxCode::Corners => v,
            // Any two corners across from each other.
            BoxCode::CornersYx => [v[1].min(v[3]), v[0].min(v[2]), v[1].max(v[3]), v[0].max(v[2])],
            BoxCode::Center => centred(v[0], v[1], v[2], v[3]),
            BoxCode::Corner => [v[0], v[1], v[0] + v[2], v[1] + v[3]],
            BoxCode::Offsets => {
                let [ax, ay, aw, ah] = self.decoding.anchors[candidate];
                let d = self.decoding.variances;
                let (x, y) = (ax + v[0] * d[0] * aw, ay + v[1] * d[1] * ah);
                centred(x, y, aw * libm::exp(v[2] * d[2]), ah * libm::exp(v[3] * d[3]))
            }
            BoxCode::Cells => {
                let [rows, columns] = self.columns.cells;
                let sigmoid = |v: f64| 1.0 / (1.0 + libm::exp(-v));
                let x = ((candidate % columns) as f64 + libm::tanh(v[0])) / columns as f64;
                let y = ((candidate / columns) as f64 + libm::tanh(v[1])) / rows as f64;
                // Cells count in parts of the input, whatever the unit of other codes.
                let unit = [width / sx, height / sy];
                let [w, h] = [sigmoid(v[2]), sigmoid(v[3])];
                centred(x * unit[0], y * unit[1], w * unit[0], h * unit[1])
            }
        };
        [l * sx, t * sy, r * sx, b * sy]
    }

    /// The raw value of the class score of a box: the net at its output, and the place there.
    pub fn class_place(&self, found: &Found) -> (&Model, usize) {
        (&self.scores, self.columns.class_at(found.candidate, found.class))
    }

    /// The raw value of a box's objectness.
    ///
    /// # Errors
    /// Where the detector gives none.
    pub fn objectness_place(&self, found: &Found) -> Result<(&Model, usize)> {
        let place = self.columns.objectness_at(found.candidate).ok_or_else(|| {
            Error::subject(format!("`{}` gives no objectness of its own", self.scores.card().name))
                .hint("ask for the score of the box's class")
        })?;
        Ok((&self.scores, place))
    }

    /// The raw values behind a length of a box, `measure` of its corners in pixels of the net's input, each with the derivative of the
    /// length with respect to it at this box.
    pub fn length_places(&self, found: &Found, measure: fn(&[f64; 4]) -> f64) -> (&Model, Vec<(usize, f64)>) {
        // Central differences: exact to rounding where a code is linear.
        let step = 1e-4;
        let slope = |k: usize| {
            let moved = |by: f64| {
                let mut raw = found.raw;
                raw[k] += by;
                measure(&self.corners(found.candidate, raw))
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        };
        let weights = (0..4).map(|k| (self.columns.box_at(found.candidate, k), slope(k)));
        let read = weights.filter(|(_, w)| w.abs() > 1e-6).collect();
        (self.boxes.as_ref().unwrap_or(&self.scores), read)
    }
}

/// A power; with exponent one, exactly the base.
fn power(base: f64, exponent: f64) -> f64 {
    if exponent == 1.0 { base } else { libm::pow(base, exponent) }
}

/// The name of the output that the net is at, where it has one in the file.
fn own_output(model: &Model) -> Option<&str> {
    let graph = model.graph();
    model.output_names().into_iter().find(|name| graph.find(name) == Some(graph.output()))
}

/// Intersection over union of two boxes (left, top, right, bottom).
pub fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let side = |low: usize, high: usize| (a[high].min(b[high]) - a[low].max(b[low])).max(0.0);
    let area = |c: &[f64; 4]| (c[2] - c[0]).max(0.0) * (c[3] - c[1]).max(0.0);
    let inside = side(0, 2) * side(1, 3);
    let all = area(a) + area(b) - inside;
    if all > 0.0 { inside / all } else { 0.0 }
}
