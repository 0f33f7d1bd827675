//! Random transforms of an image before the net, so that the image does not depend on single pixels: padding, jitter, scaling,
//! rotation, jitter (Olah et al. 2017, "Transformation robustness"). Together they are one affine map, drawn in each step from
//! the job's random streams and sampled bilinearly; outside the image the padding is mid grey (zero net units where the net's
//! card does not say).

use super::space::{Frame, Space};
use crate::job::Job;
use rayon::prelude::*;

/// Random transforms; the default does nothing.
#[derive(Clone, Debug, Default)]
pub struct Transforms {
    /// The largest shift before scaling and rotation, pixels; the image wraps around when it is only shifted.
    pub jitter: usize,
    /// The largest relative change of size.
    pub scale: f64,
    /// The largest rotation, degrees.
    pub rotate: f64,
    /// The net's input for what lies outside the image, one value a channel; none wraps shifts around.
    pub pad: Option<Vec<f64>>,
}

impl Transforms {
    /// The identity.
    pub const NONE: Self = Transforms { jitter: 0, scale: 0.0, rotate: 0.0, pad: None };

    /// Shifts, sizes and rotations with grey padding; none where all three are zero.
    pub fn robust(space: &Space, jitter: usize, scale: f64, rotate: f64) -> Self {
        let pad = space.slope.iter().zip(&space.offset).map(|(s, o)| 127.5 * s + o).collect();
        Transforms { jitter, scale, rotate, pad: Some(pad) }
    }

    /// Whether images reach the net as they are.
    pub fn is_none(&self) -> bool {
        self.jitter == 0 && self.scale == 0.0 && self.rotate == 0.0
    }

    /// The transform of one step.
    pub fn draw(&self, frame: Frame, job: &Job, label: &str, step: usize) -> LinearWarp {
        if self.is_none() {
            return LinearWarp { frame, kind: Kind::Same };
        }
        let rng = job.rng(&format!("{label}/transform"));
        let draw = |k: u64| 2.0 * rng.uniform_at(5 * step as u64 + k) - 1.0;
        let shift =
            |k: u64| (draw(k) * (self.jitter as f64 + 0.5)).round().clamp(-(self.jitter as f64), self.jitter as f64);
        let (dy, dx) = (shift(0), shift(1));
        match &self.pad {
            None => LinearWarp { frame, kind: Kind::Roll(dy as isize, dx as isize) },
            Some(pad) => {
                let angle = (self.rotate * draw(2)).to_radians();
                let size = 1.0 + self.scale * draw(3);
                let (sin, cos) = (libm::sin(angle) / size, libm::cos(angle) / size);
                LinearWarp { frame, kind: Kind::Affine(taps(frame, [cos, sin, dy, dx]), pad.clone()) }
            }
        }
    }
}

/// Where an output pixel is read: four places (none outside the image) and their weights.
type Taps = [(Option<u32>, f64); 4];

enum Kind {
    Same,
    Roll(isize, isize),
    Affine(Vec<Taps>, Vec<f64>),
}

/// One linear map of images onto images of the same size (plus padding), with its adjoint.
pub struct LinearWarp {
    frame: Frame,
    kind: Kind,
}

impl LinearWarp {
    /// The images as the net sees them.
    pub fn apply(&self, images: &[f64]) -> Vec<f64> {
        let plane = self.frame.plane();
        self.each_plane(images, |c, image| match &self.kind {
            Kind::Same => image.to_vec(),
            Kind::Roll(dy, dx) => (0..plane).map(|i| image[self.rolled(i, *dy, *dx)]).collect(),
            Kind::Affine(taps, pad) => taps
                .iter()
                .map(|t| t.iter().map(|(at, w)| w * at.map_or(pad[c], |at| image[at as usize])).sum())
                .collect(),
        })
    }

    /// The gradient with respect to the images, from `gradient`, that with respect to the transformed images.
    pub fn pull(&self, gradient: &[f64]) -> Vec<f64> {
        let plane = self.frame.plane();
        self.each_plane(gradient, |_, g| {
            let mut out = vec![0.0; plane];
            match &self.kind {
                Kind::Same => out.copy_from_slice(g),
                Kind::Roll(dy, dx) => (0..plane).for_each(|i| out[self.rolled(i, *dy, *dx)] += g[i]),
                Kind::Affine(taps, _) => {
                    for (t, g) in taps.iter().zip(g) {
                        t.iter()
                            .filter_map(|(at, w)| Some((at.as_ref()?, w)))
                            .for_each(|(at, w)| out[*at as usize] += w * g);
                    }
                }
            }
            out
        })
    }

    fn rolled(&self, i: usize, dy: isize, dx: isize) -> usize {
        let (h, w) = (self.frame.height, self.frame.width);
        let wrap = |i: usize, d: isize, n: usize| (i as isize + d).rem_euclid(n as isize) as usize;
        wrap(i / w, dy, h) * w + wrap(i % w, dx, w)
    }

    fn each_plane(&self, values: &[f64], f: impl Fn(usize, &[f64]) -> Vec<f64> + Sync) -> Vec<f64> {
        let c = self.frame.channels;
        let planes: Vec<Vec<f64>> =
            values.par_chunks(self.frame.plane()).enumerate().map(|(i, plane)| f(i % c, plane)).collect();
        planes.concat()
    }
}

/// The bilinear taps of a rotation, scaling and shift about the image's centre.
fn taps(frame: Frame, [cos, sin, dy, dx]: [f64; 4]) -> Vec<Taps> {
    let (h, w) = (frame.height, frame.width);
    let (cy, cx) = ((h as f64 - 1.0) / 2.0, (w as f64 - 1.0) / 2.0);
    let place = |y: f64, x: f64| {
        let inside = y >= 0.0 && x >= 0.0 && y < h as f64 && x < w as f64;
        inside.then(|| (y as usize * w + x as usize) as u32)
    };
    (0..h * w)
        .map(|i| {
            let (y, x) = ((i / w) as f64 - cy, (i % w) as f64 - cx);
            let (fy, fx) = (cos * y - sin * x + cy + dy, sin * y + cos * x + cx + dx);
            let (y0, x0) = (fy.floor(), fx.floor());
            let (ry, rx) = (fy - y0, fx - x0);
            [
                (place(y0, x0), (1.0 - ry) * (1.0 - rx)),
                (place(y0, x0 + 1.0), (1.0 - ry) * rx),
                (place(y0 + 1.0, x0), ry * (1.0 - rx)),
                (place(y0 + 1.0, x0 + 1.0), ry * rx),
            ]
        })
        .collect()
}
