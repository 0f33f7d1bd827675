//! Histograms of oriented gradients: a descriptor without a net, the baseline of correspondences.
//!
//! Dalal, Triggs 2005, in the form of SIFT (Lowe 2004): 4 x 4 cells, 8 signed orientations, clipped at 0.2.

use super::features::{FeatureMap, Lattice, described};
use crate::data::Image;
use crate::data::measure::luma;

pub(super) const CELLS: usize = 4;
pub(super) const ORIENTATIONS: usize = 8;

/// The gradients of an image's luma: magnitude and direction (in orientations, 0 to 8) at each pixel.
pub struct Gradients {
    width: usize,
    height: usize,
    strength: Vec<f32>,
    direction: Vec<f32>,
}

impl Gradients {
    /// Computes the gradients of an image.
    pub fn of(image: &Image) -> Self {
        let (width, height, l) = (image.width(), image.height(), luma(image));
        let at = |x: usize, y: usize| l[y.min(height - 1) * width + x.min(width - 1)];
        let (mut strength, mut direction) = (Vec::with_capacity(l.len()), Vec::with_capacity(l.len()));
        for y in 0..height {
            for x in 0..width {
                let dx = at(x + 1, y) - at(x.saturating_sub(1), y);
                let dy = at(x, y + 1) - at(x, y.saturating_sub(1));
                strength.push(libm::hypot(dx, dy) as f32);
                let turn = libm::atan2(dy, dx).rem_euclid(std::f64::consts::TAU);
                direction.push((turn / std::f64::consts::TAU * ORIENTATIONS as f64) as f32);
            }
        }
        Gradients { width, height, strength, direction }
    }

    /// Width and height, px.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// Strength and direction of the pixel in column `x` and row `y`.
    pub(super) fn at(&self, x: usize, y: usize) -> (f32, f32) {
        let i = y * self.width + x;
        (self.strength[i], self.direction[i])
    }

    /// The descriptor of the square of `side` px about (x, y): 128 values, of length 1 unless all is flat.
    pub fn describe(&self, x: f64, y: f64, side: usize) -> Vec<f32> {
        let mut out = vec![0f32; CELLS * CELLS * ORIENTATIONS];
        let from = |v: f64| (v - side as f64 / 2.0).round() as isize;
        let (left, top) = (from(x), from(y));
        for r in 0..side {
            for c in 0..side {
                let (px, py) = (left + c as isize, top + r as isize);
                if px < 0 || py < 0 || px >= self.width as isize || py >= self.height as isize {
                    continue;
                }
                let i = py as usize * self.width + px as usize;
                let cell = (r * CELLS / side) * CELLS + c * CELLS / side;
                let low = self.direction[i].floor();
                let share = self.direction[i] - low;
                let bin = low as usize % ORIENTATIONS;
                out[cell * ORIENTATIONS + bin] += self.strength[i] * (1.0 - share);
                out[cell * ORIENTATIONS + (bin + 1) % ORIENTATIONS] += self.strength[i] * share;
            }
        }
        scale(&mut out);
        out.iter_mut().for_each(|v| *v = v.min(0.2));
        scale(&mut out);
        out
    }
}

/// At length 1, unless all is flat.
pub(super) fn scale(v: &mut [f32]) {
    let length = v.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 1e-6 {
        v.iter_mut().for_each(|v| *v /= length);
    }
}

/// Descriptors on a lattice.
pub fn hog(image: &Image, lattice: Lattice, side: usize) -> FeatureMap {
    let gradients = Gradients::of(image);
    described(lattice, |x, y| gradients.describe(x, y, side))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_edge_falls_into_its_orientation_and_brightness_does_not_matter() {
        let ramp = |gain: u32, offset: u32| {
            let pixels = (0..32 * 32).flat_map(|i| [((i % 32) * gain + offset) as u8; 3]).collect();
            Image::new(32, 32, pixels).unwrap()
        };
        let d = Gradients::of(&ramp(6, 0)).describe(16.0, 16.0, 16);
        let along: f32 = d.chunks(ORIENTATIONS).map(|c| c[0]).sum();
        assert!(along > 0.99 * d.iter().sum::<f32>());
        let other = Gradients::of(&ramp(3, 90)).describe(16.0, 16.0, 16);
        assert!(d.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
