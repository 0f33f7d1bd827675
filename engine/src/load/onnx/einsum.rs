//! Einsum as sums over axes, transposes and matrix products of two operands at a time.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::Reduction;
use std::collections::BTreeMap;

/// An operand with a label for each axis of its sample.
struct Term {
    x: Act,
    labels: Vec<char>,
}

/// Einsum
pub fn einsum(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let text = site.text("equation")?.ok_or_else(|| Error::format("attribute `equation` is missing"))?;
    let wrong = || Error::format(format!("attribute `equation` is `{text}`"));
    let mut operands = (0..site.inputs.len()).map(|i| s.act(site, i)).collect::<Result<Vec<_>>>()?;
    let ranks: Vec<usize> = operands.iter().map(|x| s.rank(*x)).collect();
    let (mut inputs, mut output) = parse(&text, &ranks).ok_or_else(wrong)?;
    // The batch has the first label of the operands with a batch; no other axis may have this label.
    let first = operands.iter().zip(&inputs).find(|(x, _)| x.lead == 1).and_then(|(_, labels)| labels.first().copied());
    if let Some(batch) = first {
        let alike = operands.iter().zip(&inputs).all(|(x, labels)| match x.lead {
            1 => labels.first() == Some(&batch) && !labels[1..].contains(&batch),
            _ => !labels.contains(&batch),
        });
        if alike && output.first() == Some(&batch) {
            for (_, labels) in operands.iter().zip(&mut inputs).filter(|(x, _)| x.lead == 1) {
                labels.remove(0);
            }
            output.remove(0);
        } else if s.batch == Some(1) {
            operands = operands.into_iter().map(|x| s.with_axis(site, x)).collect::<Result<_>>()?;
        } else {
            return Err(mixes(format!("its equation `{text}` does not keep the batch apart")));
        }
    }
    let mut terms = Vec::new();
    for (x, labels) in operands.into_iter().zip(inputs) {
        terms.push(diagonals(s, site, x, labels)?);
    }
    let mut terms = terms.into_iter();
    let mut total = terms.next().ok_or_else(wrong)?;
    let rest: Vec<Term> = terms.collect();
    for (i, next) in rest.iter().enumerate() {
        let needed = |l: &char| output.contains(l) || rest[i + 1..].iter().any(|t| t.labels.contains(l));
        total = product(s, site, total, next, needed)?;
    }
    let total = sum_labels(s, site, total, |l| output.contains(l))?;
    let perm = output.iter().map(|l| total.labels.iter().position(|m| m == l)).collect::<Option<Vec<_>>>();
    let perm = perm.filter(|p| p.len() == total.labels.len()).ok_or_else(wrong)?;
    let op = if perm.iter().copied().eq(0..perm.len()) { Op::Identity } else { Op::Transpose(perm) };
    Ok(vec![Value::Act(s.add(site, op, &[total.x])?)])
}

/// The labels of each input and of the output; an ellipsis stands for the remaining axes.
fn parse(text: &str, ranks: &[usize]) -> Option<(Vec<Vec<char>>, Vec<char>)> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (text.as_str(), None),
    };
    let parts: Vec<&str> = left.split(',').collect();
    if parts.len() != ranks.len() {
        return None;
    }
    let letters = |part: &str| part.chars().filter(|c| *c != '.').count();
    let open = parts.iter().zip(ranks).filter(|(p, _)| p.contains("...")).map(|(p, r)| r.checked_sub(letters(p)));
    let most = open.collect::<Option<Vec<_>>>()?.into_iter().max().unwrap_or(0);
    // The axes of an ellipsis align at the last.
    let dots: Vec<char> = (0..most as u32).filter_map(|i| char::from_u32(0xE000 + i)).collect();
    let spelled = |part: &str, rank: usize| -> Option<Vec<char>> {
        let labels: Vec<char> = match part.split_once("...") {
            Some((a, b)) => {
                let n = rank.checked_sub(letters(part))?;
                a.chars().chain(dots[most - n..].iter().copied()).chain(b.chars()).collect()
            }
            None => part.chars().collect(),
        };
        (labels.len() == rank).then_some(labels)
    };
    let inputs = parts.iter().zip(ranks).map(|(p, r)| spelled(p, *r)).collect::<Option<Vec<_>>>()?;
    let output = match right {
        Some(right) => spelled(right, letters(right) + if right.contains("...") { most } else { 0 })?,
        None => {
            let mut counts: BTreeMap<char, usize> = BTreeMap::new();
            inputs.iter().flatten().for_each(|l| *counts.entry(*l).or_default() += 1);
            let once = counts.into_iter().filter(|(l, n)| *n == 1 && !dots.contains(l)).map(|(l, _)| l);
            dots.iter().copied().chain(once).collect()
        }
    };
    Some((inputs, output))
}

