//! The class of a machine's numerics: machines of one class give the same bits.
//!
//! Kernels choose instructions (fused multiply-add, AVX-512) by what the processor has. They are written to give the same bits
//! under each, but neither a name nor a list of flags proves it. Therefore a fixed set of small problems is computed, and the
//! digest of its bits is the class; the instruction sets are listed for people.

use crate::digest::feed;
use crate::error::Result;
use crate::kernels::matmul::{Matrix, matmul};
use crate::pass::Tap;
use crate::shapes::net;
use crate::tensor::{tensor, to_f32};
use serde::{Deserialize, Serialize};

/// The class of a machine's numerics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numerics {
    /// The architecture and those of its instruction sets that kernels choose between, for people.
    pub isa: String,
    /// BLAKE3 of the bits of a fixed set of products and convolutions, hexadecimal, cut to 32 digits.
    pub probe: String,
}

impl Numerics {
    /// The numerics of this machine.
    ///
    /// # Errors
    /// Where a kernel refuses these problems: a defect.
    pub fn here() -> Result<Self> {
        let mut bits = blake3::Hasher::new();
        // Short and long sums, thin and wide products: what kernels cut differently.
        for (m, n, k) in [(5, 7, 3), (64, 196, 576), (3, 40, 4100), (1, 1000, 512), (130, 33, 1025)] {
            let (a, b) = (noise(m * k, 1), noise(k * n, 2));
            let mut out = vec![0f32; m * n];
            matmul(m, n, k, &mut out, n, false, Matrix::rows(&a, k), Matrix::rows(&b, n));
            feed(&mut bits, &out, f32::to_le_bytes);
        }
        let net = net::load()?;
        let shape = net.input_shape();
        let batch: Vec<usize> = std::iter::once(2).chain(shape.iter().copied()).collect();
        let x = tensor(noise(batch.iter().product(), 3), &batch)?;
        let trace = net.forward(&x, &Tap::All)?;
        for id in net.graph().ids() {
            feed(&mut bits, &to_f32(trace.get(id)?)?, f32::to_le_bytes);
        }
        feed(&mut bits, &to_f32(&net.output(&x)?)?, f32::to_le_bytes);
        Ok(Numerics { isa: isa(), probe: bits.finalize().to_hex()[..32].to_string() })
    }
}

/// Values in [-1, 1) from integer arithmetic alone.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn isa() -> String {
    #[allow(unused_mut)]
    let mut sets: Vec<&str> = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let has = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        sets.extend(has.iter().filter(|(_, there)| *there).map(|(name, _)| *name));
    }
    sets.join("+")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_machine_has_one_class_on_any_number_of_threads() {
        let here = Numerics::here().unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(Numerics::here).unwrap(), here);
        }
        assert!(here.isa.starts_with(std::env::consts::ARCH));
    }
}
