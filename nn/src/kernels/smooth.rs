//! Smooth activations and their slopes for a block of values at a time, to the bits of [`elementwise`](super::elementwise)'s formulas.
//!
//! Value by value a processor waits for one step of a polynomial after the other; over a block it has as many steps to do at a
//! time as there are vectors in it.

use crate::graph::op::Activation;
use crate::transcendental::{self, BLOCK};

/// Values from which on a block that they do not fill pays.
const MIN_FILLED: usize = 40;

/// Values of a block.
type Block = [f32; BLOCK];

/// A function that blocks are computed of.
#[derive(Clone, Copy)]
pub(super) enum Smooth {
    Sigmoid,
    Silu,
    Gelu,
    TanhGelu,
    Tanh,
}

impl Smooth {
    /// The function, where it is one of these.
    pub fn of(f: Activation) -> Option<Self> {
        match f {
            Activation::Sigmoid => Some(Smooth::Sigmoid),
            Activation::Silu => Some(Smooth::Silu),
            Activation::Gelu { tanh: false } => Some(Smooth::Gelu),
            Activation::Gelu { tanh: true } => Some(Smooth::TanhGelu),
            Activation::Tanh => Some(Smooth::Tanh),
            _ => None,
        }
    }

    /// f(x) for all values, in their place, but for the last few, which it returns.
    #[inline(always)]
    pub fn apply(self, values: &mut [f32]) -> &mut [f32] {
        let (blocks, rest) = values.as_chunks_mut::<BLOCK>();
        self.values(blocks);
        if rest.len() < MIN_FILLED {
            return rest;
        }
        let mut block = [0.0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        self.values(std::slice::from_mut(&mut block));
        rest.copy_from_slice(&block[..rest.len()]);
        &mut []
    }

    #[inline(always)]
    fn values(self, blocks: &mut [Block]) {
        match self {
            Smooth::Sigmoid => {
                for x in blocks {
                    *x = sigmoid(x);
                }
            }
            Smooth::Silu => {
                for x in blocks {
                    let s = sigmoid(x);
                    for i in 0..BLOCK {
                        x[i] *= s[i];
                    }
                }
            }
            Smooth::Gelu => {
                for x in blocks {
                    let e = gaussian_integral(x);
                    for i in 0..BLOCK {
                        x[i] = 0.5 * x[i] * (1.0 + e[i]);
                    }
                }
            }
            Smooth::TanhGelu => {
                for x in blocks {
                    let t = gelu_tanh(x);
                    for i in 0..BLOCK {
                        x[i] = 0.5 * x[i] * (1.0 + t[i]);
                    }
                }
            }
            Smooth::Tanh => {
                for x in blocks {
                    *x = tanh(x);
                }
            }
        }
    }

    /// g f'(x) for all blocks of x and g, in the place of g; zero where g is, whatever f'(x).
    #[inline(always)]
    pub fn times_slopes(self, x: &[Block], g: &mut [Block]) {
        for (x, g) in x.iter().zip(g) {
            let slope = self.slopes(x);
            for i in 0..BLOCK {
                let product = g[i] * slope[i];
                g[i] = if g[i] == 0.0 { 0.0 } else { product };
            }
        }
    }

    #[inline(always)]
    fn slopes(self, x: &Block) -> Block {
        let mut slope = [0.0; BLOCK];
        match self {
            Smooth::Sigmoid => {
                let s = sigmoid(x);
                for i in 0..BLOCK {
                    slope[i] = s[i] * (1.0 - s[i]);
                }
            }
            Smooth::Silu => {
                let s = sigmoid(x);
                for i in 0..BLOCK {
                    slope[i] = s[i] * (1.0 + x[i] * (1.0 - s[i]));
                }
            }
            Smooth::Gelu => {
                let e = gaussian_integral(x);
                let mut density = [0.0; BLOCK];
                for i in 0..BLOCK {
                    density[i] = 0.0 - x[i] * x[i] / 2.0;
                }
                transcendental::exp_block(&mut density);
                for i in 0..BLOCK {
                    let density = density[i] * 0.398_942_280_401_432_7_f64 as f32;
                    slope[i] = 0.5 * (1.0 + e[i]) + x[i] * density;
                }
            }
            Smooth::TanhGelu => {
                let t = gelu_tanh(x);
                for i in 0..BLOCK {
                    let inner = GELU_K as f32 * (1.0 + (3.0 * 0.044_715f64) as f32 * x[i] * x[i]);
                    slope[i] = 0.5 * (1.0 + t[i]) + 0.5 * x[i] * (1.0 - t[i] * t[i]) * inner;
                }
            }
            Smooth::Tanh => {
                let t = tanh(x);
                for i in 0..BLOCK {
                    slope[i] = 1.0 - t[i] * t[i];
                }
            }
        }
        slope
    }
}

/// sqrt(2 / pi), of the tanh form of GELU.
pub(super) const GELU_K: f64 = 0.797_884_560_802_865_4;

/// 1 / (1 + e^-x), without overflow.
#[inline(always)]
fn sigmoid(x: &Block) -> Block {
    let mut e = [0.0; BLOCK];
    for i in 0..BLOCK {
        e[i] = 0.0 - if x[i] < 0.0 { 0.0 - x[i] } else { x[i] };
    }
    transcendental::exp_block(&mut e);
    for i in 0..BLOCK {
        e[i] = (if x[i] >= 0.0 { 1.0 } else { e[i] }) / (1.0 + e[i]);
    }
    e
}

/// erf(x / sqrt 2)
#[inline(always)]
fn gaussian_integral(x: &Block) -> Block {
    let mut e = [0.0; BLOCK];
    for i in 0..BLOCK {
        e[i] = x[i] * std::f64::consts::FRAC_1_SQRT_2 as f32;
    }
    transcendental::erf_block(&mut e);
    e
}

#[inline(always)]
fn tanh(x: &Block) -> Block {
    let mut t = *x;
    transcendental::tanh_block(&mut t);
    t
}

/// The tanh in the tanh form of GELU.
#[inline(always)]
fn gelu_tanh(x: &Block) -> Block {
    let mut t = [0.0; BLOCK];
    for i in 0..BLOCK {
        t[i] = GELU_K as f32 * (x[i] + 0.044_715 * x[i] * x[i] * x[i]);
    }
    transcendental::tanh_block(&mut t);
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::elementwise::{self, derivative, value};
    use crate::random::Stream;

    #[test]
    fn blocks_have_the_bits_of_the_formulas() {
        for n in [7, 41, BLOCK - 1] {
            let mut rng = Stream::new(0, "smooth");
            let mut x: Vec<f32> = (0..5 * BLOCK + n).map(|_| (3.0 * rng.next_normal()) as f32).collect();
            let special =
                [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40, 200.0, -200.0, 0.06, -0.0625];
            x[BLOCK..BLOCK + special.len()].copy_from_slice(&special);
            let mut g: Vec<f32> = (0..x.len()).map(|_| rng.next_normal() as f32).collect();
            (g[3], g[BLOCK + 2], g[BLOCK + 3]) = (0.0, 0.0, 0.0);
            for f in [
                Activation::Sigmoid,
                Activation::Silu,
                Activation::Gelu { tanh: false },
                Activation::Gelu { tanh: true },
                Activation::Tanh,
            ] {
                let bits = |values: Vec<f32>| -> Vec<u32> {
                    values.into_iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
                };
                assert!(Smooth::of(f).is_some());
                let want = x.iter().map(|x| value(f, *x)).collect();
                assert_eq!(bits(elementwise::forward(f, &x)), bits(want), "{f:?}");
                let slope = |(x, g): (&f32, &f32)| if *g == 0.0 { 0.0 } else { g * derivative(f, *x) };
                let want = x.iter().zip(&g).map(slope).collect();
                assert_eq!(bits(elementwise::backward(f, &x, &g)), bits(want), "{f:?}");
            }
        }
    }
}
