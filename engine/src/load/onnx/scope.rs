//! The graph under construction: the builder, the names in use, parameters by name, and the axes of ONNX values (batch first)
//! against those of a sample.

use super::site::Site;
use super::value::{Act, Const, Dim, Ints, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary};
use crate::graph::{Builder, NodeId, Op, ParamId};
use crate::limits::{ONNX_VALUE, ONNX_VALUES};
use crate::tensor::to_f32;
use candle_core::{Tensor, TensorId};
use std::collections::{BTreeSet, HashMap};

/// How many marks distinguish the names of steps from those of the file's nodes.
const MAX_MARKS: usize = 8;

/// The graph being built.
pub struct Scope {
    /// Nodes and parameters so far.
    pub builder: Builder,
    /// The batch size, where the file fixes it.
    pub batch: Option<usize>,
    /// Whether the batch of one is ours and not the file's.
    pub alone: bool,
    /// Whether our batch of one was merged with other axes.
    pub joined: bool,
    /// Whether PyTorch wrote the file.
    pub torch: bool,
    reserved: BTreeSet<String>,
    params: HashMap<(TensorId, String), ParamId>,
}

impl Scope {
    /// An empty graph; `reserved` are the names of the file's nodes.
    pub fn new(batch: Option<usize>, reserved: BTreeSet<String>) -> Self {
        Scope {
            builder: Builder::new(),
            batch,
            alone: false,
            joined: false,
            torch: false,
            reserved,
            params: HashMap::new(),
        }
    }

    /// A graph for computing constants.
    pub fn of_constants() -> Self {
        Scope { builder: Builder::of_constants(), ..Scope::new(None, BTreeSet::new()) }
    }

    /// A constant as a parameter; equal constants share one.
    pub fn param(&mut self, c: &Const) -> Result<ParamId> {
        self.derived(c, "", &c.tensor)
    }

    /// A parameter computed from a constant; `how` distinguishes its name from the constant's.
    pub fn derived(&mut self, c: &Const, how: &str, tensor: &Tensor) -> Result<ParamId> {
        let key = (c.tensor.id(), how.to_string());
        if let Some(id) = self.params.get(&key) {
            return Ok(*id);
        }
        let name = if how.is_empty() { c.name.clone() } else { format!("{}/{how}", c.name) };
        let id = self.builder.param(&name, tensor.clone())?;
        self.params.insert(key, id);
        Ok(id)
    }

    /// Adds a node under the site's name.
    pub fn add(&mut self, site: &Site<'_>, op: Op, inputs: &[Act]) -> Result<Act> {
        self.push(&site.name, op, inputs)
    }

    /// Adds a step before the site's value, named after the site and `part`.
    pub fn step(&mut self, site: &Site<'_>, part: &str, op: Op, inputs: &[Act]) -> Result<Act> {
        let name = self.free(&format!("{}/{part}", site.name));
        self.push(&name, op, inputs)
    }

