//! Resize and Upsample: bilinear by the graph's own operation, nearest too where it rounds as the graph does, else as
//! chosen rows and columns.

use super::scope::Scope;
use super::site::Site;
use super::value::Value;
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Alignment, Sampling};
use std::sync::Arc;

/// The most rows or columns of a result.
const MOST: f64 = 65536.0;

/// Resize (from opset 10) and Upsample (before).
pub fn resize(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let shape = s.sample(x);
    let &[_, height, width] = shape.as_slice() else {
        return Err(Error::unsupported(format!("resizes batch x channels x height x width, got {shape:?} a sample")));
    };
    let old = site.opset < 11;
    for (name, default) in [("antialias", 0), ("exclude_outside", 0)] {
        site.only(name, default)?;
    }
    let policy = site.text("keep_aspect_ratio_policy")?.unwrap_or_default();
    if !matches!(policy.as_str(), "" | "stretch") {
        return Err(Error::unsupported(format!("attribute `keep_aspect_ratio_policy` is `{policy}`")));
    }
    let (size, scale) = sizes(s, site, x.lead, [height, width])?;
    let transform = site.text("coordinate_transformation_mode")?;
    let transform = transform.as_deref().unwrap_or(if old { "asymmetric" } else { "half_pixel" });
    let alignment = match transform {
        "half_pixel" | "half_pixel_symmetric" => Alignment::HalfPixel,
        "pytorch_half_pixel" if size.iter().all(|n| *n > 1) => Alignment::HalfPixel,
        "align_corners" => Alignment::Corners,
        "asymmetric" => Alignment::Asymmetric,
        other => return Err(unsupported("coordinate_transformation_mode", other)),
    };
    let mode = site.text("mode")?.unwrap_or_else(|| "nearest".into());
    let op = |sampling| Op::Resize { size, scale, sampling, alignment };
    match mode.as_str() {
        "linear" | "bilinear" => Ok(vec![Value::Act(s.add(site, op(Sampling::Linear), &[x])?)]),
        "nearest" => {
            let rounding = site.text("nearest_mode")?;
            let rounding = rounding.as_deref().unwrap_or(if old { "floor" } else { "round_prefer_floor" });
            let own = matches!(
                (alignment, rounding),
                (Alignment::Asymmetric, "floor") | (Alignment::HalfPixel, "round_prefer_floor")
            );
            if own {
                return Ok(vec![Value::Act(s.add(site, op(Sampling::Nearest), &[x])?)]);
            }
            let [rows, columns] = [0, 1].map(|a| nearest([height, width][a], size[a], scale[a], alignment, rounding));
            let (rows, columns) = (rows?, columns?);
            let picked = s.step(site, "rows", Op::Select { axis: 1, index: rows }, &[x])?;
            Ok(vec![Value::Act(s.add(site, Op::Select { axis: 2, index: columns }, &[picked])?)])
        }
        other => Err(unsupported("mode", other)),
    }
}

fn unsupported(name: &str, value: &str) -> Error {
    Error::unsupported(format!("attribute `{name}` is `{value}`"))
        .hint("nearest and linear resizing on half-pixel, asymmetric and corner-aligned grids are supported")
}

/// Output height and width, and their ratios to the input's as the file says them.
fn sizes(s: &Scope, site: &Site<'_>, lead: usize, from: [usize; 2]) -> Result<([usize; 2], [f64; 2])> {
    let rank = 3 + lead;
    let at = if site.opset < 11 { 1 } else { 2 };
    let axes = site.int_list("axes")?.unwrap_or_else(|| (0..rank as i64).collect());
    let place = |a: i64| if a < 0 { a + rank as i64 } else { a } - lead as i64;
    let of = |list: &[f64], neutral: &dyn Fn(usize) -> f64| -> Result<[f64; 2]> {
        if list.len() != axes.len() {
            return Err(Error::format(format!("{} sizes or scales for {} axes", list.len(), axes.len())));
        }
        let mut found = [neutral(0), neutral(1)];
        for (a, v) in axes.iter().zip(list) {
            match place(*a) {
                p @ (1 | 2) => found[p as usize - 1] = *v,
                _ if *v == 1.0 => {}
                // Sizes name the batch and the channels too.
                _ if site.has(3) => {}
                _ => return Err(Error::unsupported("it resizes the batch or the channels")),
            }
        }
        Ok(found)
    };
    let (size, scale) = if site.has(3) {
        let list: Vec<f64> = site
            .ints(3)?
            .values
            .iter()
            .map(|d| match s.resolve(*d) {
                super::value::Dim::Known(v) => v as f64,
                super::value::Dim::Batch => 1.0,
            })
            .collect();
        let size = of(&list, &|a| from[a] as f64)?;
        (size, [0, 1].map(|a| size[a] / from[a] as f64))
    } else {
        let list = match site.float_list("scales")? {
            Some(list) => list,
            None => crate::tensor::to_f64(&site.floats(at)?.tensor)?,
        };
        let scale = of(&list, &|_| 1.0)?;
        ([0, 1].map(|a| (from[a] as f64 * scale[a]).floor()), scale)
    };
    if size.iter().any(|n| !(1.0..=MOST).contains(n)) || scale.iter().any(|v| !v.is_finite()) {
        return Err(Error::format(format!("a result of {} x {}", size[0], size[1])));
    }
    Ok((size.map(|n| n as usize), scale))
}

/// For each output position the input position that ONNX's rounding picks.
fn nearest(from: usize, to: usize, scale: f64, alignment: Alignment, rounding: &str) -> Result<Arc<[usize]>> {
    let pick: fn(f64) -> f64 = match rounding {
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        "round_prefer_floor" => |v| (v - 0.5).ceil(),
        "round_prefer_ceil" => |v| (v + 0.5).floor(),
        other => return Err(unsupported("nearest_mode", other)),
    };
    let place = |i: usize| match alignment {
        Alignment::HalfPixel => (i as f64 + 0.5) / scale - 0.5,
        Alignment::Asymmetric => i as f64 / scale,
        Alignment::Corners if to > 1 => i as f64 * (from - 1) as f64 / (to - 1) as f64,
        Alignment::Corners => 0.0,
    };
    Ok((0..to).map(|i| pick(place(i)).clamp(0.0, (from - 1) as f64) as usize).collect())
}
