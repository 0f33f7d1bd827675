//! Pictures drawn by a small network of functions of the position (CPPN; Stanley 2007): its weights and functions are
//! genes. Symmetries and repetitions come from the functions.

use crate::ascent::Frame;
use crate::random::Stream;

/// Nodes of a layer.
const WIDTH: usize = 8;
/// Hidden layers.
const DEPTH: usize = 3;
/// What the network reads: x, y, the distance from the centre, 1.
const INPUTS: usize = 4;
/// Functions that a node can have.
const FUNCTIONS: u64 = 5;

/// The genes: weights layer by layer, and a function a hidden node.
#[derive(Clone, Debug)]
pub struct Genome {
    weights: Vec<f64>,
    functions: Vec<u64>,
    channels: usize,
}

impl Genome {
    /// Random genes for pictures of so many channels.
    pub fn random(channels: usize, rng: &mut Stream) -> Self {
        let count = INPUTS * WIDTH + (DEPTH - 1) * WIDTH * WIDTH + WIDTH * channels;
        Genome {
            weights: (0..count).map(|_| 1.5 * rng.next_normal()).collect(),
            functions: (0..DEPTH * WIDTH).map(|_| rng.next_below(FUNCTIONS)).collect(),
            channels,
        }
    }

    /// The same with each gene changed with probability `chance`.
    pub fn mutated(&self, chance: f64, rng: &mut Stream) -> Self {
        let mut changed = self.clone();
        for w in &mut changed.weights {
            if rng.next_uniform() < chance {
                *w += rng.next_normal();
            }
        }
        for f in &mut changed.functions {
            if rng.next_uniform() < chance / 4.0 {
                *f = rng.next_below(FUNCTIONS);
            }
        }
        changed
    }

    /// The picture: whole pixel values, C x H x W.
    pub fn draw(&self, frame: Frame) -> Vec<f64> {
        let plane = frame.plane();
        let mut pixels = vec![0.0; frame.len()];
        for i in 0..plane {
            let y = 2.0 * ((i / frame.width) as f64 + 0.5) / frame.height as f64 - 1.0;
            let x = 2.0 * ((i % frame.width) as f64 + 0.5) / frame.width as f64 - 1.0;
            let mut values = vec![x, y, 1.4 * libm::hypot(x, y), 1.0];
            let mut weights = self.weights.as_slice();
            for layer in 0..DEPTH {
                let (own, rest) = weights.split_at(values.len() * WIDTH);
                values = (0..WIDTH)
                    .map(|k| function(self.functions[layer * WIDTH + k], dot(&own[k * values.len()..], &values)))
                    .collect();
                weights = rest;
            }
            for c in 0..self.channels {
                let z = dot(&weights[c * WIDTH..], &values);
                pixels[c * plane + i] = (255.0 / (1.0 + libm::exp(-z))).round();
            }
        }
        pixels
    }
}

fn dot(weights: &[f64], values: &[f64]) -> f64 {
    weights.iter().zip(values).map(|(w, v)| w * v).sum()
}

fn function(kind: u64, z: f64) -> f64 {
    match kind {
        0 => libm::sin(2.0 * z),
        1 => libm::exp(-z * z),
        2 => libm::tanh(z),
        3 => z.abs().min(3.0),
        _ => z.clamp(-3.0, 3.0),
    }
}
