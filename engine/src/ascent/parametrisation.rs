//! How parameters become images: the pixels themselves, a Fourier spectrum with decorrelated colours, or a change of
//! variable that never leaves a box.

use super::space::{Frame, Space};
use crate::random::Stream;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// A differentiable map from parameters to images in net units.
pub trait Parametrisation: Send + Sync {
    /// The images of `params`, N x C x H x W.
    fn images(&self, params: &[f64]) -> Vec<f64>;

    /// The gradient with respect to the parameters, from `gradient`, that with respect to the images.
    fn pull(&self, params: &[f64], gradient: &[f64]) -> Vec<f64>;

    /// Projects parameters to their allowed range after a step.
    fn project(&self, params: &mut [f64]) {
        let _ = params;
    }
}

/// The net's input itself, each channel in units of `unit` around zero, optionally bounded to the values that photos can have.
pub struct Pixels {
    frame: Frame,
    /// Net units per parameter unit, for each channel.
    pub unit: Vec<f64>,
    bounds: Option<Vec<(f64, f64)>>,
}

impl Pixels {
    /// Parameters in units of `pixels` pixel values, without bounds.
    pub fn new(space: &Space, pixels: f64) -> Self {
        Pixels { frame: space.frame, unit: space.slope.iter().map(|s| s.abs() * pixels).collect(), bounds: None }
    }

    /// Parameters that are the net's input itself.
    pub fn plain(space: &Space) -> Self {
        Pixels { frame: space.frame, unit: vec![1.0; space.frame.channels], bounds: None }
    }

    /// Kept within 0 to 255.
    pub fn bounded(self, space: &Space) -> Self {
        Pixels { bounds: Some(space.bounds()), ..self }
    }

    /// The parameters of images in net units.
    pub fn params(&self, images: &[f64]) -> Vec<f64> {
        let (plane, c) = (self.frame.plane(), self.frame.channels);
        images.iter().enumerate().map(|(i, x)| x / self.unit[i / plane % c]).collect()
    }
}

impl Parametrisation for Pixels {
    fn images(&self, params: &[f64]) -> Vec<f64> {
        let (plane, c) = (self.frame.plane(), self.frame.channels);
        params.iter().enumerate().map(|(i, p)| p * self.unit[i / plane % c]).collect()
    }

    fn pull(&self, _: &[f64], gradient: &[f64]) -> Vec<f64> {
        self.images(gradient)
    }

    fn project(&self, params: &mut [f64]) {
        let Some(bounds) = &self.bounds else { return };
        let (plane, channels) = (self.frame.plane(), self.frame.channels);
        for (i, p) in params.iter_mut().enumerate() {
            let c = i / plane % channels;
            *p = p.clamp(bounds[c].0 / self.unit[c], bounds[c].1 / self.unit[c]);
        }
    }
}

/// The change of variable of Carlini and Wagner 2016, section 5.2: pixel = 255 (tanh w + 1) / 2.
pub struct Boxed<'a>(pub &'a Space);

impl Boxed<'_> {
    /// The parameters of pixel values, drawn in from the ends by a millionth so that they are finite.
    pub fn params(pixels: &[f64]) -> Vec<f64> {
        pixels.iter().map(|p| libm::atanh((2.0 * p / 255.0 - 1.0).clamp(-1.0, 1.0) * 0.999_999)).collect()
    }

    /// The pixel values of parameters.
    pub fn pixels(params: &[f64]) -> Vec<f64> {
        params.iter().map(|w| 127.5 * (libm::tanh(*w) + 1.0)).collect()
    }

    /// The gradient with respect to the parameters, from `gradient`, that with respect to pixel values.
    pub fn pull_pixels(params: &[f64], gradient: &[f64]) -> Vec<f64> {
        let slope = |w: &f64| {
            let t = libm::tanh(*w);
            127.5 * (1.0 - t * t)
        };
        params.iter().zip(gradient).map(|(w, g)| slope(w) * g).collect()
    }
}

impl Parametrisation for Boxed<'_> {
    fn images(&self, params: &[f64]) -> Vec<f64> {
        self.0.to_net(&Self::pixels(params))
    }

    fn pull(&self, params: &[f64], gradient: &[f64]) -> Vec<f64> {
        Self::pull_pixels(params, &self.0.pull(gradient))
    }
}

/// Olah et al. 2017, "Feature Visualization", section on preconditioning: a spectrum divided by the frequency, three
/// decorrelated colours, and a sigmoid into 0 to 255. The spectrum is real (Hartley's transform, which is its own
/// inverse and adjoint), so each parameter is one plane wave.
pub struct Fourier<'a> {
    space: &'a Space,
    scale: Vec<f64>,
    hartley: Hartley,
    /// The colour that each decorrelated channel adds to R, G and B; none for grey nets.
    colours: Option<[[f64; 3]; 3]>,
    /// Which of R, G, B each channel of the net is.
    order: Vec<usize>,
}

