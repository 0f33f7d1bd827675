//! GridSample and AffineGrid: values of a map between its entries.
//!
//! A sample on a computed grid is a sum of picked entries times weights, so the gradient reaches map and grid.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary, Elementary};
use candle_core::{Device, Tensor};

/// How positions beyond the map are read.
#[derive(Clone, Copy, PartialEq)]
enum BorderMode {
    Zeros,
    Border,
    Reflection,
}

/// GridSample over rows and columns, or over three axes.
pub fn grid_sample(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.batched(site, 0)?;
    let mut x = s.of_one(site, x)?;
    let mut grid = s.batched(site, 1)?;
    if grid.lead == 1 && x.lead == 0 || grid.lead == 0 && matches!(s.sample(grid).len(), 4 | 5) {
        (x, grid) = (s.of_one(site, x)?, s.of_one(site, grid)?);
    }
    let (shape, to) = (s.sample(x), s.sample(grid));
    let how = Sampling::of(site)?;
    // Several maps, such as the heads of deformable attention, each with its own grid.
    if let (&[n, channels, height, width], &[m, rows, columns, 2]) = (&shape[..], &to[..])
        && n == m
    {
        let (map, places) = ([channels, height, width], [rows, columns]);
        let mut parts = Vec::with_capacity(n);
        for k in 0..n {
            let one = s.step(site, "map", Op::Select { axis: 0, index: [k].into() }, &[x])?;
            let one = s.step(site, "map", Op::Reshape(map.to_vec()), &[one])?;
            let own = s.step(site, "grid", Op::Select { axis: 0, index: [k].into() }, &[grid])?;
            let own = s.step(site, "grid", Op::Reshape(vec![rows, columns, 2]), &[own])?;
            let total = sample_map(s, site, how, (one, &map), (own, &places))?;
            parts.push(s.step(site, "sampled", Op::Reshape(vec![1, channels, rows, columns]), &[total])?);
        }
        return Ok(vec![Value::Act(s.add(site, Op::Concat { axis: 0 }, &parts)?)]);
    }
    let (sizes, places) = (shape.get(1..).unwrap_or_default(), to.split_last());
    let (2 | 3, Some((&named, places))) = (sizes.len(), places.filter(|(_, p)| p.len() == sizes.len())) else {
        return Err(Error::unsupported(format!("a map of {shape:?} sampled on a grid of {to:?}"))
            .hint("maps of channels x rows x columns are sampled on grids of rows x columns x 2, volumes on those of three axes x 3"));
    };
    if named != sizes.len() {
        return Err(Error::shape(format!("places of {named} numbers on a map of {shape:?}")));
    }
    let total = sample_map(s, site, how, (x, &shape), (grid, places))?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape([&shape[..1], places].concat()), &[total])?)])
}

/// The interpolation of GridSample, and its border.
#[derive(Clone, Copy)]
struct Sampling {
    /// Whether -1 and 1 are the centres of the first and last entries, or else their outer edges.
    corners: bool,
    beyond: BorderMode,
    mode: Interpolation,
}

impl Sampling {
    fn of(site: &Site<'_>) -> Result<Self> {
        let beyond = match site.text("padding_mode")?.as_deref() {
            None | Some("" | "zeros") => BorderMode::Zeros,
            Some("border") => BorderMode::Border,
            Some("reflection") => BorderMode::Reflection,
            Some(other) => return Err(Error::format(format!("attribute `padding_mode` is `{other}`"))),
        };
        let mode = match site.text("mode")?.as_deref() {
            None | Some("" | "bilinear" | "linear") => Interpolation::Linear,
            Some("nearest") => Interpolation::Nearest,
            Some("cubic" | "bicubic") => Interpolation::Cubic,
            Some(other) => {
                return Err(Error::unsupported(format!("attribute `mode` is `{other}`"))
                    .hint("nearest, linear and, of maps, cubic sampling are supported"));
            }
        };
        Ok(Sampling { corners: site.int("align_corners")?.unwrap_or(0) != 0, beyond, mode })
    }
}

