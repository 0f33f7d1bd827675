//! Tensors in scripts: arithmetic with broadcasting, and reductions along an axis, as in NumPy.

mod reduce;
mod slice;

use crate::convert::{cast, count, kind, number};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Device, Error, Result, Tensor};
use rhai::{Array, Dynamic};

/// Binds tensors.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Tensor>("tensor", "Numbers in rows, columns and more axes; 32-bit.");
    library.add(
        "tensor(values: list) -> tensor",
        "A tensor from a list of numbers, or of lists of the same length.",
        |v: Array| from_list(&Dynamic::from_array(v)).raise(),
    );
    library.getter("tensor.shape -> list", "Its sizes, one an axis.", |t: &mut Tensor| {
        t.dims().iter().map(|n| Dynamic::from(*n as i64)).collect::<Array>()
    });
    library.add("tensor.len() -> number", "The size of its first axis.", |t: &mut Tensor| length(t));
    library.add("tensor.to_array() -> list", "The numbers as a list (of lists).", |t: &mut Tensor| to_array(t).raise());
    library.add(
        "tensor.reshape(shape: list) -> tensor",
        "The same numbers in another shape; one size may be -1.",
        |t: &mut Tensor, shape: Array| reshape(t, &shape).raise(),
    );
    library.add("tensor.flatten() -> tensor", "The same numbers along one axis.", |t: &mut Tensor| {
        t.flatten_all().raise()
    });
    library.add("tensor.transpose() -> tensor", "The axes in reverse, or in the order given.", |t: &mut Tensor| {
        let axes: Vec<usize> = (0..t.rank()).rev().collect();
        t.permute(axes).and_then(|t| t.contiguous()).raise()
    });
    library
        .add("tensor.transpose(axes: list) -> tensor", "", |t: &mut Tensor, axes: Array| transpose(t, &axes).raise());
    slice::bind(library);
    reduce::bind(library);
    arithmetic(library);
    functions(library);
    library.text::<Tensor>(describe);
}

/// A tensor of f32 with `values` in `shape`, row-major.
///
/// # Errors
/// Where the number of values does not fit the shape.
pub fn of(values: Vec<f64>, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(DType::F32)?)
}

/// A list of numbers, or of lists of the same length, as a tensor.
///
/// # Errors
/// Where lengths differ or an entry is no number.
pub fn from_list(list: &Dynamic) -> Result<Tensor> {
    let mut shape = Vec::new();
    let mut values = Vec::new();
    gather(list, 0, &mut shape, &mut values)?;
    of(values, &shape)
}

