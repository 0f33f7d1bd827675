//! Parts of tensors: `t[0]`, `t[2..5]`, `t.at([i, j])`, `t.slice([0..3, 1, ..])`, and loops over the first axis.

use crate::convert::{index, kind, whole_numbers};
use crate::fault::Raise;
use crate::library::Library;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Error, Result, Tensor};
use rhai::{Array, Dynamic};
use std::ops::Range;

/// Binds indexing and slicing.
pub fn bind(library: &mut Library<'_>) {
    library.note(
        "tensor[i] -> tensor",
        "Entry i of the first axis (negative: from the end; a number where there is one axis), or a range of them: t[2..5].",
    );
    library.engine.register_indexer_get(|t: &mut Tensor, i: i64| get(t, i).raise());
    library.engine.register_indexer_get(|t: &mut Tensor, r: Range<i64>| part(t, &[r.into()]).raise());
    library
        .engine
        .register_indexer_get(|t: &mut Tensor, r: std::ops::RangeInclusive<i64>| part(t, &[r.into()]).raise());
    library.add(
        "tensor.at(place: list) -> number",
        "The number at a place, one index an axis; a tensor where there are fewer.",
        |t: &mut Tensor, place: Array| part(t, &place).raise(),
    );
    library.add(
        "tensor.slice(parts: list) -> tensor",
        "A part: for each axis an index (the axis is dropped), a range (0..3), or () for all.",
        |t: &mut Tensor, parts: Array| part(t, &parts).raise(),
    );
    library.loops::<Tensor>(|tensor| {
        let n = tensor.dims().first().copied().unwrap_or(0);
        Box::new((0..n).map(move |i| get(&tensor, i as i64).raise()))
    });
}

/// Entry `i` of the first axis; a number where the tensor has one axis.
fn get(t: &Tensor, i: i64) -> Result<Dynamic> {
    part(t, &[Dynamic::from(i)])
}

fn part(t: &Tensor, parts: &[Dynamic]) -> Result<Dynamic> {
    if parts.len() > t.rank() {
        return Err(Error::shape(format!("{} indexes into a tensor of shape {:?}", parts.len(), t.dims())));
    }
    let mut out = t.clone();
    let mut axis = 0;
    for part in parts {
        let n = out.dims()[axis];
        if let Ok(i) = part.as_int() {
            out = out.narrow(axis, index(i, n, "entry")?, 1)?.squeeze(axis)?;
        } else if let Some(range) = whole_numbers(part) {
            let (start, end) = bounds(range, n)?;
            out = out.narrow(axis, start, end - start)?;
            axis += 1;
        } else if part.is_unit() {
            axis += 1;
        } else {
            return Err(Error::value(format!("expected an index, a range or (), got {}", kind(part))));
        }
    }
    let out = out.contiguous()?;
    if out.rank() == 0 {
        return Ok(to_f64(&out)?[0].into());
    }
    Ok(Dynamic::from(out))
}

fn bounds(range: Range<i64>, n: usize) -> Result<(usize, usize)> {
    let at = |i: i64| if i < 0 { i + n as i64 } else { i };
    let (start, end) = (at(range.start), if range.end == i64::MAX { n as i64 } else { at(range.end) });
    if start < 0 || end > n as i64 || start > end {
        return Err(Error::not_found(format!("no entries {}..{} among {n}", range.start, range.end)));
    }
    Ok((start as usize, end as usize))
}
