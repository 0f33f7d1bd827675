//! Opens a weight file, in the format that its first bytes show.

use super::foreign;
use super::tensors::{Bytes, Tensors};
use super::torch;
use crate::error::{Context, Error, Result};
use std::path::Path;

impl Tensors {
    /// The tensors of a weight file, in the format that its first bytes show; the file is mapped, not read. Prefixes that
    /// wrappers put before all names (`module.`, `_orig_mod.`) are removed.
    ///
    /// # Errors
    /// Where it is missing, empty, damaged, of another format, or holds no tensors.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_part(path, None)
    }

    /// As [`Tensors::open`]; `key` names one of several state_dicts in a PyTorch checkpoint, its keys joined by dots.
    ///
    /// # Errors
    /// As [`Tensors::open`], and where nothing is under `key`.
    pub fn open_part(path: &Path, key: Option<&str>) -> Result<Self> {
        let bytes = Bytes::map(path)?;
        let tensors = match &bytes[..] {
            [b'P', b'K', 3 | 5, ..] => torch::read_zip(&bytes, key),
            [0x80, 1..=5, ..] => torch::read_legacy(&bytes, key),
            [_, _, _, _, _, _, _, _, b'{', ..] => match key {
                None => Self::safetensors(&bytes),
                Some(_) => Err(Error::value("`key` chooses within a PyTorch checkpoint; this file is .safetensors")),
            },
            _ => Err(foreign::bytes(&bytes).unwrap_or_else(|| unknown(&bytes))),
        };
        let tensors = tensors.context(|| format!("`{}`", path.display()))?;
        if tensors.is_empty() {
            return Err(Error::format(format!("`{}` holds no tensors", path.display()))
                .hint("save the weights with torch.save(net.state_dict(), \"weights.pth\")"));
        }
        Ok(tensors.unwrapped())
    }
}

/// The error for a file of an unknown format.
fn unknown(bytes: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
    if text.starts_with("version https://git-lfs") {
        return Error::format("a Git LFS pointer, not the weights").hint("run `git lfs pull` where the file came from");
    }
    if text.trim_start().starts_with('<') {
        return Error::format("a web page, not weights").hint("the download gave an error page; get the file again");
    }
    Error::format("neither .safetensors nor a PyTorch checkpoint")
        .hint("weights are read from .safetensors and from what torch.save(net.state_dict(), ..) writes")
}