/// Samples a map of channels x axes at the positions of a grid, with a coordinate for each axis: channels x positions.
fn sample_map(
    s: &mut Scope,
    site: &Site<'_>,
    Sampling { corners, beyond, mode }: Sampling,
    (x, shape): (Act, &[usize]),
    (grid, places): (Act, &[usize]),
) -> Result<Act> {
    let sizes = &shape[1..];
    if mode == Interpolation::Cubic && sizes.len() != 2 {
        return Err(Error::unsupported("cubic sampling of a volume").hint("volumes are sampled nearest or linearly"));
    }
    let count: usize = places.iter().product();
    let mut axes = Vec::new();
    // The last coordinate of a position is along the last axis of the map.
    for (n, k) in sizes.iter().copied().zip((0..sizes.len()).rev()) {
        let one = s.step(site, "coordinate", Op::Select { axis: places.len(), index: [k].into() }, &[grid])?;
        let g = s.step(site, "places", Op::Reshape(vec![1, count]), &[one])?;
        let (factor, offset) = if corners {
            ((n as f64 - 1.0) / 2.0, (n as f64 - 1.0) / 2.0)
        } else {
            (n as f64 / 2.0, (n as f64 - 1.0) / 2.0)
        };
        let scaled = with(s, site, Binary::Mul, g, factor)?;
        let mut at = with(s, site, Binary::Add, scaled, offset)?;
        let mirrors = if corners { [0.0, n as f64 - 1.0] } else { [-0.5, n as f64 - 0.5] };
        if mode == Interpolation::Cubic {
            axes.push(cubic_taps(s, site, at, n, beyond, mirrors)?);
            continue;
        }
        if beyond == BorderMode::Reflection {
            at = reflect(s, site, at, mirrors)?;
        }
        if beyond != BorderMode::Zeros {
            at = s.step(site, "clipped", Op::Activation(Activation::Clip { low: 0.0, high: n as f64 - 1.0 }), &[at])?;
        }
        axes.push(taps(s, site, at, n, mode == Interpolation::Linear, beyond == BorderMode::Zeros)?);
    }
    let (channels, width) = (shape[0], sizes[sizes.len() - 1]);
    let flat = s.step(site, "flat", Op::Reshape(vec![channels, sizes.iter().product()]), &[x])?;
    let across = axes.pop().unwrap_or_default();
    let mut rows = axes.pop().unwrap_or_default();
    if let Some(slices) = axes.pop() {
        // The rows of all slices, one below the other.
        let mut all = Vec::new();
        for (slice, through) in slices {
            let start = with(s, site, Binary::Mul, slice, sizes[1] as f64)?;
            for (row, down) in &rows {
                let row = s.step(site, "row", Op::Binary(Binary::Add), &[start, *row])?;
                all.push((row, s.step(site, "weight", Op::Binary(Binary::Mul), &[through, *down])?));
            }
        }
        rows = all;
    }
    weighted(s, site, flat, width, &rows, &across)
}

/// The interpolation between entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interpolation {
    Nearest,
    Linear,
    Cubic,
}

