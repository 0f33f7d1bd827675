//! The machine's vector instructions (AVX-512, AVX2, NEON or none), which `pulp` detects at run time, or those that
//! [`VARIABLE`] names.

use crate::error::{Error, Result};
use pulp::{Arch, Simd, WithSimd};
use std::marker::PhantomData;
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
    match std::env::var_os(VARIABLE) {
        Some(name) if !name.is_empty() => named(&name.to_string_lossy()),
        _ => Ok(Arch::new()),
    }
}

/// The instruction set of this name.
///
/// # Errors
/// As [`chosen`].
pub fn named(name: &str) -> Result<Arch> {
    match name {
        "portable" => Ok(Arch::Scalar),
        #[cfg(target_arch = "x86_64")]
        "avx512" => pulp::x86::V4::try_new().map(Arch::V4).ok_or_else(|| lacking(name)),
        #[cfg(target_arch = "x86_64")]
        "avx2" => pulp::x86::V3::try_new().map(Arch::V3).ok_or_else(|| lacking(name)),
        _ => Err(Error::value(format!("{VARIABLE} is `{name}`")).hint("it takes avx512, avx2 or portable")),
    }
}

#[cfg(target_arch = "x86_64")]
fn lacking(name: &str) -> Error {
    Error::value(format!("{VARIABLE} asks for {name}, which this processor lacks"))
        .hint(format!("unset {VARIABLE} for what the processor has"))
}

/// f32 lanes of a vector on this machine.
pub fn lanes() -> usize {
    static LANES: OnceLock<usize> = OnceLock::new();
    // A machine with wider vectors would use sixteen lanes of them.
    *LANES.get_or_init(|| lanes_of::<f32>().min(MAX_LANES))
}

/// Lanes of a vector of this kind of number on this machine.
pub fn lanes_of<T: Lane>() -> usize {
    struct Lanes<T>(PhantomData<T>);
    impl<T: Lane> WithSimd for Lanes<T> {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            T::lanes::<S>()
        }
    }
    arch().dispatch(Lanes(PhantomData::<T>))
}

/// A number that vectors hold: f32 or f64. Its methods are those of [`Simd`] for that kind.
pub trait Lane: Copy + Default + Send + Sync + 'static {
    /// A vector of such numbers.
    type Vector<S: Simd>: Copy;
    /// Numbers in a vector.
    fn lanes<S: Simd>() -> usize;
    /// This number in all lanes.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    /// a + b
    fn add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a b + c, rounded once.
    fn mul_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    /// min(max(x, low), high) by comparisons, which keep a NaN; the machine's own minimum and maximum may not.
    fn clamp<S: Simd>(simd: S, x: Self::Vector<S>, low: f32, high: f32) -> Self::Vector<S>;
    /// At most a vector's numbers, then zeros.
    fn partial_load<S: Simd>(simd: S, values: &[Self]) -> Self::Vector<S>;
    /// The first numbers of a vector, as many as the slice holds.
    fn partial_store<S: Simd>(simd: S, values: &mut [Self], vector: Self::Vector<S>);
    /// The values, where this kind is f32.
    fn singles_mut(values: &mut [Self]) -> Option<&mut [f32]>;
}

macro_rules! lane {
    ($t:ty, $vector:ident, $lanes:ident, $splat:ident, $add:ident, $mul_add:ident, $less:ident, $greater:ident, $select:ident,
     $load:ident, $store:ident, $singles:expr) => {
        impl Lane for $t {
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }
            #[inline(always)]
            fn add<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn clamp<S: Simd>(simd: S, x: S::$vector, low: f32, high: f32) -> S::$vector {
                let (low, high) = (simd.$splat(<$t>::from(low)), simd.$splat(<$t>::from(high)));
                let x = simd.$select(simd.$less(x, low), low, x);
                simd.$select(simd.$greater(x, high), high, x)
            }
            #[inline(always)]
            fn partial_load<S: Simd>(simd: S, values: &[Self]) -> S::$vector {
                simd.$load(values)
            }
            #[inline(always)]
            fn partial_store<S: Simd>(simd: S, values: &mut [Self], vector: S::$vector) {
                simd.$store(values, vector)
            }
            fn singles_mut(values: &mut [Self]) -> Option<&mut [f32]> {
                let singles: fn(&mut [Self]) -> Option<&mut [f32]> = $singles;
                singles(values)
            }
        }
    };
}

lane!(
    f32,
    f32s,
    F32_LANES,
    splat_f32s,
    add_f32s,
    mul_add_f32s,
    less_than_f32s,
    greater_than_f32s,
    select_f32s,
    partial_load_f32s,
    partial_store_f32s,
    |v| Some(v)
);
lane!(
    f64,
    f64s,
    F64_LANES,
    splat_f64s,
    add_f64s,
    mul_add_f64s,
    less_than_f64s,
    greater_than_f64s,
    select_f64s,
    partial_load_f64s,
    partial_store_f64s,
    |_| None
);
