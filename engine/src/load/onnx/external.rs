//! The data of an ONNX model's tensors: in its file, or external, in files beside the model. Their paths must stay inside the model's
//! folder.

use super::block::Block;
use super::structure::OnnxFile;
use super::wire;
use crate::error::{Error, Result};
use crate::limits::ONNX_SHARED;
use crate::regular;
use rten_onnx::onnx::TensorProto;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

/// A model's file and the files beside it, opened at their first use.
pub struct TensorFiles<'a> {
    own: &'a OnnxFile,
    folder: PathBuf,
    /// The open files, each with its length and the number of bytes read so far.
    open: BTreeMap<PathBuf, (File, u64, u64)>,
}

impl<'a> TensorFiles<'a> {
    /// Those of the model in `own`.
    pub fn of(own: &'a OnnxFile) -> Self {
        let folder = own.path().parent().map(Path::to_path_buf).unwrap_or_default();
        TensorFiles { own, folder, open: BTreeMap::new() }
    }

    /// The block of raw data in the model's own file, as [`wire`] encodes them.
    ///
    /// # Errors
    /// Where they are not encoded.
    pub fn own<'b>(&'b self, raw: &'b [u8]) -> Result<Block<'b>> {
        wire::block(raw, self.own)
    }

    /// The external data of `tensor`, `len` bytes.
    ///
    /// # Errors
    /// Where the file is missing, outside of the folder, or too short.
    pub fn external(&mut self, tensor: &TensorProto, len: usize) -> Result<Block<'_>> {
        let entry = |key: &str| {
            let found = tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key));
            found.and_then(|e| e.value.as_deref())
        };
        let number = |key: &str| {
            let parse = |v: &str| {
                v.parse::<u64>().map_err(|_| Error::format(format!("external data with {key} `{v}`, not a number")))
            };
            entry(key).map(parse).transpose()
        };
        let location = entry("location").ok_or_else(|| Error::format("external data without a location"))?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        if let Some(said) = length.filter(|said| *said != len as u64) {
            return Err(Error::format(format!("external data of {said} bytes, its shape and type take {len}")));
        }
        let inside = Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || location.is_empty() || location.contains('\\') {
            return Err(Error::format(format!("external data at `{location}`, outside the model's folder"))
                .hint("external data must lie beside the model, without `..` and not absolute"));
        }
        let path = self.folder.join(location);
        if !self.open.contains_key(&path) {
            let opened = regular::open(&path);
            let hint = "the model keeps its weights in this file beside it";
            let (file, size) = opened.map_err(|e| e.context("external data").hint(hint))?;
            self.open.insert(path.clone(), (file, size, 0));
        }
        let Some((path, (file, size, taken))) = self.open.range_mut(path..).next() else {
            return Err(Error::internal("a file vanished"));
        };
        if offset.checked_add(len as u64).is_none_or(|end| end > *size) {
            return Err(Error::format(format!(
                "external data at {offset} of `{}`: {len} bytes are needed, the file has {size}",
                path.display()
            ))
            .hint("is a download or a copy unfinished?"));
        }
        *taken = taken.saturating_add(len as u64);
        if *taken > size.saturating_mul(ONNX_SHARED).saturating_add(1 << 20) {
            return Err(Error::format(format!(
                "the tensors take the bytes of `{}` more than {ONNX_SHARED} times over",
                path.display()
            )));
        }
        Ok(Block::InFile { path, file, range: offset..offset + len as u64 })
    }
}
