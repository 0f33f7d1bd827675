//! A layer's features by position, and the positions on the net's input.

use crate::data::{Image, Preprocess, Resize};
use crate::error::{Error, Result};
use crate::graph::{NodeId, ReceptiveField};
use crate::model::Model;
use crate::pass::Tap;
use crate::tensor::to_f32;
use candle_core::Tensor;

/// The grid of a map's positions on the net's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lattice {
    /// The numbers of rows and columns.
    pub size: [usize; 2],
    /// The centre of the first position's receptive field, down and right, px of the input (the centre of pixel 0 is 0.5).
    pub first: [f64; 2],
    /// The distance of neighbouring positions, down and right, px.
    pub stride: [f64; 2],
    /// The height and width of a receptive field, px.
    pub field: [usize; 2],
}

impl Lattice {
    /// The lattice of a layer.
    ///
    /// # Errors
    /// Where the layer has no maps whose positions have receptive fields of fixed size.
    pub fn of(model: &Model, node: NodeId) -> Result<Self> {
        let name = &model.graph().node(node).name;
        match (&model.graph().node(node).shape[..], model.graph().field(node)) {
            ([_, h, w], ReceptiveField::Local { size, stride, start, axes: [Some(1), Some(2)] }) => Ok(Lattice {
                size: [*h, *w],
                first: [0, 1].map(|a| start[a] as f64 + size[a] as f64 / 2.0),
                stride: stride.map(|s| s as f64),
                field: size,
            }),
            (shape, _) => Err(Error::subject(format!("layer `{name}` of shape {shape:?} has no positions to match"))
                .hint("take a convolution, its rectifier, or a pool")),
        }
    }

    /// The number of positions.
    pub fn len(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The centre (x, y) of position `i`, px of the input.
    pub fn centre(&self, i: usize) -> (f64, f64) {
        self.at((i % self.size[1]) as f64, (i / self.size[1]) as f64)
    }

    /// The point (x, y) on the input at a position (column, row) of the lattice, which may be fractional.
    pub fn at(&self, column: f64, row: f64) -> (f64, f64) {
        (self.first[1] + column * self.stride[1], self.first[0] + row * self.stride[0])
    }

    /// The position (column, row) on the lattice of a point (x, y) on the input, clamped to the lattice.
    pub fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let along = |v: f64, a: usize| ((v - self.first[a]) / self.stride[a]).clamp(0.0, (self.size[a] - 1) as f64);
        (along(x, 1), along(y, 0))
    }

    /// The stride and the receptive field in words.
    pub fn words(&self) -> String {
        format!(
            "{} x {} positions, {} px apart, receptive field {} x {} px",
            self.size[0], self.size[1], self.stride[0], self.field[0], self.field[1]
        )
    }
}

/// Features by position.
#[derive(Clone, Debug)]
pub struct FeatureMap {
    /// Positions x d, row-major.
    pub values: Vec<f32>,
    /// The number of values at each position.
    pub d: usize,
    /// The positions.
    pub lattice: Lattice,
}

impl FeatureMap {
    /// A layer's features of an input, 1 x C x H x W.
    ///
    /// # Errors
    /// As [`Lattice::of`] and the forward pass.
    pub fn of(model: &Model, node: NodeId, x: &Tensor) -> Result<Self> {
        let mut all = Self::all(model, &[node], x)?;
        all.pop().ok_or_else(|| Error::internal("a layer without features"))
    }

    /// The features of several layers in one pass.
    ///
    /// # Errors
    /// As [`FeatureMap::of`].
    pub fn all(model: &Model, nodes: &[NodeId], x: &Tensor) -> Result<Vec<Self>> {
        let trace = model.forward(x, &Tap::Only(nodes.to_vec()))?;
        let one = |node: &NodeId| {
            let lattice = Lattice::of(model, *node)?;
            let value = to_f32(trace.get(*node)?)?;
            let (n, d) = (lattice.len(), value.len() / lattice.len().max(1));
            let mut values = vec![0f32; value.len()];
            for (c, map) in value.chunks(n.max(1)).enumerate() {
                map.iter().enumerate().for_each(|(p, v)| values[p * d + c] = *v);
            }
            Ok(FeatureMap { values, d, lattice })
        };
        nodes.iter().map(one).collect()
    }

