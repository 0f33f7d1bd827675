//! Control flow that is resolved while reading: branches with known conditions, loops with a known number of iterations.

use super::links::{self, Links};
use super::site::Site;
use super::value::{Dim, Ints, Value};
use super::{Reader, ops};
use crate::error::{Error, Result};
use crate::limits::ONNX_STEPS;
use rten_onnx::onnx::GraphProto;

impl<'a> Reader<'a> {
    /// The outputs of an `If` or a `Loop`.
    ///
    /// # Errors
    /// Where the condition or the number of iterations depends on the net's input.
    pub fn control_flow(&mut self, links: &Links<'a>, site: &Site<'a>, opset: i64) -> Result<Vec<Value>> {
        match site.op {
            "If" => {
                let test = self.number(site, 0)?.ok_or_else(|| ops::unknown("If", "", opset))?;
                let body = site.graph(if test != 0 { "then_branch" } else { "else_branch" })?;
                self.body(links, body, opset)
            }
            _ => self.unroll(links, site, opset),
        }
    }

    /// A constant integer in input `i`; none where it depends on the net's input.
    fn number(&self, site: &Site<'_>, i: usize) -> Result<Option<i64>> {
        match site.input(i) {
            Value::Ints(v) => match v.values[..] {
                [d] => match self.scope.resolve(d) {
                    Dim::Known(v) => Ok(Some(v)),
                    Dim::Batch => Err(super::value::mixes("its control flow depends on the batch size")),
                },
                _ => Err(Error::format(format!("input {i} holds {} numbers, one is wanted", v.values.len()))),
            },
            Value::Floats(_) => Ok(site.scalar(i)?.map(|v| v as i64)),
            _ => Ok(None),
        }
    }

    /// Unrolls a loop.
    fn unroll(&mut self, links: &Links<'a>, site: &Site<'a>, opset: i64) -> Result<Vec<Value>> {
        let body = site.graph("body")?;
        let computed = || ops::unknown("Loop", "", opset);
        let most = if site.has(0) { self.number(site, 0)?.ok_or_else(computed)? } else { i64::MAX };
        let mut goes = if site.has(1) { self.number(site, 1)?.ok_or_else(computed)? != 0 } else { true };
        let mut carried: Vec<Value> = site.inputs.iter().skip(2).cloned().collect();
        if body.output.len() != carried.len() + 1 {
            return Err(Error::unsupported("a loop that collects a value each round")
                .hint("loops that only carry values on are read: export with fixed shapes, or simplify the file"));
        }
        let names: Vec<&'a str> = body.input.iter().map(links::name_of).collect();
        if names.len() != carried.len() + 2 {
            return Err(Error::format(format!("a loop's body with {} inputs for {}", names.len(), carried.len() + 2)));
        }
        let mut round = 0;
        while goes && round < most {
            let whole = |v: i64| Value::Ints(Ints { dims: Vec::new(), values: vec![Dim::Known(v)] });
            let given = [whole(round), whole(1)].into_iter().chain(carried);
            names.iter().zip(given).for_each(|(name, value)| drop(self.values.insert(name, value)));
            let mut made = self.body(links, body, opset)?.into_iter();
            goes = match made.next() {
                Some(Value::Ints(v)) => v.known()?.first().is_some_and(|v| *v != 0),
                _ => return Err(computed()),
            };
            carried = made.collect();
            round += 1;
        }
        Ok(carried)
    }

    /// The outputs of a graph inside a node; it can use the names around it.
    fn body(&mut self, links: &Links<'a>, body: &'a GraphProto, opset: i64) -> Result<Vec<Value>> {
        self.steps += body.node.len();
        if self.steps > ONNX_STEPS * 16 {
            return Err(Error::unsupported("branches and loops of so many nodes"));
        }
        for tensor in &body.initializer {
            self.inner.insert(tensor.name.as_deref().unwrap_or(""), tensor);
        }
        for node in &body.node {
            let own = node.name.as_ref().filter(|n| !n.is_empty());
            let named = |(i, out): (usize, &String)| own.filter(|_| i == 0).unwrap_or(out).clone();
            let names: Vec<String> = node.output.iter().enumerate().map(named).collect();
            self.node(links, node, &names, opset).map_err(|e| match e.message.starts_with("node `") {
                true => e,
                false => e.context(links::shown(node)),
            })?;
        }
        body.output.iter().map(|out| self.value(links, links::name_of(out))).collect()
    }
}
