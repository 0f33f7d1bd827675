//! Resizing with a kernel of more than two taps: cubic interpolation, and linear or cubic with the kernel widened for reduction
//! (antialiasing). Along each axis it is a linear map.

use super::resize::{CoordinateTransform, ResizedAxis};
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value};
use crate::error::Result;
use crate::graph::Op;
use crate::graph::op::Alignment;
use candle_core::{Device, Tensor};

/// The kernel and its behaviour at borders.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// The coefficient a of a cubic kernel; `None` for a linear one.
    pub cubic: Option<f64>,
    /// Whether the kernel is widened where the map is reduced.
    pub antialias: bool,
    /// Whether entries outside have no weight; else the border is repeated.
    pub exclude: bool,
}

impl Kernel {
    /// The weight at a distance, in entries.
    fn at(&self, d: f64) -> f64 {
        let d = d.abs();
        match self.cubic {
            None => (1.0 - d).max(0.0),
            Some(a) if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            Some(a) if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            Some(_) => 0.0,
        }
    }

    /// The weights of an axis's entries for each output position, row by row.
    fn matrix(&self, axis: &ResizedAxis, grid: CoordinateTransform) -> Result<Tensor> {
        let (from, to) = (axis.from, axis.to);
        let scale = f64::from(axis.scale);
        let grown = if self.antialias && scale < 1.0 { scale } else { 1.0 };
        let reach = if self.cubic.is_some() { 2.0 } else { 1.0 } / grown;
        let mut matrix = vec![0f32; from * to];
        for i in 0..to {
            let x = place(i as f64, axis, grid);
            let (first, last) = if grown < 1.0 {
                ((x - reach).ceil() as i64, (x + reach).floor() as i64)
            } else {
                (x.floor() as i64 - (reach as i64 - 1), x.floor() as i64 + reach as i64)
            };
            let exclude = self.exclude;
            let inside = |j: i64| (0..from as i64).contains(&j);
            let taps: Vec<(i64, f64)> = (first..=last)
                .filter(|j| !exclude || inside(*j))
                .map(|j| (j, self.at((j as f64 - x) * grown)))
                .collect();
            let total: f64 = if exclude || grown < 1.0 { taps.iter().map(|(_, w)| w).sum() } else { 1.0 };
            for (j, weight) in taps {
                let j = j.clamp(0, from as i64 - 1) as usize;
                matrix[i * from + j] += (weight / total) as f32;
            }
        }
        Ok(Tensor::from_vec(matrix, (to, from), &Device::Cpu)?)
    }
}

/// The input position of output position `i`.
fn place(i: f64, axis: &ResizedAxis, grid: CoordinateTransform) -> f64 {
    let (scale, n, m) = (f64::from(axis.scale), axis.from as f64, axis.to as f64);
    match grid {
        CoordinateTransform::Own(Alignment::Asymmetric) => i / scale,
        CoordinateTransform::Own(Alignment::Corners) if axis.to > 1 => i * (n - 1.0) / (m - 1.0),
        CoordinateTransform::Own(Alignment::Corners) => 0.0,
        CoordinateTransform::HalfPixelOrFirst if axis.to == 1 => 0.0,
        CoordinateTransform::Own(Alignment::Symmetric) => n / 2.0 * (1.0 - m / (scale * n)) + (i + 0.5) / scale - 0.5,
        CoordinateTransform::HalfPixelForNearest => (i + 0.5) / scale,
        CoordinateTransform::Own(Alignment::HalfPixel) | CoordinateTransform::HalfPixelOrFirst => {
            (i + 0.5) / scale - 0.5
        }
    }
}

/// Resizes one axis after another.
pub fn resample(
    s: &mut Scope,
    site: &Site<'_>,
    x: Act,
    axes: &[ResizedAxis],
    grid: CoordinateTransform,
    kernel: Kernel,
) -> Result<Vec<Value>> {
    let Some((last, before)) = axes.split_last() else {
        return Ok(vec![Value::Act(s.add(site, Op::Identity, &[x])?)]);
    };
    let mut y = x;
    for axis in before {
        let name = s.free(&format!("{}/axis {}", site.name, axis.at));
        y = s.mapped(site, &name, y, axis.at, kernel.matrix(axis, grid)?)?;
    }
    Ok(vec![Value::Act(s.along(site, y, last.at, kernel.matrix(last, grid)?)?)])
}
