//! Resize and Upsample. Where onnxruntime's f32 arithmetic and PyTorch's differ (sizes that a scale nearly reaches, nearest pixels
//! half way between two), a file written by PyTorch is computed as in PyTorch and every other as in onnxruntime.

use super::resampling::{Kernel, resample};
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Dim, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Alignment, Sampling};
use crate::kernels::resize::ResizeGeometry;
use std::sync::Arc;

/// How many entries a resized axis may have.
const MAX_RESIZED_ENTRIES: f64 = 65536.0;

/// An axis of a sample to be resized.
#[derive(Clone, Copy)]
pub struct ResizedAxis {
    /// Its index.
    pub at: usize,
    /// Its size before.
    pub from: usize,
    /// Its size afterwards.
    pub to: usize,
    /// Output size over input size, from the file or from the sizes.
    ratio: f64,
    /// The same as onnxruntime stores it.
    pub scale: f32,
    /// The factor by which PyTorch multiplies output positions.
    inverse: f32,
}

/// How a file maps output positions to input positions.
#[derive(Clone, Copy, PartialEq)]
pub enum CoordinateTransform {
    /// By one of the graph's alignments.
    Own(Alignment),
    /// Half-pixel centres; position 0 where the output has one entry.
    HalfPixelOrFirst,
    /// (i + 1/2) / scale.
    HalfPixelForNearest,
}

/// Resize (from opset 10) and Upsample (before).
pub fn resize(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let old = site.opset < 11;
    let antialias = site.int("antialias")?.unwrap_or(0) != 0;
    let exclude = site.int("exclude_outside")?.unwrap_or(0) != 0;
    let grid = match site.text("coordinate_transformation_mode")?.as_deref() {
        None | Some("") if old => CoordinateTransform::Own(Alignment::Asymmetric),
        None | Some("" | "half_pixel") => CoordinateTransform::Own(Alignment::HalfPixel),
        // PyTorch's own resizing has no exception for a single pixel.
        Some("pytorch_half_pixel") if s.torch => CoordinateTransform::Own(Alignment::HalfPixel),
        Some("pytorch_half_pixel") => CoordinateTransform::HalfPixelOrFirst,
        Some("half_pixel_symmetric") => CoordinateTransform::Own(Alignment::Symmetric),
        Some("align_corners") => CoordinateTransform::Own(Alignment::Corners),
        Some("asymmetric") => CoordinateTransform::Own(Alignment::Asymmetric),
        Some("tf_half_pixel_for_nn") => CoordinateTransform::HalfPixelForNearest,
        Some(other) => return Err(unsupported("coordinate_transformation_mode", other)),
    };
    let axes = axes(s, site, x)?;
    match site.text("mode")?.as_deref() {
        None | Some("" | "nearest") => {
            let rounding = site.text("nearest_mode")?;
            let rounding = rounding.as_deref().unwrap_or(if old { "simple" } else { "round_prefer_floor" });
            nearest(s, site, x, &axes, grid, rounding)
        }
        Some("linear" | "bilinear") if antialias => {
            resample(s, site, x, &axes, grid, Kernel { cubic: None, antialias, exclude })
        }
        Some("linear" | "bilinear") => linear(s, site, x, axes, grid),
        Some("cubic" | "bicubic") => {
            let cubic = Some(site.float("cubic_coeff_a")?.unwrap_or(-0.75));
            resample(s, site, x, &axes, grid, Kernel { cubic, antialias, exclude })
        }
        Some(other) => Err(unsupported("mode", other)),
    }
}

fn unsupported(name: &str, value: &str) -> Error {
    Error::unsupported(format!("attribute `{name}` is `{value}`"))
        .hint("nearest, linear and cubic resizing on half-pixel, asymmetric and corner-aligned grids are supported")
}