    /// The feature at position `i`.
    pub fn at(&self, i: usize) -> &[f32] {
        &self.values[i * self.d..(i + 1) * self.d]
    }

    /// The feature at a point (x, y) of the input, interpolated bilinearly.
    pub fn between(&self, x: f64, y: f64) -> Vec<f32> {
        let (column, row) = self.lattice.place(x, y);
        let [h, w] = self.lattice.size;
        let (c0, r0) = (column.floor() as usize, row.floor() as usize);
        let (c1, r1) = ((c0 + 1).min(w - 1), (r0 + 1).min(h - 1));
        let (fc, fr) = (column - c0 as f64, row - r0 as f64);
        let corners = [
            (r0, c0, (1.0 - fr) * (1.0 - fc)),
            (r0, c1, (1.0 - fr) * fc),
            (r1, c0, fr * (1.0 - fc)),
            (r1, c1, fr * fc),
        ];
        let mut out = vec![0f64; self.d];
        for (r, c, weight) in corners {
            self.at(r * w + c).iter().zip(&mut out).for_each(|(v, o)| *o += weight * f64::from(*v));
        }
        out.into_iter().map(|v| v as f32).collect()
    }
}

/// The net's input for an image of the right size, with a batch of 1.
///
/// # Errors
/// Where the net's card has no preprocessing.
pub fn input_of(model: &Model, fitted: &Image) -> Result<Tensor> {
    let direct = Preprocess { resize: Resize::Direct, ..model.card().preprocess()?.clone() };
    model.batched(&direct.apply(fitted)?)
}

/// A square of an image centred at (x, y), `side` px, RGB from 0 to 1; borders are repeated.
pub fn patch(image: &Image, x: f64, y: f64, side: usize) -> Vec<f32> {
    let (w, h) = (image.width() as isize, image.height() as isize);
    let from = |v: f64| (v - side as f64 / 2.0).round() as isize;
    let (left, top) = (from(x), from(y));
    let mut out = Vec::with_capacity(3 * side * side);
    for r in 0..side as isize {
        for c in 0..side as isize {
            let at = 3 * ((top + r).clamp(0, h - 1) * w + (left + c).clamp(0, w - 1)) as usize;
            out.extend(image.pixels()[at..at + 3].iter().map(|v| f32::from(*v) / 255.0));
        }
    }
    out
}

/// Raw patches as features on a lattice.
pub fn raw(image: &Image, lattice: Lattice, side: usize) -> FeatureMap {
    described(lattice, |x, y| patch(image, x, y, side))
}

/// Features on a lattice, computed by `describe` at each position's centre.
pub fn described(lattice: Lattice, describe: impl Fn(f64, f64) -> Vec<f32>) -> FeatureMap {
    let rows: Vec<Vec<f32>> = (0..lattice.len())
        .map(|i| {
            let (x, y) = lattice.centre(i);
            describe(x, y)
        })
        .collect();
    let d = rows.first().map_or(0, Vec::len);
    FeatureMap { values: rows.concat(), d, lattice }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::shapes::net::load;

    #[test]
    fn positions_lie_where_the_receptive_fields_are() {
        let model = load().unwrap();
        let node = model.layer("conv3").unwrap();
        let lattice = Lattice::of(&model, node).unwrap();
        let field = model.graph().field(node);
        let [y, x] = field.centre(3, 5, [64, 64]);
        assert_eq!(lattice.centre(3 * lattice.size[1] + 5), (x, y));
        assert_eq!(lattice.place(x, y), (5.0, 3.0));
        assert_eq!(lattice.place(-99.0, 999.0), (0.0, (lattice.size[0] - 1) as f64));
        assert!(Lattice::of(&model, model.graph().scores()).is_err());
    }

    #[test]
    fn features_between_positions_are_bilinear() {
        let lattice = Lattice { size: [2, 2], first: [0.0, 0.0], stride: [4.0, 4.0], field: [8, 8] };
        let map = FeatureMap { values: vec![0.0, 1.0, 2.0, 3.0], d: 1, lattice };
        assert_eq!(map.between(4.0, 4.0), [3.0]);
        assert_eq!(map.between(2.0, 2.0), [1.5]);
        assert_eq!(map.between(1.0, 0.0), [0.25]);
    }
}
