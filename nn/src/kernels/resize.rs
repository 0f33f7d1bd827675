//! Resizing of maps, nearest or bilinear, and its adjoint.

use crate::graph::op::{Alignment, Sampling};
use crate::tensor::Real;
use rayon::prelude::*;

/// The sizes of a resize of planes, and how it samples.
#[derive(Clone, Copy, Debug)]
pub struct ResizeGeometry {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Output size over input size, by axis.
    pub scale: [f64; 2],
    /// Nearest or bilinear.
    pub sampling: Sampling,
    /// How output positions map to input positions.
    pub alignment: Alignment,
}

impl ResizeGeometry {
    /// For each output position along an axis the two inputs that it interpolates, and the weight of the second.
    pub fn taps(&self, axis: usize) -> Vec<(usize, usize, f64)> {
        let (from, to) = (self.input[axis], self.output[axis]);
        let scale = self.scale[axis];
        let shift = from as f64 / 2.0 * (1.0 - to as f64 / (scale * from as f64));
        (0..to)
            .map(|i| {
                let i = i as f64;
                let place = match self.alignment {
                    Alignment::HalfPixel => (i + 0.5) / scale - 0.5,
                    Alignment::Symmetric => shift + (i + 0.5) / scale - 0.5,
                    Alignment::Asymmetric => i / scale,
                    Alignment::Corners if to > 1 => i * (from - 1) as f64 / (to - 1) as f64,
                    Alignment::Corners => 0.0,
                };
                let last = from - 1;
                match self.sampling {
                    Sampling::Nearest => {
                        // Half-pixel grids round halves down; the asymmetric grid floors (the common forms in PyTorch and ONNX).
                        let near =
                            if self.alignment == Alignment::Asymmetric { place.floor() } else { (place - 0.5).ceil() };
                        let near = (near.max(0.0) as usize).min(last);
                        (near, near, 0.0)
                    }
                    Sampling::Linear => {
                        let place = place.clamp(0.0, last as f64);
                        let low = place.floor() as usize;
                        (low, (low + 1).min(last), place - low as f64)
                    }
                }
            })
            .collect()
    }
}

/// Resizes every plane of `x`.
pub fn forward<T: Real>(g: &ResizeGeometry, x: &[T]) -> Vec<T> {
    let (rows, columns) = (g.taps(0), g.taps(1));
    let (source, pixels) = (g.input[0] * g.input[1], g.output[0] * g.output[1]);
    let mut out = vec![T::zero(); x.len() / source * pixels];
    out.par_chunks_mut(pixels).zip(x.par_chunks(source)).for_each(|(out, x)| {
        let at = |y: usize, c: usize| x[y * g.input[1] + c].f64();
        for (y, (y0, y1, fy)) in rows.iter().enumerate() {
            for (c, (x0, x1, fx)) in columns.iter().enumerate() {
                let top = at(*y0, *x0) * (1.0 - fx) + at(*y0, *x1) * fx;
                let bottom = at(*y1, *x0) * (1.0 - fx) + at(*y1, *x1) * fx;
                out[y * g.output[1] + c] = T::of(top * (1.0 - fy) + bottom * fy);
            }
        }
    });
    out
}

/// The adjoint of [`forward`].
pub fn adjoint<T: Real>(g: &ResizeGeometry, dy: &[T]) -> Vec<T> {
    let (rows, columns) = (g.taps(0), g.taps(1));
    let (source, pixels) = (g.input[0] * g.input[1], g.output[0] * g.output[1]);
    let mut dx = vec![T::zero(); dy.len() / pixels * source];
    dx.par_chunks_mut(source).zip(dy.par_chunks(pixels)).for_each(|(dx, dy)| {
        for (y, (y0, y1, fy)) in rows.iter().enumerate() {
            for (c, (x0, x1, fx)) in columns.iter().enumerate() {
                let v = dy[y * g.output[1] + c].f64();
                for (row, wy) in [(y0, 1.0 - fy), (y1, *fy)] {
                    for (column, wx) in [(x0, 1.0 - fx), (x1, *fx)] {
                        dx[row * g.input[1] + column] += T::of(v * wy * wx);
                    }
                }
            }
        }
    });
    dx
}
