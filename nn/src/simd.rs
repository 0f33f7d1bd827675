//! The machine's vector instructions (AVX-512, AVX2, NEON or none), which `pulp` detects at run time, or those that
//! [`VARIABLE`] names.

use crate::error::{Error, Result};
use pulp::{Arch, Simd, WithSimd};
use std::sync::OnceLock;

/// f32 lanes of the widest vector that kernels use (AVX-512).
pub const MAX_LANES: usize = 16;

/// Chooses the vector instructions: `avx512`, `avx2` or `portable`. Results have the same bits under each.
pub const VARIABLE: &str = "CONVSCOPE_SIMD";

/// The instruction set that kernels use: the widest of this machine, or what [`VARIABLE`] says; found once.
pub fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| chosen().unwrap_or_default())
}

/// What [`VARIABLE`] chooses.
///
/// # Errors
/// Where it names no instruction set, or one that this machine lacks.
pub fn chosen() -> Result<Arch> {
    let Some(name) = std::env::var_os(VARIABLE) else { return Ok(Arch::new()) };
    match name.to_str() {
        Some("") => Ok(Arch::new()),
        Some("portable") => Ok(Arch::Scalar),
        #[cfg(target_arch = "x86_64")]
        Some("avx512") => pulp::x86::V4::try_new().map(Arch::V4).ok_or_else(|| lacking("avx512")),
        #[cfg(target_arch = "x86_64")]
        Some("avx2") => pulp::x86::V3::try_new().map(Arch::V3).ok_or_else(|| lacking("avx2")),
        _ => Err(Error::value(format!("{VARIABLE} is `{}`", name.display())).hint("it takes avx512, avx2 or portable")),
    }
}

#[cfg(target_arch = "x86_64")]
fn lacking(name: &str) -> Error {
    Error::value(format!("{VARIABLE} asks for {name}, which this processor lacks"))
        .hint(format!("unset {VARIABLE} for what the processor has"))
}

/// f32 lanes of a vector on this machine.
pub fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    static LANES: OnceLock<usize> = OnceLock::new();
    // A machine with wider vectors would use sixteen lanes of them.
    *LANES.get_or_init(|| arch().dispatch(Lanes).min(MAX_LANES))
}
