//! Dense SIFT: the descriptor that SIFT flow matches, a baseline without a net.
//!
//! Lowe 2004, section 6, upright and at one scale; Liu, Yuen, Torralba 2011, "SIFT Flow".

use super::features::{FeatureMap, Lattice, described};
use super::hog::{CELLS, Gradients, ORIENTATIONS, scale};
use crate::data::Image;

/// Descriptors on a lattice, each of the square of `side` px about its position: 4 x 4 cells of 8 signed orientations. A pixel's
/// gradient goes to the cells and orientations beside it by its distance from their middles (trilinear), weighted by a Gaussian about
/// the position with half the side as its deviation; then at length 1, clipped at 0.2, at length 1 again.
pub fn sift(image: &Image, lattice: Lattice, side: usize) -> FeatureMap {
    let gradients = Gradients::of(image);
    described(lattice, |x, y| describe(&gradients, x, y, side))
}

fn describe(gradients: &Gradients, x: f64, y: f64, side: usize) -> Vec<f32> {
    let [width, height] = gradients.size();
    let mut out = vec![0f32; CELLS * CELLS * ORIENTATIONS];
    let (cell, sigma) = (side as f64 / CELLS as f64, side as f64 / 2.0);
    // Cells fade out half a cell beyond the square.
    let reach = side as f64 / 2.0 + cell / 2.0;
    let span = |v: f64, n: usize| ((v - reach).max(0.0) as usize).min(n)..((v + reach).ceil().max(0.0) as usize).min(n);
    for row in span(y, height) {
        for column in span(x, width) {
            let (dx, dy) = (column as f64 + 0.5 - x, row as f64 + 0.5 - y);
            let (strength, direction) = gradients.at(column, row);
            let weight = strength * libm::exp(-(dx * dx + dy * dy) / (2.0 * sigma * sigma)) as f32;
            // In cells, the middle of the first at 0.
            let place = |d: f64| d / cell + (CELLS as f64 - 1.0) / 2.0;
            for (r, by_row) in beside(place(dy)) {
                for (c, by_column) in beside(place(dx)) {
                    let low = direction.floor();
                    let to = (r * CELLS + c) * ORIENTATIONS;
                    let (bin, share) = (low as usize % ORIENTATIONS, direction - low);
                    let value = weight * (by_row * by_column) as f32;
                    out[to + bin] += value * (1.0 - share);
                    out[to + (bin + 1) % ORIENTATIONS] += value * share;
                }
            }
        }
    }
    scale(&mut out);
    out.iter_mut().for_each(|v| *v = v.min(0.2));
    scale(&mut out);
    out
}

/// The cells on both sides of a place, those that there are, each with its weight.
fn beside(place: f64) -> impl Iterator<Item = (usize, f64)> {
    let low = place.floor();
    [(low, 1.0 - (place - low)), (low + 1.0, place - low)]
        .into_iter()
        .filter(|(cell, _)| (0.0..CELLS as f64).contains(cell))
        .map(|(cell, weight)| (cell as usize, weight))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Stream;
    use std::f64::consts::TAU;

    /// Each value as a sum over all pixels, with tents for cells and orientations.
    #[test]
    fn values_are_the_weighted_sums_of_gradients() {
        let stream = Stream::new(2, "pixels");
        let (w, h, side) = (30usize, 26usize, 12usize);
        let pixels = (0..w * h).flat_map(|i| [(255.0 * stream.uniform_at(i as u64)) as u8; 3]).collect();
        let image = Image::new(w, h, pixels).unwrap();
        let grey = |x: isize, y: isize| {
            let (x, y) = (x.clamp(0, w as isize - 1) as usize, y.clamp(0, h as isize - 1) as usize);
            f64::from(image.pixels()[3 * (y * w + x)])
        };
        for (x, y) in [(15.0, 13.0), (9.5, 8.0), (1.0, 25.0)] {
            let mut want = vec![0.0; 128];
            for (i, value) in want.iter_mut().enumerate() {
                let (r, c, k) = (i / 32, i / 8 % 4, i % 8);
                for (v, u) in (0..h as isize).flat_map(|v| (0..w as isize).map(move |u| (v, u))) {
                    let (dx, dy) = (grey(u + 1, v) - grey(u - 1, v), grey(u, v + 1) - grey(u, v - 1));
                    let turn = libm::atan2(dy, dx).rem_euclid(TAU) / TAU * 8.0;
                    let apart = (turn - k as f64).abs();
                    let tent = |d: f64| (1.0 - d.abs()).max(0.0);
                    let (du, dv) = (u as f64 + 0.5 - x, v as f64 + 0.5 - y);
                    *value += libm::hypot(dx, dy)
                        * libm::exp(-(du * du + dv * dv) / (2.0 * 36.0))
                        * tent(apart.min(8.0 - apart))
                        * tent(du / 3.0 - (c as f64 - 1.5))
                        * tent(dv / 3.0 - (r as f64 - 1.5));
                }
            }
            for most in [0.2, f64::INFINITY] {
                let length = want.iter().map(|v| v * v).sum::<f64>().sqrt();
                want.iter_mut().for_each(|v| *v = (*v / length).min(most));
            }
            let found = describe(&Gradients::of(&image), x, y, side);
            for (a, b) in found.iter().zip(&want) {
                assert!((f64::from(*a) - b).abs() < 1e-4, "{a} for {b} at {x} {y}");
            }
        }
    }

    #[test]
    fn a_flat_image_has_no_descriptor() {
        let flat = Image::filled(20, 20, [90; 3]).unwrap();
        assert!(describe(&Gradients::of(&flat), 10.0, 10.0, 16).iter().all(|v| *v == 0.0));
    }
}