    /// Adds a node called `name`; its value has a batch where an input has one.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[Act]) -> Result<Act> {
        let ids: Vec<NodeId> = inputs.iter().map(|a| a.id).collect();
        let lead = inputs.iter().map(|a| a.lead).max().unwrap_or(0);
        let id = self.builder.add(name, op, &ids)?;
        let shape = self.builder.shape(id);
        let values = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= ONNX_VALUES);
        let Some(values) = values else {
            return Err(Error::unsupported(format!("a value of shape {shape:?} a sample")));
        };
        ONNX_VALUE.check(4 * values as u64)?;
        Ok(Act { id, lead })
    }

    /// Adds an element-wise function under the site's name.
    pub fn activation(&mut self, site: &Site<'_>, f: Activation, x: Act) -> Result<Act> {
        self.add(site, Op::Activation(f), &[x])
    }

    /// Input `i` as a node; a constant becomes a node.
    pub fn act(&mut self, site: &Site<'_>, i: usize) -> Result<Act> {
        let value = site.input(i);
        match value {
            Value::Act(a) => Ok(*a),
            Value::Floats(c) => self.constant(c),
            Value::Ints(v) => {
                let c = self.real(&format!("{}/integers {i}", site.name), v)?;
                self.constant(&c)
            }
            other => Err(site.wants(i, "an activation", other)),
        }
    }

    /// Integers as a real constant.
    ///
    /// # Errors
    /// Where one is the batch size.
    pub fn real(&self, name: &str, v: &Ints) -> Result<Const> {
        let known = Ints::list(v.values.iter().map(|d| self.resolve(*d)).collect()).known()?;
        let values: Vec<f32> = known.into_iter().map(|v| v as f32).collect();
        let tensor = Tensor::from_vec(values, v.dims.as_slice(), &candle_core::Device::Cpu)?;
        Ok(Const { name: name.to_string(), tensor })
    }

    /// Input `i` with a batch; the first axis of a constant is the batch where it has one entry.
    pub fn batched(&mut self, site: &Site<'_>, i: usize) -> Result<Act> {
        match site.input(i) {
            Value::Floats(c) if c.tensor.rank() > 1 && c.tensor.dims()[0] == 1 => {
                let tensor = c.tensor.squeeze(0)?;
                let Act { id, .. } = self.constant(&Const { name: c.name.clone(), tensor })?;
                Ok(Act { id, lead: 1 })
            }
            _ => self.act(site, i),
        }
    }

    /// A value without a batch whose first axis has one entry: that axis becomes the batch.
    pub fn of_one(&mut self, site: &Site<'_>, x: Act) -> Result<Act> {
        let shape = self.sample(x);
        if x.lead == 1 || shape.first() != Some(&1) {
            return Ok(x);
        }
        let name = self.free(&format!("{}/one", site.name));
        let id = self.push(&name, Op::Reshape(shape[1..].to_vec()), &[x])?.id;
        Ok(Act { id, lead: 1 })
    }

    /// Whether the file fixes a batch of one, so that the batch may be sliced, summed and repeated.
    pub fn of_one_sample(&self) -> bool {
        self.batch == Some(1) && !self.alone
    }

    /// A value whose batch of one becomes an ordinary axis.
    ///
    /// # Errors
    /// Where the batch is not known to be one.
    pub fn with_axis(&mut self, site: &Site<'_>, x: Act) -> Result<Act> {
        let name = site.name.clone();
        self.whole(&name, x)
    }

    /// As [`Scope::with_axis`], with the node called `name`.
    pub fn whole(&mut self, name: &str, x: Act) -> Result<Act> {
        if x.lead == 0 {
            return Ok(x);
        }
        if self.batch != Some(1) {
            return Err(mixes("it treats the batch as an axis like others"));
        }
        self.joined |= self.alone;
        let shape = self.sample(x);
        let name = self.free(&format!("{name}/sample"));
        let id = self.push(&name, Op::Reshape([&[1], shape.as_slice()].concat()), &[x])?.id;
        Ok(Act { id, lead: 0 })
    }

    /// All inputs as nodes that broadcast by ONNX's rule: axes align at the last.
    pub fn operands(&mut self, site: &Site<'_>) -> Result<Vec<Act>> {
        let batched = site.inputs.iter().filter_map(|v| match v {
            Value::Act(a) if a.lead == 1 => Some(self.rank(*a)),
            _ => None,
        });
        let rank = batched.max();
        (0..site.inputs.len())
            .map(|i| match site.input(i) {
                // The first axis of a constant that aligns with the batch is no axis of a sample.
                Value::Floats(c) if Some(c.tensor.rank()) == rank && c.tensor.dims()[0] == 1 => {
                    let tensor = c.tensor.squeeze(0)?;
                    self.constant(&Const { name: c.name.clone(), tensor })
                }
                Value::Ints(v) if rank.is_some() && Some(v.dims.len()) == rank && v.dims[0] == 1 => {
                    let c = self.real(&format!("{}/integers {i}", site.name), v)?;
                    self.constant(&Const { tensor: c.tensor.squeeze(0)?, ..c })
                }
                _ => self.act(site, i),
            })
            .collect()
    }

    /// The linear map by `matrix` (out x in) along one axis of a sample, as the site's value.
    pub fn along(&mut self, site: &Site<'_>, x: Act, axis: usize, matrix: Tensor) -> Result<Act> {
        let name = site.name.clone();
        self.mapped(site, &name, x, axis, matrix)
    }

    /// The linear map by `matrix` (out x in) along one axis of a sample, as node `name`.
    pub fn mapped(&mut self, site: &Site<'_>, name: &str, x: Act, axis: usize, matrix: Tensor) -> Result<Act> {
        let weight = self.param(&Const { name: self.free(&format!("{name}/matrix")), tensor: matrix })?;
        let op = Op::Linear { weight, bias: None };
        let last = self.sample(x).len() - 1;
        if axis == last {
            return self.push(name, op, &[x]);
        }
        let mut perm: Vec<usize> = (0..=last).collect();
        perm.swap(axis, last);
        let turned = self.step(site, "axis last", Op::Transpose(perm.clone()), &[x])?;
        let y = self.step(site, "sums", op, &[turned])?;
        self.push(name, Op::Transpose(perm), &[y])
    }

    /// A constant as a node without a batch.
    pub fn constant(&mut self, c: &Const) -> Result<Act> {
        let param = match to_f32(&c.tensor)?.iter().any(|v| v.is_infinite()) {
            true => self.infinite(c)?,
            false => self.param(c)?,
        };
        let name = self.free(&c.name);
        Ok(Act { id: self.builder.add(&name, Op::Constant(param), &[])?, lead: 0 })
    }

    /// A constant with infinite values, which no weight may have.
    fn infinite(&mut self, c: &Const) -> Result<ParamId> {
        let key = (c.tensor.id(), "infinite".to_string());
        if let Some(id) = self.params.get(&key) {
            return Ok(*id);
        }
        let id = self.builder.constant(&c.name, c.tensor.clone())?;
        self.params.insert(key, id);
        Ok(id)
    }

    /// A constant number as a node.
    pub fn number(&mut self, name: &str, value: f64) -> Result<Act> {
        let tensor = Tensor::new(value as f32, &candle_core::Device::Cpu)?;
        self.constant(&Const { name: self.free(name), tensor })
    }

    /// A binary function of two values, broadcast by ONNX's rule (axes align at the last), as node `name`.
    pub fn binary(&mut self, name: &str, f: Binary, a: Act, b: Act) -> Result<Act> {
        let (a, b) = self.aligned(name, a, b)?;
        self.push(name, Op::Binary(f), &[a, b])
    }

    /// Two operands with the axes of their samples aligned as their ONNX axes.
    pub fn aligned(&mut self, name: &str, a: Act, b: Act) -> Result<(Act, Act)> {
        let (ra, rb) = (self.rank(a), self.rank(b));
        let meets = |s: &Self, batched: Act, other: Act| {
            let (r, shape) = (s.rank(batched), s.sample(other));
            shape.len() > r || (shape.len() == r && shape[0] != 1)
        };
        let clash = match (a.lead, b.lead) {
            (1, 1) => ra != rb,
            (1, 0) => meets(self, a, b),
            (0, 1) => meets(self, b, a),
            _ => false,
        };
        // A constant that aligns with the batch shows that the file mixes samples.
        let constant = [a, b].iter().any(|x| matches!(self.builder.op(x.id), Op::Constant(_)));
        if clash && self.batch == Some(1) && !(self.alone && constant) {
            return Ok((self.whole(name, a)?, self.whole(name, b)?));
        }
        match (a.lead, b.lead) {
            (1, 1) if ra != rb => {
                Err(mixes(format!("it combines values of {ra} and {rb} axes, which joins one's batch to another axis")))
            }
            (1, 0) if rb >= ra => Ok((a, self.without_first(name, b, ra)?)),
            (0, 1) if ra >= rb => Ok((self.without_first(name, a, rb)?, b)),
            _ => Ok((a, b)),
        }
    }

    /// A value without batch whose first of `rank` ONNX axes aligns with a batch, as that batch's sample.
    fn without_first(&mut self, name: &str, x: Act, rank: usize) -> Result<Act> {
        let shape = self.builder.shape(x.id).to_vec();
        if shape.len() > rank || shape[0] != 1 {
            return Err(mixes(format!("it combines an activation with {shape:?}, whose first axis meets the batch")));
        }
        let name = self.free(&format!("{name}/operand"));
        self.push(&name, Op::Reshape(shape[1..].to_vec()), &[x])
    }

    /// Whether the first axis of a value has entries in the place of the batch.
    pub fn is_own_axis(&self, x: Act) -> bool {
        x.lead == 0 && self.builder.shape(x.id).first().is_some_and(|n| *n != 1)
    }

    /// The shape of one sample.
    pub fn sample(&self, x: Act) -> Vec<usize> {
        self.builder.shape(x.id).to_vec()
    }

    /// The number of ONNX axes of a value.
    pub fn rank(&self, x: Act) -> usize {
        self.builder.shape(x.id).len() + x.lead
    }

    /// A value's ONNX shape.
    pub fn dims(&self, x: Act) -> Ints {
        let batch = (x.lead == 1).then_some(Dim::Batch);
        Ints::list(batch.into_iter().chain(self.builder.shape(x.id).iter().map(|d| Dim::Known(*d as i64))).collect())
    }

    /// A dimension with the batch size replaced by a number, where the file fixes it.
    pub fn resolve(&self, d: Dim) -> Dim {
        match (d, self.batch) {
            (Dim::Batch, Some(n)) => Dim::Known(n as i64),
            _ => d,
        }
    }

    /// An ONNX axis of `x` (negative ones count from the end) as an axis of its sample; `None` for the batch.
    ///
    /// # Errors
    /// Where there is no such axis.
    pub fn axis_or_batch(&self, x: Act, axis: i64) -> Result<Option<usize>> {
        let rank = self.rank(x) as i64;
        let at = if axis < 0 { axis + rank } else { axis };
        if !(0..rank).contains(&at) {
            return Err(Error::shape(format!("axis {axis} of a value with {rank} axes")));
        }
        Ok((at as usize).checked_sub(x.lead))
    }

    /// As [`Scope::axis_or_batch`]; the batch is refused.
    pub fn axis(&self, x: Act, axis: i64) -> Result<usize> {
        self.axis_or_batch(x, axis)?.ok_or_else(|| mixes(format!("it works along axis {axis}, the batch")))
    }

    /// Reshapes `x` to an ONNX shape that is known except for the batch, as node `name`.
    ///
    /// # Errors
    /// Where the first axis is not the batch.
    pub fn reshape(&mut self, name: &str, x: Act, to: &[Dim]) -> Result<Act> {
        let sample = self.sample(x);
        let len: usize = sample.iter().product();
        let sizes = |dims: &[Dim]| -> Option<Vec<usize>> {
            let size = |d: &Dim| match d {
                Dim::Known(v) => usize::try_from(*v).ok(),
                Dim::Batch => None,
            };
            dims.iter().map(size).collect()
        };
        let fits = |s: &Option<Vec<usize>>| {
            s.as_ref().is_some_and(|s| s.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) == Some(len))
        };
        // A batch of one may have been squeezed away; a first axis of one entry then serves as the batch.
        let batched = x.lead == 1 || (self.batch == Some(1) && !matches!(self.builder.op(x.id), Op::Constant(_)));
        let first = to.first().is_some_and(|d| {
            *d == Dim::Batch || *d == Dim::Known(1) || self.batch.is_some_and(|n| *d == Dim::Known(n as i64))
        });
        let rest = to.get(1..).and_then(sizes);
        if batched && first && fits(&rest) {
            let id = self.push(name, Op::Reshape(rest.unwrap_or_default()), &[x])?.id;
            return Ok(Act { id, lead: 1 });
        }
        let known: Vec<Dim> = to.iter().map(|d| self.resolve(*d)).collect();
        let whole = sizes(&known);
        if (x.lead == 0 || self.batch == Some(1)) && fits(&whole) {
            let id = self.push(name, Op::Reshape(whole.unwrap_or_default()), &[x])?.id;
            return Ok(Act { id, lead: 0 });
        }
        let shown = |dims: &[Dim]| {
            let text = dims.iter().map(|d| match d {
                Dim::Known(v) => v.to_string(),
                Dim::Batch => "batch".into(),
            });
            text.collect::<Vec<_>>().join(" x ")
        };
        Err(mixes(format!("it reshapes {} to {}", shown(&self.dims(x).values), shown(to))))
    }

    /// Reshapes the only sample of `x` to a shape without a batch, as node `name`.
    pub fn bare(&mut self, name: &str, x: Act, to: &[Dim]) -> Result<Act> {
        let id = self.reshape(name, x, &[&[Dim::Batch], to].concat())?.id;
        Ok(Act { id, lead: 0 })
    }

    /// `name`, or a variant that no node of the file has.
    pub fn free(&self, name: &str) -> String {
        let mut free = name.to_string();
        for _ in 0..MAX_MARKS {
            if !self.reserved.contains(&free) {
                return free;
            }
            free.push('\'');
        }
        // The file's names have such marks themselves; the builder numbers equal names.
        format!("{name}'")
    }
}