/// An operand in which each label occurs once: where a label occurs twice, its diagonal.
fn diagonals(s: &mut Scope, site: &Site<'_>, x: Act, labels: Vec<char>) -> Result<Term> {
    let twice =
        (0..labels.len()).find_map(|i| labels[i + 1..].iter().position(|l| *l == labels[i]).map(|j| (i, i + 1 + j)));
    let Some((i, j)) = twice else { return Ok(Term { x, labels }) };
    let shape = s.sample(x);
    let mut perm: Vec<usize> = (0..labels.len()).filter(|a| *a != i && *a != j).collect();
    let kept: Vec<usize> = perm.iter().map(|a| shape[*a]).collect();
    let (n, inner) = (shape[i], kept.iter().product::<usize>());
    if shape[j] != n {
        return Err(Error::shape(format!("a diagonal of {shape:?}")));
    }
    perm.splice(0..0, [i, j]);
    let left: Vec<char> = perm[1..].iter().map(|a| labels[*a]).collect();
    let turned = s.step(site, "diagonal first", Op::Transpose(perm), &[x])?;
    let flat = s.step(site, "square", Op::Reshape(vec![n * n, inner]), &[turned])?;
    let line =
        s.step(site, "diagonal", Op::Select { axis: 0, index: (0..n).map(|k| k * (n + 1)).collect() }, &[flat])?;
    let x = s.step(site, "line", Op::Reshape([&[n], kept.as_slice()].concat()), &[line])?;
    diagonals(s, site, x, left)
}

/// Sums over the labels that are not needed.
fn sum_labels(s: &mut Scope, site: &Site<'_>, term: Term, needed: impl Fn(&char) -> bool) -> Result<Term> {
    let axes: Vec<usize> = (0..term.labels.len()).filter(|a| !needed(&term.labels[*a])).collect();
    if axes.is_empty() {
        return Ok(term);
    }
    let labels = term.labels.iter().copied().filter(|l| needed(l)).collect();
    let x = s.step(site, "summed", Op::Reduce { reduction: Reduction::Sum, axes, keep: false }, &[term.x])?;
    Ok(Term { x, labels })
}

/// The product of two operands: a matrix product over the labels that no other operand and not the output has.
fn product(s: &mut Scope, site: &Site<'_>, a: Term, b: &Term, needed: impl Fn(&char) -> bool) -> Result<Term> {
    let a = sum_labels(s, site, a, |l| needed(l) || b.labels.contains(l))?;
    let b = sum_labels(s, site, Term { x: b.x, labels: b.labels.clone() }, |l| needed(l) || a.labels.contains(l))?;
    let (da, db) = (s.sample(a.x), s.sample(b.x));
    let in_b = |l: &char| b.labels.contains(l);
    let shared: Vec<char> = a.labels.iter().copied().filter(|l| in_b(l) && needed(l)).collect();
    let gone: Vec<char> = a.labels.iter().copied().filter(|l| in_b(l) && !needed(l)).collect();
    let left: Vec<char> = a.labels.iter().copied().filter(|l| !in_b(l)).collect();
    let right: Vec<char> = b.labels.iter().copied().filter(|l| !a.labels.contains(l)).collect();
    let size = |l: &char| {
        let of = |labels: &[char], dims: &[usize]| labels.iter().position(|m| m == l).map_or(1, |i| dims[i]);
        of(&a.labels, &da).max(of(&b.labels, &db))
    };
    let count = |labels: &[char]| labels.iter().map(size).product::<usize>();
    let batch: Vec<usize> = shared.iter().map(size).collect();
    let matrix = |s: &mut Scope, part: &str, term: &Term, order: [&[char]; 3], ends: [usize; 2]| -> Result<Act> {
        let wanted: Vec<char> = order.concat();
        let own = s.sample(term.x);
        let perm = wanted.iter().filter_map(|l| term.labels.iter().position(|m| m == l)).collect::<Vec<_>>();
        // An axis of one entry is repeated to the other operand's size.
        let mut x = term.x;
        for (axis, l) in term.labels.iter().enumerate() {
            if own[axis] == 1 && size(l) > 1 {
                let index = vec![0; size(l)].into();
                x = s.step(site, "repeated", Op::Select { axis, index }, &[x])?;
            }
        }
        let turned = if perm.iter().copied().eq(0..perm.len()) {
            x
        } else {
            s.step(site, &format!("{part} turned"), Op::Transpose(perm), &[x])?
        };
        s.step(site, part, Op::Reshape([batch.as_slice(), &ends].concat()), &[turned])
    };
    let (l, k, r) = (count(&left), count(&gone), count(&right));
    let first = matrix(s, "first", &a, [&shared, &left, &gone], [l, k])?;
    let second = matrix(s, "second", &b, [&shared, &gone, &right], [k, r])?;
    let y = s.step(site, "product", Op::MatMul, &[first, second])?;
    let labels = [shared, left, right].concat();
    let to = labels.iter().map(size).collect();
    Ok(Term { x: s.step(site, "axes", Op::Reshape(to), &[y])?, labels })
}
