//! Sums, means and other reductions over a tensor or along one axis.

use super::of;
use crate::fault::Raise;
use crate::library::Library;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Error, Result, Tensor};

/// Binds the reductions: over all axes to a number, or along one axis (negative ones count from the last) to a tensor without it.
pub fn bind(library: &mut Library<'_>) {
    macro_rules! reduction {
        ($name:literal, $doc:literal, $f:expr) => {
            library.add(concat!("tensor.", $name, "() -> number"), $doc, |t: &mut Tensor| all(t, $f).raise());
            library.add(concat!("tensor.", $name, "(axis: number) -> tensor"), "", |t: &mut Tensor, a: i64| {
                along(t, a, $f).raise()
            });
        };
    }
    reduction!("sum", "The sum of all numbers, or along an axis.", sum);
    reduction!("mean", "The mean of all numbers, or along an axis.", mean);
    reduction!("std", "The standard deviation (dividing by n) of all numbers, or along an axis.", std);
    reduction!("min", "The smallest number, or along an axis.", |v| v[smallest(v) as usize]);
    reduction!("max", "The largest number, or along an axis.", |v| v[largest(v) as usize]);
    library.add(
        "tensor.argmax() -> number",
        "The index of the largest number in the flattened tensor, or along an axis; the first of equals.",
        |t: &mut Tensor| all(t, largest).map(|i| i as i64).raise(),
    );
    library.add("tensor.argmax(axis: number) -> tensor", "", |t: &mut Tensor, a: i64| along(t, a, largest).raise());
    library.add(
        "tensor.argmin() -> number",
        "The index of the smallest number in the flattened tensor, or along an axis; the first of equals.",
        |t: &mut Tensor| all(t, smallest).map(|i| i as i64).raise(),
    );
    library.add("tensor.argmin(axis: number) -> tensor", "", |t: &mut Tensor, a: i64| along(t, a, smallest).raise());
}

/// The index of an axis; negative ones count from the last.
///
/// # Errors
/// Where the tensor has no such axis.
pub fn axis(t: &Tensor, i: i64) -> Result<usize> {
    let at = if i < 0 { i + t.rank() as i64 } else { i };
    usize::try_from(at).ok().filter(|a| *a < t.rank()).ok_or_else(|| {
        Error::shape(format!("no axis {i} in a tensor of shape {:?}", t.dims()))
            .hint(format!("its axes are 0 to {}; -1 is the last", t.rank().saturating_sub(1)))
    })
}

fn all(t: &Tensor, f: fn(&[f64]) -> f64) -> Result<f64> {
    let values = to_f64(t)?;
    if values.is_empty() {
        return Err(Error::shape(format!("a tensor of shape {:?} holds no numbers", t.dims())));
    }
    Ok(f(&values))
}

fn along(t: &Tensor, i: i64, f: fn(&[f64]) -> f64) -> Result<Tensor> {
    let axis = axis(t, i)?;
    let dims = t.dims();
    if dims[axis] == 0 {
        return Err(Error::shape(format!("axis {i} of a tensor of shape {dims:?} holds nothing")));
    }
    let (outer, n, inner) =
        (dims[..axis].iter().product::<usize>(), dims[axis], dims[axis + 1..].iter().product::<usize>());
    let values = to_f64(t)?;
    let mut line = vec![0.0; n];
    let mut out = Vec::with_capacity(outer * inner);
    for o in 0..outer {
        for i in 0..inner {
            line.iter_mut().enumerate().for_each(|(k, v)| *v = values[(o * n + k) * inner + i]);
            out.push(f(&line));
        }
    }
    let left: Vec<usize> = dims.iter().enumerate().filter(|(a, _)| *a != axis).map(|(_, d)| *d).collect();
    of(out, &left)
}

fn sum(v: &[f64]) -> f64 {
    v.iter().sum()
}

fn mean(v: &[f64]) -> f64 {
    sum(v) / v.len() as f64
}

fn std(v: &[f64]) -> f64 {
    let m = mean(v);
    (v.iter().map(|x| (x - m) * (x - m)).sum::<f64>() / v.len() as f64).sqrt()
}

/// The index of the first maximum, or of the first NaN, so that NaNs show as they do in sums and means.
fn largest(v: &[f64]) -> f64 {
    first(v, |x, best| x > best)
}

/// The index of the first minimum, or of the first NaN.
fn smallest(v: &[f64]) -> f64 {
    first(v, |x, best| x < best)
}

fn first(v: &[f64], beats: impl Fn(f64, f64) -> bool) -> f64 {
    let beats = |x: f64, best: f64| !best.is_nan() && (x.is_nan() || beats(x, best));
    v.iter().enumerate().fold(0, |best, (i, x)| if beats(*x, v[best]) { i } else { best }) as f64
}
