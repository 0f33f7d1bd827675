//! Priors on images, as penalties.
//!
//! Mahendran and Vedaldi 2014, section 2: the alpha-norm keeps values in range, total variation to the power beta / 2
//! keeps them smooth (beta = 1 leaves spikes where a net samples sparsely). Simonyan et al. 2013: the squared 2-norm.

use super::space::Frame;
use crate::data::blur::blur;

/// A penalty, in units of the objective.
#[derive(Clone, Debug)]
pub enum Prior {
    /// lambda |x|^2 in net units.
    L2 {
        /// Its weight.
        lambda: f64,
    },
    /// lambda / (H W) sum |x / unit|^alpha.
    Norm {
        /// Its weight.
        lambda: f64,
        /// The power.
        alpha: f64,
        /// The scale of each channel, net units.
        unit: Vec<f64>,
    },
    /// lambda / (H W) sum ((x_right - x)^2 + (x_below - x)^2)^(beta / 2), in units of each channel's scale.
    TotalVariation {
        /// Its weight.
        lambda: f64,
        /// The power.
        beta: f64,
        /// The scale of each channel, net units.
        unit: Vec<f64>,
    },
}

impl Prior {
    /// The penalty, summed over the images; its gradient is subtracted from `gradient`.
    pub fn add_to(&self, frame: Frame, images: &[f64], gradient: &mut [f64]) -> f64 {
        let plane = frame.plane();
        let planes = images.chunks(plane).zip(gradient.chunks_mut(plane)).enumerate();
        planes.map(|(i, (x, g))| self.plane(frame, i % frame.channels, x, g)).sum()
    }

    fn plane(&self, frame: Frame, c: usize, x: &[f64], gradient: &mut [f64]) -> f64 {
        let positions = frame.plane() as f64;
        match self {
            Prior::L2 { lambda } => {
                x.iter().zip(gradient).for_each(|(x, g)| *g -= 2.0 * lambda * x);
                lambda * x.iter().map(|x| x * x).sum::<f64>()
            }
            Prior::Norm { lambda, alpha, unit } => {
                let weight = lambda / positions;
                let mut sum = 0.0;
                for (x, g) in x.iter().zip(gradient) {
                    let v = x / unit[c];
                    let below = libm::pow(v.abs(), alpha - 1.0);
                    sum += below * v.abs();
                    *g -= weight * alpha * below * v.signum() / unit[c];
                }
                weight * sum
            }
            Prior::TotalVariation { lambda, beta, unit } => {
                let weight = lambda / positions;
                let (h, w) = (frame.height, frame.width);
                let mut sum = 0.0;
                for i in 0..h * w {
                    let right = if i % w + 1 < w { (x[i + 1] - x[i]) / unit[c] } else { 0.0 };
                    let below = if i / w + 1 < h { (x[i + w] - x[i]) / unit[c] } else { 0.0 };
                    let square = right * right + below * below;
                    if square == 0.0 {
                        continue;
                    }
                    let slope = if *beta == 2.0 { 1.0 } else { libm::pow(square, beta / 2.0 - 1.0) };
                    sum += slope * square;
                    let step = weight * beta * slope / unit[c];
                    if i % w + 1 < w {
                        gradient[i + 1] -= step * right;
                    }
                    if i / w + 1 < h {
                        gradient[i + w] -= step * below;
                    }
                    gradient[i] += step * (right + below);
                }
                weight * sum
            }
        }
    }
}

/// Edits of the image itself every few steps (Yosinski et al. 2015, section 4): a blur removes high frequencies, clipping sets
/// pixels of small magnitude to zero.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Steps between two edits.
    pub every: usize,
    /// The Gaussian's standard deviation, pixels; 0 for none.
    pub blur: f64,
    /// The share of pixels with the smallest norm over channels that become zero.
    pub clip: f64,
}

impl Schedule {
    /// Edits pixel parameters (N x C x H x W) where `step` is one of its times.
    pub fn apply(&self, frame: Frame, params: &mut [f64], step: usize) {
        if !step.is_multiple_of(self.every.max(1)) {
            return;
        }
        let plane = frame.plane();
        if self.blur > 0.0 {
            params.chunks_mut(plane).for_each(|p| blur(p, [frame.height, frame.width], self.blur));
        }
        if self.clip > 0.0 {
            for image in params.chunks_mut(frame.len()) {
                let square =
                    |i: usize| (0..frame.channels).map(|c| image[c * plane + i] * image[c * plane + i]).sum::<f64>();
                let norms: Vec<f64> = (0..plane).map(square).collect();
                let mut sorted = norms.clone();
                sorted.sort_by(f64::total_cmp);
                let least = sorted[((self.clip * plane as f64) as usize).min(plane - 1)];
                image.iter_mut().enumerate().filter(|(i, _)| norms[i % plane] < least).for_each(|(_, v)| *v = 0.0);
            }
        }
    }
}