/// The square root of the covariance of ImageNet's colours, as Olah et al. 2017 measured it (their rows are R, G, B).
const COLOURS: [[f64; 3]; 3] = [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]];

/// The factor from a parameter to the sigmoid's argument.
const GAIN: f64 = 0.25;

impl<'a> Fourier<'a> {
    /// Over the images of a space whose channel `c` is `order[c]` of R, G, B.
    pub fn new(space: &'a Space, order: &[usize], decay: f64) -> Self {
        let Frame { height, width, channels } = space.frame;
        let side = |i: usize, n: usize| i.min(n - i) as f64 / n as f64;
        let least = 1.0 / height.max(width) as f64;
        let frequency = |i: usize| libm::hypot(side(i / width, height), side(i % width, width));
        let scale = (0..height * width).map(|i| libm::pow(frequency(i).max(least), -decay)).collect();
        let longest = (0..3).map(|k| COLOURS.iter().map(|row| row[k] * row[k]).sum::<f64>().sqrt()).fold(0.0, f64::max);
        let colours = (channels == 3).then(|| COLOURS.map(|row| row.map(|v| v / longest)));
        Fourier { space, scale, hartley: Hartley::new(height, width), colours, order: order.to_vec() }
    }

    /// Random parameters for `n` images: a spectrum of standard deviation 0.01.
    pub fn start(&self, n: usize, stream: &Stream) -> Vec<f64> {
        (0..n * self.space.frame.len()).map(|i| 0.01 * stream.normal_at(i as u64)).collect()
    }

    /// The argument of the sigmoid, N x C x H x W in the net's order of channels.
    fn latent(&self, params: &[f64]) -> Vec<f64> {
        let frame = self.space.frame;
        let mut out = Vec::with_capacity(params.len());
        for image in params.chunks(frame.len()) {
            let planes: Vec<Vec<f64>> = image.chunks(frame.plane()).map(|s| self.plane(s)).collect();
            match &self.colours {
                None => out.extend(planes.concat()),
                Some(mix) => {
                    for colour in &self.order {
                        let m = mix[*colour];
                        out.extend(
                            (0..frame.plane()).map(|i| m[0] * planes[0][i] + m[1] * planes[1][i] + m[2] * planes[2][i]),
                        );
                    }
                }
            }
        }
        out
    }

    fn plane(&self, spectrum: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> = spectrum.iter().zip(&self.scale).map(|(p, s)| GAIN * p * s).collect();
        self.hartley.apply(&scaled)
    }
}

impl Parametrisation for Fourier<'_> {
    fn images(&self, params: &[f64]) -> Vec<f64> {
        let pixels: Vec<f64> = self.latent(params).into_iter().map(|z| 255.0 * sigmoid(z)).collect();
        self.space.to_net(&pixels)
    }

    fn pull(&self, params: &[f64], gradient: &[f64]) -> Vec<f64> {
        let frame = self.space.frame;
        let by_latent: Vec<f64> = self
            .latent(params)
            .into_iter()
            .zip(self.space.pull(gradient))
            .map(|(z, g)| {
                let s = sigmoid(z);
                255.0 * s * (1.0 - s) * g
            })
            .collect();
        let mut out = Vec::with_capacity(params.len());
        for image in by_latent.chunks(frame.len()) {
            for k in 0..frame.channels {
                let plane: Vec<f64> = match &self.colours {
                    None => image[k * frame.plane()..(k + 1) * frame.plane()].to_vec(),
                    Some(mix) => (0..frame.plane())
                        .map(|i| {
                            let each = self.order.iter().enumerate();
                            each.map(|(c, colour)| mix[*colour][k] * image[c * frame.plane() + i]).sum()
                        })
                        .collect(),
                };
                let spectrum = self.hartley.apply(&plane);
                out.extend(spectrum.iter().zip(&self.scale).map(|(p, s)| GAIN * p * s));
            }
        }
        out
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

/// Hartley's transform of an image: the real part of the Fourier transform minus its imaginary part, orthonormal.
struct Hartley {
    rows: Arc<dyn Fft<f64>>,
    columns: Arc<dyn Fft<f64>>,
    height: usize,
    width: usize,
}

impl Hartley {
    fn new(height: usize, width: usize) -> Self {
        let mut planner = FftPlanner::new();
        Hartley { rows: planner.plan_fft_forward(width), columns: planner.plan_fft_forward(height), height, width }
    }

    fn apply(&self, plane: &[f64]) -> Vec<f64> {
        let (h, w) = (self.height, self.width);
        let mut rows: Vec<Complex<f64>> = plane.iter().map(|v| Complex::new(*v, 0.0)).collect();
        self.rows.process(&mut rows);
        let mut columns: Vec<Complex<f64>> = (0..h * w).map(|i| rows[i % h * w + i / h]).collect();
        self.columns.process(&mut columns);
        let norm = 1.0 / ((h * w) as f64).sqrt();
        (0..h * w).map(|i| columns[i % w * h + i / w]).map(|v| norm * (v.re - v.im)).collect()
    }
}