/// The four entries of an axis that cubic convolution reads for each position (Keys 1981, a = -0.75), with their weights. Beyond
/// the axis is zero, the border's entry, or the entry mirrored at `mirrors`.
fn cubic_taps(
    s: &mut Scope,
    site: &Site<'_>,
    at: Act,
    n: usize,
    beyond: BorderMode,
    mirrors: [f64; 2],
) -> Result<Vec<(Act, Act)>> {
    const A: f64 = -0.75;
    let (near, far) = ([A + 2.0, -(A + 3.0), 0.0, 1.0], [A, -5.0 * A, 8.0 * A, -4.0 * A]);
    let function = |s: &mut Scope, part: &str, f: Activation, x: Act| s.step(site, part, Op::Activation(f), &[x]);
    let base = function(s, "base", Activation::Elementary(Elementary::Floor), at)?;
    let rest = s.step(site, "apart", Op::Binary(Binary::Sub), &[at, base])?;
    let back = function(s, "back", Activation::Neg, rest)?;
    let mut found = Vec::new();
    for (step, from, shift, cubic) in
        [(-1.0, rest, 1.0, far), (0.0, rest, 0.0, near), (1.0, back, 1.0, near), (2.0, back, 2.0, far)]
    {
        let apart = with(s, site, Binary::Add, from, shift)?;
        let mut weight = with(s, site, Binary::Mul, apart, cubic[0])?;
        for (i, number) in cubic[1..].iter().enumerate() {
            weight = with(s, site, Binary::Add, weight, *number)?;
            if i < 2 {
                weight = s.step(site, "weight", Op::Binary(Binary::Mul), &[weight, apart])?;
            }
        }
        let mut entry = with(s, site, Binary::Add, base, step)?;
        match beyond {
            BorderMode::Zeros => weight = in_range_weight(s, site, weight, entry, n)?,
            BorderMode::Reflection => entry = reflect(s, site, entry, mirrors)?,
            BorderMode::Border => {}
        }
        let within = function(s, "within", Activation::Clip { low: 0.0, high: n as f64 - 1.0 }, entry)?;
        found.push((within, weight));
    }
    Ok(found)
}

/// The weight, zero where its entry lies beyond the axis.
fn in_range_weight(s: &mut Scope, site: &Site<'_>, weight: Act, entry: Act, n: usize) -> Result<Act> {
    let function = |s: &mut Scope, part: &str, f: Activation, x: Act| s.step(site, part, Op::Activation(f), &[x]);
    let above = function(s, "above", Activation::Step(-0.5), entry)?;
    let beyond = function(s, "beyond", Activation::Step(n as f64 - 0.5), entry)?;
    let inside = s.step(site, "inside", Op::Binary(Binary::Sub), &[above, beyond])?;
    s.step(site, "held", Op::Binary(Binary::Mul), &[weight, inside])
}

/// Interpolated values of a flattened map (channels x positions): the sum over the taps of rows and columns, each entry times its
/// weights; a row has `width` entries.
pub fn weighted(
    s: &mut Scope,
    site: &Site<'_>,
    map: Act,
    width: usize,
    rows: &[(Act, Act)],
    columns: &[(Act, Act)],
) -> Result<Act> {
    let mut total: Option<Act> = None;
    for (row, down) in rows {
        for (column, across) in columns {
            let start = with(s, site, Binary::Mul, *row, width as f64)?;
            let place = s.step(site, "place", Op::Binary(Binary::Add), &[start, *column])?;
            let entry = s.step(site, "entry", Op::Pick { axis: 1 }, &[map, place])?;
            let weight = s.step(site, "weight", Op::Binary(Binary::Mul), &[*down, *across])?;
            let part = s.step(site, "part", Op::Binary(Binary::Mul), &[entry, weight])?;
            total = Some(match total {
                None => part,
                Some(before) => s.step(site, "sum", Op::Binary(Binary::Add), &[before, part])?,
            });
        }
    }
    total.ok_or_else(|| Error::internal("a sample without taps"))
}

/// The entries of an axis that are read for each position, with their weights.
pub fn taps(s: &mut Scope, site: &Site<'_>, at: Act, n: usize, linear: bool, zeros: bool) -> Result<Vec<(Act, Act)>> {
    let function = |s: &mut Scope, part: &str, f: Activation, x: Act| s.step(site, part, Op::Activation(f), &[x]);
    let nearest = if linear { Elementary::Floor } else { Elementary::Round };
    let base = function(s, "base", Activation::Elementary(nearest), at)?;
    let mut found = Vec::new();
    let steps: &[f64] = if linear { &[0.0, 1.0] } else { &[0.0] };
    for step in steps {
        let entry = if *step == 0.0 { base } else { with(s, site, Binary::Add, base, *step)? };
        // 1 - |position - entry|
        let apart = s.step(site, "apart", Op::Binary(Binary::Sub), &[at, base])?;
        let mut weight = match (linear, *step == 0.0) {
            (false, _) => {
                let none = with(s, site, Binary::Mul, apart, 0.0)?;
                with(s, site, Binary::Add, none, 1.0)?
            }
            (true, true) => {
                let minus = function(s, "minus", Activation::Neg, apart)?;
                with(s, site, Binary::Add, minus, 1.0)?
            }
            (true, false) => apart,
        };
        if zeros {
            weight = in_range_weight(s, site, weight, entry, n)?;
        }
        let within = function(s, "within", Activation::Clip { low: 0.0, high: n as f64 - 1.0 }, entry)?;
        found.push((within, weight));
    }
    Ok(found)
}