/// The axes that are resized, ascending.
fn axes(s: &Scope, site: &Site<'_>, x: Act) -> Result<Vec<ResizedAxis>> {
    let (shape, rank) = (s.sample(x), s.rank(x));
    let listed = site.int_list("axes")?.unwrap_or_else(|| (0..rank as i64).collect());
    let places = listed.iter().map(|a| s.axis_or_batch(x, *a)).collect::<Result<Vec<_>>>()?;
    let fits = |n: usize| match n == places.len() {
        true => Ok(()),
        false => Err(Error::format(format!("{n} sizes or scales for {} axes", places.len()))),
    };
    let mut axes = Vec::new();
    if site.has(3) {
        let sizes = &site.ints(3)?.values;
        fits(sizes.len())?;
        for (place, size) in places.iter().zip(sizes) {
            match (place, s.resolve(*size)) {
                (Some(at), Dim::Known(to)) => {
                    let (from, to) = (shape[*at], to as f64);
                    let (scale, inverse) = (to as f32 / from as f32, from as f32 / to as f32);
                    axes.push(ResizedAxis { at: *at, from, to: whole(to)?, ratio: to / from as f64, scale, inverse });
                }
                (None, size) if size == s.resolve(Dim::Batch) || size == Dim::Known(1) => {}
                _ => return Err(mixes("it resizes the batch")),
            }
        }
        one_scale(site, &mut axes)?;
    } else {
        let said = match site.float_list("scales")? {
            Some(list) => list.into_iter().map(|v| v as f32).collect(),
            None => crate::tensor::to_f32(&site.floats(if site.opset < 11 { 1 } else { 2 })?.tensor)?,
        };
        fits(said.len())?;
        for (place, scale) in places.iter().zip(said) {
            match place {
                Some(at) => axes.push(scaled(s.torch, *at, shape[*at], scale)?),
                None if scale == 1.0 => {}
                None => return Err(mixes("it resizes the batch")),
            }
        }
    }
    axes.retain(|a| a.from != a.to || a.scale != 1.0);
    axes.sort_unstable_by_key(|a| a.at);
    Ok(axes)
}

/// An axis of `from` entries times `scale`. The size is the product in f32, rounded down; for PyTorch the product in f64 with the
/// decimal number that was written.
fn scaled(torch: bool, at: usize, from: usize, scale: f32) -> Result<ResizedAxis> {
    let text = scale.to_string();
    let decimal: f64 = text.parse().unwrap_or(f64::from(scale));
    // A number with more digits comes from a quotient of sizes, rounded to f32.
    let written = text.chars().filter(char::is_ascii_digit).count() <= 6;
    let to = if torch && written { from as f64 * decimal } else { f64::from(from as f32 * scale) };
    let to = whole(to.floor())?;
    Ok(ResizedAxis { at, from, to, ratio: f64::from(scale), scale, inverse: (1.0 / decimal) as f32 })
}

fn whole(to: f64) -> Result<usize> {
    let fits = (1.0..=MAX_RESIZED_ENTRIES).contains(&to);
    fits.then_some(to as usize).ok_or_else(|| Error::format(format!("it resizes an axis to {to} entries")))
}

/// The common scale by `keep_aspect_ratio_policy`.
fn one_scale(site: &Site<'_>, axes: &mut [ResizedAxis]) -> Result<()> {
    let scales = axes.iter().map(|a| a.scale);
    let policy = site.text("keep_aspect_ratio_policy")?;
    let scale = match policy.as_deref() {
        None | Some("" | "stretch") => return Ok(()),
        Some("not_larger") => scales.reduce(f32::min),
        Some("not_smaller") => scales.reduce(f32::max),
        Some(other) => return Err(Error::format(format!("attribute `keep_aspect_ratio_policy` is `{other}`"))),
    };
    let Some(scale) = scale else { return Ok(()) };
    for axis in axes {
        let to = whole(f64::from((axis.from as f32 * scale).round()))?;
        *axis = ResizedAxis { to, ratio: f64::from(scale), scale, ..*axis };
    }
    Ok(())
}

/// The graph's own operation where it picks the same pixels, else a selection of entries of each axis.
fn nearest(
    s: &mut Scope,
    site: &Site<'_>,
    x: Act,
    axes: &[ResizedAxis],
    grid: CoordinateTransform,
    rounding: &str,
) -> Result<Vec<Value>> {
    let wanted = axes.iter().map(|a| picks(s.torch, a, grid, rounding)).collect::<Result<Vec<_>>>()?;
    if let (CoordinateTransform::Own(alignment), Some(op)) = (grid, plane(&s.sample(x), axes, grid, Sampling::Nearest))
    {
        let own = |axis: &ResizedAxis| {
            let geometry = ResizeGeometry {
                input: [axis.from; 2],
                output: [axis.to; 2],
                scale: [axis.ratio; 2],
                sampling: Sampling::Nearest,
                alignment,
            };
            geometry.taps(0).into_iter().map(|(near, ..)| near).collect::<Vec<_>>()
        };
        if axes.iter().zip(&wanted).all(|(axis, wanted)| own(axis) == **wanted) {
            return Ok(vec![Value::Act(s.add(site, op, &[x])?)]);
        }
    }
    let chosen = axes.iter().map(|a| a.at).zip(wanted.into_iter().map(|w| w.to_vec())).collect();
    super::entries::select(s, site, x, chosen)
}

