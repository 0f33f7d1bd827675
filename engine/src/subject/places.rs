//! A class of pixels: the sum of its raw scores over positions of a net's map of classes (Vinogradova et al. 2020,
//! Seg-Grad-CAM); and the weighted sum of single values of a node to which it resolves at one input.

use super::{Prepared, Subject};
use crate::data::image::Image;
use crate::detect::Found;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::{ClassMaps, Model};
use crate::pass::Trace;
use crate::tensor::to_f64;
use candle_core::Tensor;
use std::fmt;
use std::sync::Arc;

/// The positions of a map of classes over which a class's scores are summed, in the photo's pixels where a photo is
/// given, else in those of the net's input.
#[derive(Clone, Debug, Default)]
pub enum Over {
    /// All.
    #[default]
    Whole,
    /// Those where the class wins.
    Predicted,
    /// Those inside a mask, rows x columns of anything but zero: over the map itself where the sizes agree, else over the photo.
    Mask(Arc<[usize; 2]>, Arc<Vec<bool>>),
    /// Those whose centre lies in a box: left, top, width, height.
    Region([f64; 4]),
    /// The one that holds a point: x, y.
    Point([f64; 2]),
}

impl Over {
    /// The mask that a tensor of rows x columns holds.
    ///
    /// # Errors
    /// Where it has other axes.
    pub fn of_tensor(mask: &Tensor) -> Result<Self> {
        let dims: Vec<usize> = mask.dims().iter().copied().skip_while(|n| *n == 1).collect();
        let [rows, columns] = dims[..] else {
            return Err(Error::shape(format!("a mask of shape {:?}", mask.dims()))
                .hint("a mask has rows and columns: those of the net's map of classes, or of the photo"));
        };
        Ok(Over::Mask(Arc::new([rows, columns]), Arc::new(to_f64(mask)?.iter().map(|v| *v != 0.0).collect())))
    }

    /// The mask that a picture shows: what is not black is inside.
    pub fn of_image(mask: &Image) -> Self {
        let inside = mask.pixels().chunks_exact(3).map(|p| p.iter().any(|v| *v > 0)).collect();
        Over::Mask(Arc::new([mask.height(), mask.width()]), Arc::new(inside))
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Over::Whole => f.write_str("(all pixels)"),
            Over::Predicted => f.write_str("(where predicted)"),
            Over::Mask(..) => f.write_str("(in a mask)"),
            Over::Region([l, t, w, h]) => write!(f, "(in {w} x {h} at ({l}, {t}))"),
            Over::Point([x, y]) => write!(f, "(at ({x}, {y}))"),
        }
    }
}

/// The value that a curve shows for a subject of places.
#[derive(Clone, Debug, PartialEq)]
pub enum CurveValue {
    /// The score itself.
    Score,
    /// The mean probability of this class over the places (row by row).
    Mean(usize),
    /// The value of another node at this place: a probability behind its logit.
    Value(NodeId, usize),
}

/// A weighted sum of single values of a node.
#[derive(Clone, Debug)]
pub struct Places {
    /// The net, at the output that is read.
    pub model: Model,
    /// The node.
    pub node: NodeId,
    /// What it is called in results.
    pub name: String,
    /// Indexes of values of one sample, each with its weight.
    pub weights: Arc<Vec<(usize, f64)>>,
    /// The value that curves show.
    pub shown: CurveValue,
    /// The places of the map of classes, where it is one.
    pub at: Arc<Vec<usize>>,
    /// The box, where it is one.
    pub found: Option<Arc<Found>>,
}

impl Places {
    /// What is shown of each sample of a trace.
    ///
    /// # Errors
    /// Where the trace lacks a node.
    pub fn probabilities(&self, trace: &Trace) -> Result<Vec<f64>> {
        let samples = |node| -> Result<Vec<Vec<f64>>> {
            let flat = to_f64(trace.get(node)?)?;
            let n = flat.len() / trace.batch().max(1);
            Ok(flat.chunks(n.max(1)).map(<[f64]>::to_vec).collect())
        };
        match &self.shown {
            CurveValue::Value(node, index) => Ok(samples(*node)?.iter().map(|v| v[*index]).collect()),
            CurveValue::Mean(class) => {
                let maps = self.model.class_maps()?;
                let mean = |sample: &Vec<f64>| {
                    let each = self.at.iter().map(|at| maps.readout.shown(&maps.scores(sample, *at))[*class]);
                    each.sum::<f64>() / self.at.len().max(1) as f64
                };
                Ok(samples(self.node)?.iter().map(mean).collect())
            }
            CurveValue::Score => Subject::Places(self.clone()).scores(trace),
        }
    }
}

/// A class of pixels at one input.
///
/// # Errors
/// Where the net gives no map of classes, there is no such class, or no place is left.
pub(super) fn resolve(model: &Model, index: usize, over: &Over, input: &Prepared) -> Result<Subject> {
    let maps = model.class_maps()?;
    let at = chosen(model, &maps, index, over, input)?;
    let n = at.len();
    let places = match over {
        Over::Point(_) | Over::Whole => String::new(),
        _ => format!(", {n} of {} places", maps.size()[0] * maps.size()[1]),
    };
    Ok(Subject::Places(Places {
        model: model.clone(),
        node: model.graph().scores(),
        name: format!("{} {over}{places}", model.card().class_name(index)),
        weights: Arc::new(at.iter().map(|p| (maps.index(index, *p), 1.0)).collect()),
        shown: CurveValue::Mean(index),
        at: Arc::new(at),
        found: None,
    }))
}

