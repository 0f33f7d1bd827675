//! The named tensors of a weight file, read when they are needed.
//!
//! Whatever the file (.safetensors, a PyTorch checkpoint, a pickled dictionary), a tensor is a strided view of mapped
//! or owned bytes; [`Tensors::tensor`] gathers it into a contiguous f32 tensor.

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Context, Error, Result};
use crate::limits::NESTED;
use crate::regular;

/// Bytes that tensors are views of: a mapped file or a block in memory.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// A file mapped into memory.
    Mapped(Arc<Mmap>),
    /// A block in memory.
    Owned(Arc<Vec<u8>>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(block) => block,
        }
    }
}

impl Bytes {
    /// Maps a file.
    ///
    /// # Errors
    /// Where it is missing, not a regular file, or empty.
    pub fn map(path: &Path) -> Result<Self> {
        let (file, length) = regular::open(path)?;
        if length == 0 {
            return Err(Error::format(format!("`{}` is empty (0 bytes)", path.display()))
                .hint("the download or the copy broke off; get the file again"));
        }
        // SAFETY: the map is only read. As with every memory map, another process that shortens the file while it is
        // in use breaks it; weight files are written once.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, &e))?;
        Ok(Bytes::Mapped(Arc::new(map)))
    }

    /// Returns to the system the memory of a range that has been copied; a mapped file is read again if it is needed again.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = self {
            // SAFETY: the map is private and only read, so its pages hold what the file holds. A refusal costs memory only.
            let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// The bytes of a tensor that are copied at a time: whole values of any type.
const PIECE_BYTES: usize = 1 << 20;

/// One tensor of a file: a strided view of bytes.
#[derive(Clone, Debug)]
pub struct View {
    bytes: Bytes,
    start: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    strides: Vec<usize>,
    negated: bool,
}

impl View {
    /// A view of the bytes in `range`; strides count values.
    ///
    /// # Errors
    /// Where it reaches beyond the range or the range beyond the bytes, or it shows more values than the range holds.
    pub fn new(
        bytes: Bytes,
        range: Range<usize>,
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self> {
        let (size, start) = (value_size(dtype)?, range.start);
        let held = range.end.min(bytes.len()).saturating_sub(start) / size;
        let count = shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(0usize, |at, (n, stride)| at.checked_add(n.saturating_sub(1).checked_mul(*stride)?));
        let fits = shape.len() == strides.len()
            && count.is_some_and(|n| n <= held && (n == 0 || last.is_some_and(|last| last < held)));
        if !fits {
            return Err(Error::format(format!("a tensor of {shape:?} lies beyond the {held} values stored for it"))
                .hint("the file is cut short or damaged"));
        }
        Ok(View { bytes, start, dtype, shape, strides, negated: false })
    }

    /// A view whose last axis is dense.
    ///
    /// # Errors
    /// As [`View::new`].
    pub fn dense(bytes: Bytes, range: Range<usize>, dtype: Dtype, shape: Vec<usize>) -> Result<Self> {
        let strides = dense_strides(&shape);
        Self::new(bytes, range, dtype, shape, strides)
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same values with axes in another order: axis i is axis `perm[i]`; `perm` is an order of the axes.
    pub fn permuted(&self, perm: &[usize]) -> Self {
        let pick = |from: &[usize]| perm.iter().map(|a| from[*a]).collect();
        View { shape: pick(&self.shape), strides: pick(&self.strides), ..self.clone() }
    }

    /// The same values with the other sign.
    pub fn negated(self) -> Self {
        View { negated: !self.negated, ..self }
    }

    /// The values in row-major order, as f32.
    ///
    /// # Errors
    /// Where the kind of number is not one that weights have.
    pub fn gather(&self) -> Result<Tensor> {
        let (dtype, size) = (tensor_type(self.dtype)?, value_size(self.dtype)?);
        let count: usize = self.shape.iter().product();
        let dense = self.strides == dense_strides(&self.shape);
        let tensor = if dense {
            let range = self.start..self.start + count * size;
            match dtype {
                DType::F32 => Tensor::from_vec(self.singles(range), &self.shape[..], &Device::Cpu)?,
                _ => {
                    let bytes = &self.bytes[range.clone()];
                    let tensor = Tensor::from_raw_buffer(bytes, dtype, &self.shape, &Device::Cpu)?;
                    self.bytes.release(range);
                    tensor
                }
            }
        } else {
            let mut out = Vec::with_capacity(count * size);
            let mut at = vec![0usize; self.shape.len()];
            for _ in 0..count {
                let offset: usize = at.iter().zip(&self.strides).map(|(i, s)| i * s).sum();
                let from = self.start + offset * size;
                out.extend_from_slice(&self.bytes[from..from + size]);
                for axis in (0..at.len()).rev() {
                    at[axis] += 1;
                    if at[axis] < self.shape[axis] {
                        break;
                    }
                    at[axis] = 0;
                }
            }
            Tensor::from_raw_buffer(&out, dtype, &self.shape, &Device::Cpu)?
        };
        let tensor = tensor.to_dtype(DType::F32)?;
        Ok(if self.negated { tensor.neg()? } else { tensor })
    }

    /// The values of f32 in a range of the bytes, each piece of which is released when it has been copied: a large tensor is never
    /// in memory twice.
    fn singles(&self, range: Range<usize>) -> Vec<f32> {
        let mut values = Vec::with_capacity(range.len() / size_of::<f32>());
        for from in range.clone().step_by(PIECE_BYTES) {
            let piece = from..range.end.min(from + PIECE_BYTES);
            values.extend(self.bytes[piece.clone()].as_chunks().0.iter().map(|v| f32::from_le_bytes(*v)));
            self.bytes.release(piece);
        }
        values
    }
}

/// The named tensors of a file.
#[derive(Clone, Debug, Default)]
pub struct Tensors {
    views: BTreeMap<String, View>,
    /// Notes on how they were found.
    pub notes: Vec<String>,
}

/// Prefixes that training puts before all names: data-parallel wrappers and compiled modules.
const WRAPPED: [&str; 2] = ["module.", "_orig_mod."];

impl Tensors {
    /// The same tensors without the prefixes that wrappers put before all names.
    pub fn unwrapped(self) -> Self {
        let mut tensors = self;
        if tensors.is_empty() {
            return tensors;
        }
        for _ in 0..NESTED {
            let all = |front: &&&str| tensors.names().all(|n| n.starts_with(**front));
            let Some(front) = WRAPPED.iter().find(all) else { break };
            tensors = tensors.renamed(|n| n[front.len()..].to_string());
        }
        tensors
    }

    /// The tensors of a .safetensors file.
    ///
    /// # Errors
    /// Where its header is damaged or it is cut short.
    pub fn safetensors(bytes: &Bytes) -> Result<Self> {
        let damaged = |e: &dyn std::fmt::Display| {
            Error::format(format!("not a whole .safetensors file: {e}")).hint("get the file again")
        };
        let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e))?;
        let mut found = Tensors::default();
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let range = 8 + header + from..8 + header + to;
            let view = View::dense(bytes.clone(), range, info.dtype, info.shape.clone());
            found.insert(name.clone(), view.context(|| format!("tensor `{name}`"))?);
        }
        Ok(found)
    }