/// A resize of rows and columns only; `None` where other axes are resized, too.
fn plane(shape: &[usize], axes: &[ResizedAxis], grid: CoordinateTransform, sampling: Sampling) -> Option<Op> {
    let (&[_, height, width], CoordinateTransform::Own(alignment)) = (shape, grid) else { return None };
    let (mut size, mut scale) = ([height, width], [1.0; 2]);
    for axis in axes {
        let a = axis.at.checked_sub(1)?;
        (size[a], scale[a]) = (axis.to, axis.ratio);
    }
    (!axes.is_empty()).then_some(Op::Resize { size, scale, sampling, alignment })
}

/// Bilinear over rows and columns, else one axis after another, each as the rows of a plane.
fn linear(
    s: &mut Scope,
    site: &Site<'_>,
    mut x: Act,
    mut axes: Vec<ResizedAxis>,
    grid: CoordinateTransform,
) -> Result<Vec<Value>> {
    let grid = match grid {
        CoordinateTransform::HalfPixelOrFirst => {
            for axis in axes.iter().filter(|a| a.to == 1) {
                let op = Op::Select { axis: axis.at, index: Arc::from([0]) };
                x = s.step(site, &format!("first {}", axis.at), op, &[x])?;
            }
            axes.retain(|a| a.to > 1);
            CoordinateTransform::Own(Alignment::HalfPixel)
        }
        CoordinateTransform::HalfPixelForNearest => {
            return Err(unsupported("coordinate_transformation_mode", "tf_half_pixel_for_nn"));
        }
        own => own,
    };
    if axes.is_empty() {
        return Ok(vec![Value::Act(s.add(site, Op::Identity, &[x])?)]);
    }
    if let Some(op) = plane(&s.sample(x), &axes, grid, Sampling::Linear) {
        return Ok(vec![Value::Act(s.add(site, op, &[x])?)]);
    }
    let last = axes.len() - 1;
    for (i, axis) in axes.into_iter().enumerate() {
        let shape = s.sample(x);
        let flat = vec![shape[..axis.at].iter().product(), axis.from, shape[axis.at + 1..].iter().product()];
        let to = [&shape[..axis.at], &[axis.to], &shape[axis.at + 1..]].concat();
        let rows = [ResizedAxis { at: 1, ..axis }];
        let op = plane(&flat, &rows, grid, Sampling::Linear).ok_or_else(|| Error::internal("a plane has rows"))?;
        x = s.step(site, &format!("flat {}", axis.at), Op::Reshape(flat), &[x])?;
        x = s.step(site, &format!("axis {}", axis.at), op, &[x])?;
        x = if i == last {
            s.add(site, Op::Reshape(to), &[x])?
        } else {
            s.step(site, &format!("back {}", axis.at), Op::Reshape(to), &[x])?
        };
    }
    Ok(vec![Value::Act(x)])
}

/// The input position that is picked for each output position of an axis.
fn picks(torch: bool, axis: &ResizedAxis, grid: CoordinateTransform, rounding: &str) -> Result<Arc<[usize]>> {
    let &ResizedAxis { from, to, scale, inverse, .. } = axis;
    let down = scale < 1.0;
    let pick: fn(f32) -> f32 = match rounding {
        // Before opset 11 onnxruntime rounded up for reductions.
        "simple" if down => f32::ceil,
        "simple" => f32::trunc,
        "floor" => f32::floor,
        "ceil" => f32::ceil,
        "round_prefer_floor" => |v| if v == v.trunc() + 0.5 { v.floor() } else { v.round() },
        "round_prefer_ceil" => f32::round,
        other => return Err(unsupported("nearest_mode", other)),
    };
    let (n, m) = (from as f32, to as f32);
    let place = |i: f32| match grid {
        CoordinateTransform::Own(Alignment::Asymmetric) if torch && rounding == "floor" => i * inverse,
        CoordinateTransform::Own(Alignment::Asymmetric) => i / scale,
        CoordinateTransform::HalfPixelOrFirst if to == 1 => 0.0,
        CoordinateTransform::Own(Alignment::HalfPixel) | CoordinateTransform::HalfPixelOrFirst => {
            (i + 0.5) / scale - 0.5
        }
        CoordinateTransform::Own(Alignment::Corners) if to > 1 => i * (n - 1.0) / (m - 1.0),
        CoordinateTransform::Own(Alignment::Corners) => 0.0,
        CoordinateTransform::Own(Alignment::Symmetric) => {
            let shift = n / 2.0 * (1.0 - m / (scale * n));
            (f64::from(shift) + (f64::from(i) + 0.5) / f64::from(scale) - 0.5) as f32
        }
        CoordinateTransform::HalfPixelForNearest => (i + 0.5) / scale,
    };
    let same = scale == 1.0 && from == to;
    let at = |i: usize| if same { i } else { pick(place(i as f32)).clamp(0.0, n - 1.0) as usize };
    Ok((0..to).map(at).collect())
}
