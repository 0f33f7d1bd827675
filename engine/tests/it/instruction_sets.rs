//! The vector instructions under which tests run programs again; results have the same bits under each.

use convscope_engine::simd::{VARIABLE, named};

/// Whether the processor has both AVX-512 and AVX2; where it has not, that is said.
pub fn has_both() -> bool {
    let has = named("avx512").is_ok() && named("avx2").is_ok();
    if !has {
        eprintln!("skipped: the processor has not both AVX2 and AVX-512");
    }
    has
}

/// The one of these two that this process does not use itself, where the processor has both.
pub fn other() -> Option<&'static str> {
    let narrow = std::env::var(VARIABLE).is_ok_and(|name| name == "avx2");
    has_both().then_some(if narrow { "avx512" } else { "avx2" })
}
