//! Access to candle tensors as contiguous slices, and the two number types that kernels compute in.

use crate::error::{Error, Result};
use crate::simd::Lane;
use crate::transcendental;
use candle_core::{CpuStorage, DType, Storage, Tensor, WithDType};
use rayon::prelude::*;
use std::ops::{Deref, Range};

/// Values that a task of an element-wise kernel handles.
pub const VALUES_PER_TASK: usize = 1 << 14;

/// A floating-point number that kernels compute in: f32, or f64, which tests use as the reference.
pub trait Real: WithDType + Lane + std::iter::Sum {
    /// e^x
    fn exp(self) -> Self;
    /// ln x
    fn ln(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// tanh x
    fn tanh(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// x^p
    fn powf(self, p: Self) -> Self;
    /// The same value in this kind.
    fn of(x: f64) -> Self;
    /// The same value as f64.
    fn f64(self) -> f64;
    /// Whether it is not a number.
    fn is_nan_value(self) -> bool;
    /// The values, where this kind is f32.
    fn singles(values: &[Self]) -> Option<&[f32]>;
    /// Values of f32 in this kind.
    fn of_singles(values: Vec<f32>) -> Vec<Self>;
}

macro_rules! real {
    ($t:ty, $exp:path, $ln:path, $tanh:path, $erf:path, $pow:path, $singles:expr, $of_singles:expr) => {
        impl Real for $t {
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn powf(self, p: Self) -> Self {
                if p == 2.0 { self * self } else { $pow(self, p) }
            }
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn is_nan_value(self) -> bool {
                self.is_nan()
            }
            fn singles(values: &[Self]) -> Option<&[f32]> {
                let singles: fn(&[Self]) -> Option<&[f32]> = $singles;
                singles(values)
            }
            fn of_singles(values: Vec<f32>) -> Vec<Self> {
                let of_singles: fn(Vec<f32>) -> Vec<Self> = $of_singles;
                of_singles(values)
            }
        }
    };
}

// These and libm's functions give the same bits on every machine; the system's differ between C libraries.
real!(
    f32,
    transcendental::exp,
    transcendental::ln,
    transcendental::tanh,
    transcendental::erf,
    libm::powf,
    |v| Some(v),
    |v| v
);
real!(f64, libm::exp, libm::log, libm::tanh, libm::erf, libm::pow, |_| None, |v| v
    .into_iter()
    .map(f64::from)
    .collect());

/// Runs `$body` with the type `$t` standing for the tensor's kind of number.
#[macro_export]
macro_rules! with_real {
    ($tensor:expr, $t:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            other => Err($crate::error::Error::internal(format!("a net computes in f32 or f64, not {other:?}"))),
        }
    };
}

/// The values of a contiguous tensor in host memory.
struct Values<G, T> {
    storage: G,
    range: Range<usize>,
    kind: std::marker::PhantomData<T>,
}

/// The values of `t`, row-major.
///
/// # Errors
/// Where the tensor is not contiguous, not in host memory, or holds another kind of number.
pub fn values<T: Real>(t: &Tensor) -> Result<impl Deref<Target = [T]> + '_> {
    let (storage, layout) = t.storage_and_layout();
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::internal("a kernel met a strided tensor"))?;
    let Storage::Cpu(host) = &*storage else { return Err(Error::internal("a host kernel met a device tensor")) };
    host.as_slice::<T>()?;
    Ok(Values { storage, range: start..end, kind: std::marker::PhantomData })
}

impl<G: Deref<Target = Storage>, T: Real> Deref for Values<G, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let slice = match &*self.storage {
            Storage::Cpu(host) => CpuStorage::as_slice::<T>(host).ok(),
            _ => None,
        };
        slice.map_or(&[], |s| &s[self.range.clone()])
    }
}

/// A tensor of `dims` that owns `data`, in host memory.
pub fn tensor<T: Real>(data: Vec<T>, dims: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(data, dims, &candle_core::Device::Cpu)?)
}

/// All values as f32, row-major, whatever the tensor's kind and place.
pub fn to_f32(t: &Tensor) -> Result<Vec<f32>> {
    Ok(t.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
}

/// All values as f64, row-major, whatever the tensor's kind and place.
pub fn to_f64(t: &Tensor) -> Result<Vec<f64>> {
    if t.dtype() == DType::F32 && t.is_contiguous() && t.device().is_cpu() {
        return Ok(values::<f32>(t)?.par_iter().with_min_len(VALUES_PER_TASK).map(|v| f64::from(*v)).collect());
    }
    Ok(t.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}
