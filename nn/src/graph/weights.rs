//! The parameters of a graph: tensors under their names in the file.

use super::op::ParamId;
use crate::error::{Error, Result};
use crate::tensor::values;
use candle_core::{DType, Tensor};

/// The parameters of a net, in the order in which its graph was built.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    names: Vec<String>,
    tensors: Vec<Tensor>,
}

impl Weights {
    /// Adds a parameter under its name in the file.
    ///
    /// # Errors
    /// Where a floating-point value is not finite.
    pub fn push(&mut self, name: &str, tensor: Tensor) -> Result<ParamId> {
        let is_double = tensor.dtype() == DType::F64;
        let tensor = if is_double { tensor } else { tensor.to_dtype(DType::F32)? };
        let tensor = tensor.contiguous()?;
        let finite = match is_double {
            true => values::<f64>(&tensor)?.iter().all(|v| v.is_finite()),
            false => values::<f32>(&tensor)?.iter().all(|v| v.is_finite()),
        };
        if !finite {
            return Err(Error::format(format!("weight `{name}` holds values that are not finite"))
                .hint("the file is damaged, or its training diverged"));
        }
        Ok(self.keep_as(name, tensor))
    }

    /// Adds the values of a constant, which may be infinite: attention masks are minus infinity where they hide a key.
    ///
    /// # Errors
    /// Where a value is no number.
    pub fn push_constant(&mut self, name: &str, tensor: Tensor) -> Result<ParamId> {
        let tensor = tensor.to_dtype(DType::F32)?.contiguous()?;
        if values::<f32>(&tensor)?.iter().any(|v| v.is_nan()) {
            return Err(Error::format(format!("the constant `{name}` holds values that are no numbers"))
                .hint("the file is damaged, or its training diverged"));
        }
        Ok(self.keep_as(name, tensor))
    }

    fn keep_as(&mut self, name: &str, tensor: Tensor) -> ParamId {
        self.names.push(name.to_string());
        self.tensors.push(tensor);
        ParamId(self.tensors.len() - 1)
    }

    /// Adds a parameter of which only the shape is known; its storage is a single zero, broadcast.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub(crate) fn push_shape(&mut self, name: &str, shape: &[usize]) -> Result<ParamId> {
        let zero = Tensor::zeros(1, DType::F32, &candle_core::Device::Cpu)?;
        self.names.push(name.to_string());
        self.tensors.push(zero.broadcast_as(shape)?);
        Ok(ParamId(self.tensors.len() - 1))
    }

    /// Drops all parameters but those in `used`, and says which number each of them has now.
    pub(crate) fn keep(&mut self, used: impl IntoIterator<Item = ParamId>) -> Vec<ParamId> {
        let mut kept = vec![false; self.tensors.len()];
        used.into_iter().for_each(|p| kept[p.0] = true);
        let mut next = 0;
        let numbers = kept.iter().map(|kept| {
            next += usize::from(*kept);
            ParamId(next.saturating_sub(1))
        });
        let numbers = numbers.collect();
        let mut marks = kept.iter();
        self.names.retain(|_| *marks.next().unwrap_or(&true));
        let mut marks = kept.iter();
        self.tensors.retain(|_| *marks.next().unwrap_or(&true));
        numbers
    }

    /// One parameter.
    pub fn tensor(&self, id: ParamId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// One parameter's name.
    pub fn name(&self, id: ParamId) -> &str {
        &self.names[id.0]
    }

    /// All names and tensors.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.tensors)
    }

    /// The same weights with one replaced by another of the same shape.
    pub fn with(&self, id: ParamId, tensor: Tensor) -> Self {
        let mut changed = self.clone();
        changed.tensors[id.0] = tensor;
        changed
    }

    /// The number of values in all parameters.
    pub fn count(&self) -> usize {
        self.tensors.iter().map(Tensor::elem_count).sum()
    }

    /// The same weights as numbers of `dtype`.
    ///
    /// # Errors
    /// Where a tensor cannot be cast.
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        let tensors = self.tensors.iter().map(|t| t.to_dtype(dtype)).collect::<candle_core::Result<_>>()?;
        Ok(Weights { names: self.names.clone(), tensors })
    }
}