    /// Adds a tensor; one of the same name is replaced.
    pub fn insert(&mut self, name: String, view: View) {
        self.views.insert(name, view);
    }

    /// The same tensors under other names; of two that get one name the later in the old names' order stays.
    pub fn renamed(self, rename: impl Fn(&str) -> String) -> Self {
        let views = self.views.into_iter().map(|(name, view)| (rename(&name), view)).collect();
        Tensors { views, notes: self.notes }
    }

    /// The tensors for which there is a name, under it.
    pub fn selected(self, mut name: impl FnMut(&str) -> Option<String>) -> Self {
        let views = self.views.into_iter().filter_map(|(old, view)| Some((name(&old)?, view))).collect();
        Tensors { views, notes: self.notes }
    }

    /// All names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.views.keys().map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// One tensor's view.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.get(name)
    }

    /// One tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.views.get(name).map(View::shape)
    }

    /// One tensor as f32.
    ///
    /// # Errors
    /// Where there is none of that name, or it does not hold numbers, or the work was interrupted.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        crate::signal::go_on()?;
        let view = self.views.get(name).ok_or_else(|| Error::not_found(format!("no tensor `{name}`")))?;
        view.gather().context(|| format!("tensor `{name}`"))
    }
}

/// The bytes of a .safetensors file of these tensors (f32), in the names' order.
pub fn to_safetensors(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let flat = tensors
        .iter()
        .map(|(name, t)| {
            let values = crate::tensor::to_f32(t)?;
            Ok((name.as_str(), t.dims().to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()))
        })
        .collect::<Result<Vec<_>>>()?;
    let views = flat
        .iter()
        .map(|(name, dims, bytes)| {
            safetensors::tensor::TensorView::new(Dtype::F32, dims.clone(), bytes)
                .map(|view| (*name, view))
                .map_err(|e| Error::internal(e.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(|e| Error::internal(e.to_string()))
}

fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

fn value_size(dtype: Dtype) -> Result<usize> {
    match dtype.bitsize() {
        bits if bits >= 8 && bits.is_multiple_of(8) => Ok(bits / 8),
        bits => Err(Error::unsupported(format!("numbers of {bits} bits"))),
    }
}

fn tensor_type(dtype: Dtype) -> Result<DType> {
    Ok(match dtype {
        Dtype::BOOL | Dtype::U8 => DType::U8,
        Dtype::U32 => DType::U32,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        other => {
            return Err(Error::unsupported(format!("weights of type {other:?}"))
                .hint("convert them to float32 first: {k: v.float() for k, v in net.state_dict().items()}"));
        }
    })
}