/// Positions mirrored at two borders until they lie between them.
fn reflect(s: &mut Scope, site: &Site<'_>, at: Act, [low, high]: [f64; 2]) -> Result<Act> {
    let span = high - low;
    if span <= 0.0 {
        return with(s, site, Binary::Mul, at, 0.0);
    }
    let function = |s: &mut Scope, part: &str, f: Activation, x: Act| s.step(site, part, Op::Activation(f), &[x]);
    let moved = with(s, site, Binary::Sub, at, low)?;
    let size = function(s, "size", Activation::Abs, moved)?;
    let turns = with(s, site, Binary::Div, size, 2.0 * span)?;
    let whole = function(s, "turns", Activation::Elementary(Elementary::Floor), turns)?;
    let past = with(s, site, Binary::Mul, whole, 2.0 * span)?;
    let rest = s.step(site, "rest", Op::Binary(Binary::Sub), &[size, past])?;
    // span - |rest - span|
    let over = with(s, site, Binary::Sub, rest, span)?;
    let over = function(s, "over", Activation::Abs, over)?;
    let back = function(s, "back", Activation::Neg, over)?;
    with(s, site, Binary::Add, back, span + low)
}

/// A binary function of a value and a number.
pub fn with(s: &mut Scope, site: &Site<'_>, f: Binary, x: Act, number: f64) -> Result<Act> {
    let number = s.number(&format!("{}/number", site.name), number)?;
    s.step(site, "scaled", Op::Binary(f), &[x, number])
}

/// AffineGrid: the positions of an affine map of rows and columns.
pub fn affine_grid(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let theta = s.batched(site, 0)?;
    let theta = s.of_one(site, theta)?;
    let size: Vec<_> = site.ints(1)?.values.iter().skip(2).map(|d| s.resolve(*d)).collect();
    let size = super::value::Ints::list(size).known()?;
    let (&[rows, columns], &[2, 3]) = (size.as_slice(), s.sample(theta).as_slice()) else {
        return Err(Error::unsupported(format!("a grid of {size:?} from {:?}", s.sample(theta)))
            .hint("grids of rows and columns from 2 x 3 numbers are made"));
    };
    let (rows, columns) = (rows.max(0) as usize, columns.max(0) as usize);
    let corners = site.int("align_corners")?.unwrap_or(0) != 0;
    let place = |i: usize, n: usize| match (corners, n) {
        (true, 1) => 0.0,
        (true, _) => -1.0 + 2.0 * i as f64 / (n as f64 - 1.0),
        (false, _) => (2.0 * i as f64 + 1.0) / n as f64 - 1.0,
    };
    let base: Vec<f32> = (0..rows * columns)
        .flat_map(|i| [place(i % columns, columns) as f32, place(i / columns, rows) as f32, 1.0])
        .collect();
    let tensor = Tensor::from_vec(base, (rows * columns, 3), &Device::Cpu)?;
    let base = s.constant(&Const { name: format!("{}/places", site.name), tensor })?;
    let turned = s.step(site, "turned", Op::Transpose(vec![1, 0]), &[theta])?;
    let grid = s.step(site, "grid", Op::MatMul, &[base, turned])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape(vec![rows, columns, 2]), &[grid])?)])
}
