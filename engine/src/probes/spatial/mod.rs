//! What the correspondence probes share: preprocessed images with their named points, their features, and the errors of predictions.

pub mod alignment;
pub mod correspondence;
pub mod feature_reconstruction;
pub mod keypoint_classification;
pub mod keypoint_prediction;
pub mod keypoint_transfer;
pub mod part_correspondence;

use crate::data::{Dataset, Image};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::Model;
use crate::space::FeatureMap;
use crate::space::features::input_of;
use crate::subject::Subject;

/// An image as the net sees it, with what is known of it in the input's pixels.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The image at the net's input size.
    pub image: Image,
    /// Named points (x, y), px of the input.
    pub keypoints: Vec<(String, (f64, f64))>,
    /// Named points that its annotation puts outside the photo.
    pub outside: Vec<String>,
    /// The longer side of the object's box, or of the input where it is unknown.
    pub extent: f64,
    /// The label.
    pub label: Option<String>,
    /// A few words.
    pub caption: String,
}

impl Seen {
    /// Image `i` of a data set.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(model: &Model, data: &Dataset, i: usize) -> Result<Self> {
        let photo = data.get(i)?;
        let image = model.card().preprocess()?.fit(&photo)?;
        let place = model.card().preprocess()?.place(&photo);
        let inside = |(x, y): (f64, f64)| {
            (0.0..=image.width() as f64).contains(&x) && (0.0..=image.height() as f64).contains(&y)
        };
        let keypoints = photo
            .keypoints()
            .iter()
            .map(|(name, (x, y))| (name.clone(), place.to_input(*x, *y)))
            .filter(|(_, p)| inside(*p))
            .collect();
        let longest = image.width().max(image.height()) as f64;
        let extent = image.bounding_box().map_or(longest, |b| b.width.max(b.height) as f64);
        let caption = data.item(i)?.caption(i);
        let outside = outside(&photo);
        Ok(Seen { label: photo.label().map(str::to_string), keypoints, outside, extent, caption, image })
    }

    /// A layer's features.
    ///
    /// # Errors
    /// Where the layer has no positions.
    pub fn features(&self, model: &Model, node: NodeId) -> Result<FeatureMap> {
        FeatureMap::of(model, node, &input_of(model, &self.image)?)
    }
}

/// The named points that an annotation puts outside a photo.
pub fn outside(photo: &Image) -> Vec<String> {
    let (w, h) = (photo.width() as f64, photo.height() as f64);
    let beyond = |(x, y): (f64, f64)| !(0.0..=w).contains(&x) || !(0.0..=h).contains(&y);
    photo.keypoints().iter().filter(|(_, p)| beyond(**p)).map(|(name, _)| name.clone()).collect()
}

/// Named points that are left out because they lie outside their images.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    count: usize,
    first: Vec<String>,
}

impl LeftOut {
    /// Adds those of an image.
    pub fn add(&mut self, caption: &str, names: &[String]) {
        self.count += names.len();
        let room = 3usize.saturating_sub(self.first.len());
        self.first.extend(names.iter().take(room).map(|name| format!("`{name}` of {caption}")));
    }

    /// What a reader should know.
    pub fn note(&self) -> Option<String> {
        let more = if self.count > self.first.len() { ", .." } else { "" };
        (self.count > 0).then(|| {
            let (points, are) = if self.count == 1 { ("point lies", "is") } else { ("points lie", "are") };
            format!(
                "{} named {points} outside the image and {are} left out: {}{more}",
                self.count,
                self.first.join(", ")
            )
        })
    }
}

/// The layer of a subject whose positions are matched: the layer itself, or a net's last one with maps and local receptive fields.
///
/// # Errors
/// Where there is none.
pub fn layer(on: &Subject) -> Result<(&Model, NodeId)> {
    match on {
        Subject::Layer { model, node } => Ok((model, *node)),
        Subject::Model(model) => {
            let all = maps(model);
            let node =
                all.last().copied().ok_or_else(|| Error::subject(format!("{on} has no layer with positions")))?;
            Ok((model, node))
        }
        other => Err(Error::subject(format!("{other} is no net or layer")).hint("`net.layer(name)` is one")),
    }
}

/// The layers with positions to match: rectifiers, pools, and concatenations or sums of maps of at least 4 x 4, in order.
pub fn maps(model: &Model) -> Vec<NodeId> {
    use crate::graph::Op;
    let fits = |id: &NodeId| {
        let node = model.graph().node(*id);
        let map = matches!(node.shape[..], [_, h, w] if h >= 4 && w >= 4);
        let kind = match node.op {
            ref op if op.rectifies() => true,
            Op::MaxPool(_) | Op::AvgPool(_) | Op::Concat { .. } | Op::Binary(_) => true,
            _ => false,
        };
        map && kind && crate::space::Lattice::of(model, *id).is_ok()
    };
    model.layers().filter(fits).collect()
}

/// `count` of the layers with positions, evenly spaced from the first to the last.
pub fn spread(model: &Model, count: usize) -> Vec<NodeId> {
    let all = maps(model);
    let last = all.len().saturating_sub(1);
    let mut chosen: Vec<NodeId> =
        (0..count.min(all.len())).map(|i| all[(i * last + (count - 1) / 2) / (count - 1).max(1)]).collect();
    chosen.dedup();
    chosen
}

/// The errors of predictions, px, each with the extent that PCK relates it to.
#[derive(Clone, Debug, Default)]
pub struct Misses(pub Vec<(f64, f64)>);

impl Misses {
    /// Adds a prediction.
    pub fn add(&mut self, found: (f64, f64), truth: (f64, f64), extent: f64) {
        self.0.push((libm::hypot(found.0 - truth.0, found.1 - truth.1), extent));
    }

    /// The share within `alpha` times the extent (PCK).
    pub fn pck(&self, alpha: f64) -> f64 {
        self.0.iter().filter(|(e, extent)| *e <= alpha * extent).count() as f64 / self.0.len() as f64
    }

    /// How many are within `alpha` times the extent.
    pub fn hits(&self, alpha: f64) -> usize {
        self.0.iter().filter(|(e, extent)| *e <= alpha * extent).count()
    }

    /// The median, px.
    pub fn median(&self) -> f64 {
        let mut all: Vec<f64> = self.0.iter().map(|e| e.0).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}
