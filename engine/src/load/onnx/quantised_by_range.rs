//! Values that are quantised over their own range, whose scale and zero point the graph computes.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value};
use crate::error::Result;
use crate::graph::Op;
use crate::graph::op::{Activation, Binary, Elementary, Reduction};

/// No integer of a quantised value is as large.
pub const INTEGERS: f64 = 1e9;

/// DynamicQuantizeLinear: 8 bits over the range of the value.
pub fn quantise(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    // Each sample has its own range, as in a batch of one.
    let axes: Vec<usize> = (0..s.sample(x).len()).collect();
    let extreme = |s: &mut Scope, x: Act| {
        s.step(site, "extreme", Op::Reduce { reduction: Reduction::Max, axes: axes.clone(), keep: false }, &[x])
    };
    let function = |s: &mut Scope, f: Activation, x: Act| s.step(site, "function", Op::Activation(f), &[x]);
    let most = extreme(s, x)?;
    let most = function(s, Activation::Relu, most)?;
    let minus = function(s, Activation::Neg, x)?;
    let least = extreme(s, minus)?;
    let least = function(s, Activation::Relu, least)?;
    let range = s.step(site, "range", Op::Binary(Binary::Add), &[most, least])?;
    let number = |s: &mut Scope, v: f64| s.number(&format!("{}/number", site.name), v);
    let levels = number(s, 255.0)?;
    let scale = s.step(site, "steps", Op::Binary(Binary::Div), &[range, levels])?;
    // A value that is zero everywhere has the scale one.
    let is_wide = function(s, Activation::Step(0.0), range)?;
    let one = number(s, 1.0)?;
    let flat = s.step(site, "flat", Op::Binary(Binary::Sub), &[one, is_wide])?;
    let scale = s.step(site, "scale", Op::Binary(Binary::Add), &[scale, flat])?;
    // The range is no function of the value for gradients: they pass straight through.
    let detach = Op::Activation(Activation::Elementary(Elementary::Detach));
    let scale = s.step(site, "detached", detach, &[scale])?;
    let zero = s.step(site, "ratio", Op::Binary(Binary::Div), &[least, scale])?;
    let zero = function(s, Activation::Clip { low: 0.0, high: 255.0 }, zero)?;
    let zero = function(s, Activation::Elementary(Elementary::Round), zero)?;
    let q = s.step(site, "quotient", Op::Binary(Binary::Div), &[x, scale])?;
    let whole = Activation::Quantise { scale: 1.0, zero: 0.0, low: -INTEGERS, high: INTEGERS, rounds: true };
    let q = function(s, whole, q)?;
    let q = s.step(site, "moved", Op::Binary(Binary::Add), &[q, zero])?;
    let y = s.add(site, Op::Activation(Activation::Clip { low: 0.0, high: 255.0 }), &[q])?;
    let bare = |a: Act| Value::Act(Act { lead: a.lead, ..a });
    Ok(vec![Value::Act(y), bare(scale), bare(zero)])
}

/// What [`quantise`] moved by the zero point `zero` to make `x`.
pub fn before_zero_point(s: &Scope, x: Act, zero: Act) -> Option<Act> {
    let inputs = |id, op: fn(&Op) -> bool| {
        let node = s.builder.node(id);
        op(&node.op).then(|| node.inputs.clone())
    };
    let clipped = inputs(x.id, |op| matches!(op, Op::Activation(Activation::Clip { low: 0.0, high: 255.0 })))?;
    let moved = inputs(*clipped.first()?, |op| matches!(op, Op::Binary(Binary::Add)))?;
    let (q, by) = (*moved.first()?, *moved.get(1)?);
    (by == zero.id).then_some(Act { id: q, lead: x.lead })
}

/// clip(q + zero, 0, 255) - zero as q plus what the clip cuts off, which is a constant for gradients: no sum with the zero point,
/// through which relevance would be shared with it.
pub fn clipped_around(s: &mut Scope, site: &Site<'_>, q: Act, zero: Act) -> Result<Act> {
    let low = s.step(site, "low", Op::Activation(Activation::Neg), &[zero])?;
    let most = s.number(&format!("{}/most", site.name), 255.0)?;
    let high = s.step(site, "high", Op::Binary(Binary::Sub), &[most, zero])?;
    let clipped = s.step(site, "least", Op::Binary(Binary::Max), &[q, low])?;
    let clipped = s.step(site, "clipped", Op::Binary(Binary::Min), &[clipped, high])?;
    let cut = s.step(site, "cut", Op::Binary(Binary::Sub), &[clipped, q])?;
    let cut = s.step(site, "detached", Op::Activation(Activation::Elementary(Elementary::Detach)), &[cut])?;
    s.step(site, "shifted", Op::Binary(Binary::Add), &[q, cut])
}
