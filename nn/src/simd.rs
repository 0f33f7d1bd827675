//! The machine's vector instructions (AVX-512, AVX2, NEON or none), which `pulp` detects at run time.

use pulp::{Arch, Simd, WithSimd};
use std::sync::OnceLock;

/// f32 lanes of the widest vector that kernels use (AVX-512).
pub const MAX_LANES: usize = 16;

/// This machine's instruction set, detected once.
pub fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(Arch::new)
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