fn gather(item: &Dynamic, depth: usize, shape: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()> {
    if let Some(tensor) = cast::<Tensor>(item) {
        let list = to_array(&tensor)?;
        return gather(&list, depth, shape, values);
    }
    let Some(list) = item.read_lock::<Array>() else {
        if depth != shape.len() {
            return Err(Error::shape("a number among lists"));
        }
        values.push(number(item)?);
        return Ok(());
    };
    if depth == shape.len() {
        if !values.is_empty() {
            return Err(Error::shape("a list among numbers"));
        }
        shape.push(list.len());
    }
    if shape[depth] != list.len() {
        return Err(Error::shape(format!("a list of {} beside one of {}", list.len(), shape[depth])));
    }
    list.iter().try_for_each(|i| gather(i, depth + 1, shape, values))
}

/// The numbers as a list (of lists); a tensor without axes as a number.
///
/// # Errors
/// Where the tensor cannot be read.
pub fn to_array(t: &Tensor) -> Result<Dynamic> {
    fn nest(values: &[f64], dims: &[usize]) -> Dynamic {
        match dims {
            [] => values.first().copied().unwrap_or(f64::NAN).into(),
            [_] => Dynamic::from_array(values.iter().map(|v| (*v).into()).collect()),
            [0, ..] => Dynamic::from_array(Array::new()),
            [n, rest @ ..] => {
                let each = values.len() / n;
                Dynamic::from_array((0..*n).map(|i| nest(&values[i * each..(i + 1) * each], rest)).collect())
            }
        }
    }
    Ok(nest(&to_f64(t)?, t.dims()))
}

/// The size of the first axis; 1 where there is none.
fn length(t: &Tensor) -> i64 {
    t.dims().first().map_or(1, |n| *n as i64)
}

/// "tensor 3 x 227 x 227, -2.1 to 2.6", or the values where they are few. NaNs are counted.
pub fn describe(t: &Tensor) -> String {
    let shape = t.dims().iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
    let Ok(values) = to_f64(t) else { return format!("tensor {shape}") };
    let short = convscope_engine::show::table::short;
    if values.len() <= 16 && t.rank() <= 1 {
        return format!("[{}]", values.iter().map(|v| short(*v)).collect::<Vec<_>>().join(", "));
    }
    let missing = values.iter().filter(|v| v.is_nan()).count();
    let left_out = match missing {
        0 => String::new(),
        n => format!(", {n} of {} values are NaN", values.len()),
    };
    if values.len() == missing {
        return format!("tensor {shape}{left_out}");
    }
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    format!("tensor {shape}, {} to {}{left_out}", short(low), short(high))
}

fn reshape(t: &Tensor, shape: &Array) -> Result<Tensor> {
    let sizes = shape
        .iter()
        .map(|d| d.as_int().map_err(|_| Error::value(format!("a size must be a whole number, got {}", kind(d)))));
    let sizes: Vec<i64> = sizes.collect::<Result<_>>()?;
    let wrong =
        || Error::shape(format!("{} values of shape {:?} do not fit the shape {sizes:?}", t.elem_count(), t.dims()));
    let given = sizes.iter().filter(|s| **s >= 0);
    let known = given.copied().try_fold(1usize, |n, s| n.checked_mul(s as usize)).ok_or_else(wrong)?;
    let free = sizes.iter().filter(|s| **s < 0).count();
    let rest = match free {
        0 => 1,
        1 if known > 0 && t.elem_count().is_multiple_of(known) => t.elem_count() / known,
        _ => return Err(wrong()),
    };
    let dims: Vec<usize> = sizes.iter().map(|s| if *s < 0 { rest } else { *s as usize }).collect();
    if known * rest != t.elem_count() {
        return Err(wrong());
    }
    Ok(t.reshape(dims)?)
}

fn transpose(t: &Tensor, axes: &Array) -> Result<Tensor> {
    let axes = axes.iter().map(|a| {
        let i = a.as_int().map_err(|_| Error::value(format!("an axis must be a whole number, got {}", kind(a))))?;
        reduce::axis(t, i)
    });
    let axes: Vec<usize> = axes.collect::<Result<_>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if sorted != (0..t.rank()).collect::<Vec<_>>() {
        return Err(Error::shape(format!("the axes {axes:?} do not name each of {} once", t.rank())));
    }
    Ok(t.permute(axes)?.contiguous()?)
}

/// An element-wise operation on two tensors with NumPy's broadcasting: aligned at the last axis, sizes equal or 1.
fn broadcast(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Result<Tensor> {
    let rank = a.rank().max(b.rank());
    let size = |t: &Tensor, i: usize| (i + t.rank()).checked_sub(rank).map_or(1, |at| t.dims()[at]);
    let mut dims = Vec::with_capacity(rank);
    for i in 0..rank {
        match (size(a, i), size(b, i)) {
            (x, y) if x == y || y == 1 => dims.push(x),
            (1, y) => dims.push(y),
            _ => return Err(Error::shape(format!("shapes {:?} and {:?} do not fit each other", a.dims(), b.dims()))),
        }
    }
    let spread = |t: &Tensor| to_f64(&t.broadcast_as(dims.as_slice())?.contiguous()?);
    let (x, y) = (spread(a)?, spread(b)?);
    of(x.iter().zip(&y).map(|(x, y)| f(*x, *y)).collect(), &dims)
}

/// Applies a function to each value.
fn map(t: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor> {
    of(to_f64(t)?.into_iter().map(f).collect(), t.dims())
}

fn arithmetic(library: &mut Library<'_>) {
    type Two = fn(f64, f64) -> f64;
    let all: [(&str, Two); 11] = [
        ("+", |a, b| a + b),
        ("-", |a, b| a - b),
        ("*", |a, b| a * b),
        ("/", |a, b| a / b),
        ("**", power),
        ("%", |a, b| a % b),
        ("<", |a, b| f64::from(u8::from(a < b))),
        ("<=", |a, b| f64::from(u8::from(a <= b))),
        (">", |a, b| f64::from(u8::from(a > b))),
        (">=", |a, b| f64::from(u8::from(a >= b))),
        ("==", |a, b| f64::from(u8::from(a == b))),
    ];
    for (name, f) in all {
        if name != "==" {
            library.also(name, move |a: Tensor, b: Tensor| broadcast(&a, &b, f).raise());
        }
        library.also(name, move |a: Tensor, b: f64| map(&a, |x| f(x, b)).raise());
        library.also(name, move |a: Tensor, b: i64| map(&a, |x| f(x, b as f64)).raise());
        library.also(name, move |a: f64, b: Tensor| map(&b, |x| f(a, x)).raise());
        library.also(name, move |a: i64, b: Tensor| map(&b, |x| f(a as f64, x)).raise());
    }
    library.also("==", |a: Tensor, b: Tensor| same(&a, &b).raise());
    library.also("!=", |a: Tensor, b: Tensor| same(&a, &b).map(|s| !s).raise());
    library.also("-", |a: Tensor| map(&a, |x| -x).raise());
}

fn power(a: f64, b: f64) -> f64 {
    if b == 2.0 { a * a } else { libm::pow(a, b) }
}

/// Whether two tensors have the same shape and values.
fn same(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.dims() == b.dims() && to_f64(a)? == to_f64(b)?)
}

fn functions(library: &mut Library<'_>) {
    library.add("tensor.abs() -> tensor", "The magnitude of each number.", |t: &mut Tensor| map(t, f64::abs).raise());
    library
        .add("tensor.sqrt() -> tensor", "The square root of each number.", |t: &mut Tensor| map(t, f64::sqrt).raise());
    library.add("tensor.exp() -> tensor", "e to the power of each number.", |t: &mut Tensor| map(t, libm::exp).raise());
    library.add("tensor.log() -> tensor", "The natural logarithm of each number.", |t: &mut Tensor| {
        map(t, libm::log).raise()
    });
    library.add(
        "tensor.clamp(low: number, high: number) -> tensor",
        "Each number, limited to the range from low to high.",
        |t: &mut Tensor, low: Dynamic, high: Dynamic| {
            let (low, high) = (number(&low).raise()?, number(&high).raise()?);
            map(t, |x| x.max(low).min(high)).raise()
        },
    );
    library.add(
        "tensor.dot(other: tensor) -> number",
        "The sum of the products of two tensors' numbers.",
        |t: &mut Tensor, other: Tensor| {
            if t.dims() != other.dims() {
                return Err(Error::shape(format!(
                    "shapes {:?} and {:?} do not fit each other",
                    t.dims(),
                    other.dims()
                )))
                .raise();
            }
            let (a, b) = (to_f64(t).raise()?, to_f64(&other).raise()?);
            Fallible::Ok(a.iter().zip(&b).map(|(x, y)| x * y).sum::<f64>())
        },
    );
    library.add("tensor.norm() -> number", "The root of the sum of squares.", |t: &mut Tensor| {
        to_f64(t).map(|v| v.iter().map(|x| x * x).sum::<f64>().sqrt()).raise()
    });
    library.add("zeros(shape: list) -> tensor", "A tensor of zeros.", |shape: Array| filled(&shape, 0.0).raise());
    library.add("ones(shape: list) -> tensor", "A tensor of ones.", |shape: Array| filled(&shape, 1.0).raise());
}

fn filled(shape: &Array, value: f64) -> Result<Tensor> {
    let dims = shape.iter().map(|d| {
        count(
            d.as_int().map_err(|_| Error::value(format!("a size must be a whole number, got {}", kind(d))))?,
            "a size",
        )
    });
    let dims: Vec<usize> = dims.collect::<Result<_>>()?;
    let n = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= 1 << 28);
    let n = n.ok_or_else(|| Error::value(format!("a tensor of shape {dims:?} is too large")))?;
    of(vec![value; n], &dims)
}