/// The places, row by row.
fn chosen(model: &Model, maps: &ClassMaps, index: usize, over: &Over, input: &Prepared) -> Result<Vec<usize>> {
    let [rows, columns] = maps.size();
    let all = 0..rows * columns;
    let [.., height, width] = *input.x.dims() else {
        return Err(Error::subject(format!("`{}` takes no image", model.card().name)));
    };
    // The centre of a place on the photo, or on the net's input where there is none.
    let centre = |at: usize, dx: f64, dy: f64| {
        let (x, y) = maps.position(at, [dx, dy], [height, width]);
        input.placement.map_or((x, y), |p| p.to_photo(x, y))
    };
    let by_position = match over {
        Over::Whole | Over::Predicted => false,
        Over::Mask(size, _) => **size != [rows, columns],
        Over::Region(_) | Over::Point(_) => true,
    };
    if by_position && !maps.is_placed {
        return Err(Error::subject(format!(
            "where the map of classes of `{}` lies on the input is not known, since the net moves places in a way that is not followed",
            model.card().name
        ))
        .hint(format!("a mask of the map's own {rows} x {columns} places chooses among them; without one all count")));
    }
    let extent = input.photo.as_ref().map_or([width, height], |p| [p.width(), p.height()]);
    let class = || model.card().class_name(index);
    let kept: Vec<usize> = match over {
        Over::Whole => all.collect(),
        Over::Predicted => {
            let winners = maps.winners(&model.scores(&input.x)?[0]);
            let kept: Vec<usize> = all.filter(|at| winners[*at] == index).collect();
            if kept.is_empty() {
                let list: Vec<String> = shares(&winners)
                    .iter()
                    .take(4)
                    .map(|(c, _)| format!("`{}`", model.card().class_name(*c)))
                    .collect();
                return Err(Error::subject(format!("no pixel of this input is taken for `{}`", class()))
                    .hint(format!("most are taken for {}; without `mask` all pixels count", list.join(", "))));
            }
            kept
        }
        Over::Mask(size, inside) => {
            let [high, wide] = **size;
            let direct = [high, wide] == [rows, columns];
            all.filter(|at| match direct {
                true => inside[*at],
                false => {
                    let (x, y) = centre(*at, 0.5, 0.5);
                    let cell = |v: f64, n: usize, of: usize| {
                        let i = (v / of as f64 * n as f64).floor();
                        (i >= 0.0 && i < n as f64).then_some(i as usize)
                    };
                    let place = cell(y, high, extent[1]).zip(cell(x, wide, extent[0]));
                    place.is_some_and(|(y, x)| inside[y * wide + x])
                }
            })
            .collect()
        }
        Over::Region([left, top, w, h]) => {
            let inside = |(x, y): (f64, f64)| x >= *left && x < left + w && y >= *top && y < top + h;
            all.filter(|at| inside(centre(*at, 0.5, 0.5))).collect()
        }
        Over::Point([x, y]) => all
            .filter(|at| {
                let ((l, t), (r, b)) = (centre(*at, 0.0, 0.0), centre(*at, 1.0, 1.0));
                *x >= l && *x < r && *y >= t && *y < b
            })
            .collect(),
    };
    if kept.is_empty() {
        let ((left, top), (right, bottom)) = (centre(0, 0.0, 0.0), centre(rows * columns - 1, 1.0, 1.0));
        let px = |v: f64| (v * 10.0).round() / 10.0;
        return Err(Error::subject(format!("no place of the map of `{}` lies {over}", class())).hint(format!(
            "the map has {rows} x {columns} places from ({}, {}) to ({}, {}) of {} x {} px ({}); positions count from the left and from above",
            px(left),
            px(top),
            px(right),
            px(bottom),
            extent[0],
            extent[1],
            if input.photo.is_some() { "the photo" } else { "the net's input" }
        )));
    }
    Ok(kept)
}

/// The classes that win somewhere and how often, most frequent first, equal ones by number.
pub(crate) fn shares(winners: &[usize]) -> Vec<(usize, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    winners.iter().for_each(|c| *counts.entry(*c).or_insert(0usize) += 1);
    let mut order: Vec<(usize, usize)> = counts.into_iter().collect();
    order.sort_by_key(|(class, n)| (std::cmp::Reverse(*n), *class));
    order
}

/// The class that most pixels are assigned to; the background, or the complement of another class, only where there is no other.
pub(super) fn most_frequent(model: &Model, x: &Tensor) -> Result<usize> {
    let maps = model.class_maps()?;
    let order = shares(&maps.winners(&model.scores(x)?[0]));
    let ground = |c: usize| {
        c >= maps.classes() || model.card().class_name(c).trim_matches('_').eq_ignore_ascii_case("background")
    };
    let best = order.iter().find(|(c, _)| !ground(*c)).or(order.iter().find(|(c, _)| *c < maps.classes()));
    Ok(best.map_or(0, |(c, _)| *c))
}

impl Subject {
    /// A class of a net whose output is a map of classes, by index.
    ///
    /// # Errors
    /// Where the output is none, or has fewer classes.
    pub fn pixel_class_at(model: &Model, index: usize, over: Over) -> Result<Self> {
        let n = model.class_maps()?.classes();
        if index >= n {
            return Err(super::no_class(model, index, n));
        }
        Ok(Subject::PixelClass { model: model.clone(), index, over })
    }

    /// The same by the class's name.
    ///
    /// # Errors
    /// As [`Subject::pixel_class_at`] and [`crate::model::Card::class_index`].
    pub fn pixel_class(model: &Model, name: &str, over: Over) -> Result<Self> {
        model.class_maps()?;
        Subject::pixel_class_at(model, model.card().class_index(name)?, over)
    }
}
