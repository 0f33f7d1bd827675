//! RotaryEmbedding (Su et al. 2021): pairs of a head's values are rotated by angles that depend on the token's position.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::Binary;
use crate::tensor::to_f32;
use candle_core::{Device, Tensor};

/// RotaryEmbedding with constant tables of cosines and sines and known positions.
pub fn rotary(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let shape = s.sample(x);
    let heads = site.int("num_heads")?.unwrap_or(0).max(0) as usize;
    let flat = s.rank(x) == 3;
    if flat && (heads == 0 || !shape[shape.len() - 1].is_multiple_of(heads)) {
        return Err(Error::shape(format!("{heads} heads of {shape:?}")));
    }
    // .. x heads x tokens x values of a head.
    let own = match flat {
        true => super::attention::split(s, site, x, heads)?,
        false => x,
    };
    let dims = s.sample(own);
    let &[.., tokens, width] = dims.as_slice() else { return Err(Error::shape(format!("heads of {dims:?}"))) };
    let said = site.int("rotary_embedding_dim")?.unwrap_or(0).max(0) as usize;
    let turned = if said == 0 { width } else { said };
    let half = turned / 2;
    if turned > width || turned % 2 != 0 {
        return Err(Error::shape(format!("{turned} of {width} values turned")));
    }
    let (cos, sin) = (table(s, site, own, 1, [tokens, half])?, table(s, site, own, 2, [tokens, half])?);
    let interleaved = site.int("interleaved")?.unwrap_or(0) != 0;
    let last = dims.len() - 1;
    let part = |s: &mut Scope, name: &str, index: Vec<usize>| {
        s.step(site, name, Op::Select { axis: last, index: index.into() }, &[own])
    };
    let place = |i: usize, second: usize| if interleaved { 2 * i + second } else { i + second * half };
    let first = part(s, "first", (0..half).map(|i| place(i, 0)).collect())?;
    let second = part(s, "second", (0..half).map(|i| place(i, 1)).collect())?;
    let times = |s: &mut Scope, a: Act, b: Act, f: Binary| {
        let name = s.free(&format!("{}/turn", site.name));
        s.binary(&name, f, a, b)
    };
    let (fc, ss) = (times(s, first, cos, Binary::Mul)?, times(s, second, sin, Binary::Mul)?);
    let (fs, sc) = (times(s, first, sin, Binary::Mul)?, times(s, second, cos, Binary::Mul)?);
    let (real, imaginary) = (times(s, fc, ss, Binary::Sub)?, times(s, fs, sc, Binary::Add)?);
    let mut parts = vec![real, imaginary];
    if turned < width {
        parts.push(part(s, "rest", (turned..width).collect())?);
    }
    let mut y = s.step(site, "joined", Op::Concat { axis: last }, &parts)?;
    if interleaved {
        let index = (0..width).map(|i| if i < turned { i / 2 + i % 2 * half } else { i }).collect();
        y = s.step(site, "interleaved", Op::Select { axis: last, index }, &[y])?;
    }
    if !flat {
        return Ok(vec![Value::Act(s.add(site, Op::Identity, &[y])?)]);
    }
    let n = dims.len();
    let mut perm: Vec<usize> = (0..n).collect();
    perm.swap(n - 3, n - 2);
    let together = s.step(site, "together", Op::Transpose(perm), &[y])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape(shape), &[together])?)])
}

/// The cosines or sines of each token, tokens x half; with an axis before where samples differ.
fn table(s: &mut Scope, site: &Site<'_>, x: Act, i: usize, [tokens, half]: [usize; 2]) -> Result<Act> {
    let held = site.floats(i)?.clone();
    let values = to_f32(&held.tensor)?;
    let rows: Vec<usize> = match site.input(3) {
        Value::Absent => (0..values.len() / half.max(1)).collect(),
        Value::Ints(places) => places.known()?.into_iter().map(|p| p.max(0) as usize).collect(),
        other => return Err(site.wants(3, "known places of tokens", other)),
    };
    let samples = rows.len() / tokens.max(1);
    if rows.len() != samples * tokens || rows.iter().any(|r| (r + 1) * half > values.len()) {
        return Err(Error::shape(format!("a table of {:?} for {tokens} tokens of {half} pairs", held.tensor.dims())));
    }
    let picked: Vec<f32> = rows.iter().flat_map(|r| values[r * half..(r + 1) * half].to_vec()).collect();
    let alike = picked.chunks(tokens * half).all(|c| c == &picked[..tokens * half]);
    let (values, dims) = match (alike, x.lead) {
        (true, _) => (picked[..tokens * half].to_vec(), vec![tokens, half]),
        (false, 0) => (picked, vec![samples, 1, tokens, half]),
        _ => return Err(mixes("its tokens have other places in other samples")),
    };
    let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
    s.constant(&Const { name: format!("{}/table {i}", site.name), tensor })
}
