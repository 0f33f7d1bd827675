//! The inputs of a run: files by the digest of their bytes and of their content, nets by the digest of their weights.

use crate::data::{Image, npy};
use crate::digest::{Digested, digest};
use crate::error::{Error, Result};
use crate::load::LoadOptions;
use crate::load::tensors::Tensors;
use crate::model::Model;
use crate::reads::{self, FileRead};
use crate::regular;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An input file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// As the script names it, relative to the script's folder; `sample:NAME` for a sample image.
    pub path: String,
    /// BLAKE3 of its bytes, hexadecimal; of a sample image, of its pixels.
    pub blake3: String,
    /// Bytes.
    pub bytes: u64,
    /// The digest of its decoded content, independent of the file's encoding: `pixels:`, `reduced:` (of an
    /// image that was scaled down while it was decoded), `array:` or `weights:` and a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Its licence, where the script says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

/// A net that a run loaded, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// What `load_model` was given.
    pub spec: String,
    /// The options that it was given.
    pub options: serde_json::Value,
    /// The net's name.
    pub name: String,
    /// Where it came from, for `run.json`.
    #[serde(skip)]
    pub source: String,
    /// BLAKE3 of its weights, by sorted name, with types, shapes and bytes, hexadecimal.
    pub weights: String,
    /// The licence of the weights, where it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
}

impl Pinned {
    /// The pin of `model`, the result of `load_model(spec, options)`.
    ///
    /// # Errors
    /// Where a weight cannot be read.
    pub fn of(spec: &str, options: &LoadOptions, model: &Model) -> Result<Self> {
        let mut said = serde_json::to_value(options).map_err(|e| Error::internal(e.to_string()))?;
        if let Some(members) = said.as_object_mut() {
            members.retain(|_, v| !v.is_null());
        }
        let card = model.card().clone();
        Ok(Pinned {
            spec: spec.to_string(),
            options: said,
            name: card.name,
            source: card.source,
            weights: model.weights_digest()?,
            license: card.license,
        })
    }
}

impl InputFile {
    /// The file at `full`, which the script calls `path`. Where the run read it whole, it is not read again
    /// ([`crate::reads`]); else its bytes are read once, for the digest and for what they hold.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(path: &str, full: &Path) -> Result<Self> {
        let extension = full.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        type Digest = fn(&[u8]) -> Option<String>;
        let small: Option<Digest> = match extension.as_str() {
            "png" | "jpg" | "jpeg" | "bmp" | "gif" | "webp" | "tif" | "tiff" => {
                Some(|raw| Image::decode(raw).ok().map(|image| image.content_digest()))
            }
            "npy" => Some(|raw| npy::read(raw).ok().and_then(|tensor| npy::content_digest(&tensor))),
            _ => None,
        };
        let path = path.to_string();
        if let Some(FileRead { blake3, bytes, content }) = reads::known(full)
            && (content.is_some() || small.is_none())
        {
            let content = content.or_else(|| weights_in(&extension, full));
            return Ok(InputFile { path, blake3, bytes, content, license: None });
        }
        if let Some(content) = small {
            let raw = regular::read(full, |_| Ok(()))?;
            let (blake3, bytes) = (digest(&raw), raw.len() as u64);
            return Ok(InputFile { path, blake3, bytes, content: content(&raw), license: None });
        }
        let Digested { blake3, bytes, .. } = Digested::read(&path, full)?;
        let content = weights_in(&extension, full);
        Ok(InputFile { path, blake3, bytes, content, license: None })
    }

    /// An image that is known by a name.
    pub fn sample(name: &str, image: &Image) -> Self {
        let blake3 = digest(image.pixels());
        let content = Some(image.content_digest());
        InputFile { path: format!("sample:{name}"), blake3, bytes: image.pixels().len() as u64, content, license: None }
    }

    /// How a file that should be this one differs from it, if it does.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn difference(&self, full: &Path) -> Result<Option<String>> {
        if !full.is_file() {
            return Err(Error::not_found(format!("`{}` is not there", self.path)));
        }
        let now = InputFile::read(&self.path, full)?;
        if now.blake3 == self.blake3 {
            return Ok(None);
        }
        let same = self.content.is_some() && now.content == self.content;
        let what = if same { "; what is in it is the same, the bytes are others" } else { "" };
        Ok(Some(format!(
            "BLAKE3 {} was locked, {} was found{what}",
            digest_prefix(&self.blake3),
            digest_prefix(&now.blake3)
        )))
    }
}

/// The beginning of a digest, for people.
pub fn digest_prefix(blake3: &str) -> &str {
    blake3.get(..16).unwrap_or(blake3)
}

/// The digest of the tensors in a file of weights; none for other files.
fn weights_in(extension: &str, file: &Path) -> Option<String> {
    if !matches!(extension, "pth" | "pt" | "safetensors") {
        return None;
    }
    let tensors = Tensors::open(file).ok()?;
    let mut hasher = blake3::Hasher::new();
    let mut names: Vec<&str> = tensors.names().collect();
    names.sort_unstable();
    for name in names {
        crate::digest::weight(&mut hasher, name, &tensors.tensor(name).ok()?).ok()?;
    }
    Some(format!("weights:{}", hasher.finalize().to_hex()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_content_is_told_from_the_bytes_that_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.png"), folder.path().join("b.bmp"));
        let image = Image::filled(3, 2, [7, 8, 9]).unwrap();
        image.save_png(&a).unwrap();
        let mut bmp = b"BM".to_vec();
        bmp.extend([78, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 24, 0]);
        bmp.extend([0u8; 24]);
        (0..2).for_each(|_| bmp.extend([9, 8, 7, 9, 8, 7, 9, 8, 7, 0, 0, 0]));
        std::fs::write(&b, bmp).unwrap();
        let locked = InputFile::read("a.png", &a).unwrap();
        assert_eq!(locked.difference(&a).unwrap(), None);
        assert!(locked.difference(&b).unwrap().unwrap().contains("what is in it is the same"));
        Image::filled(3, 2, [7, 8, 10]).unwrap().save_png(&a).unwrap();
        assert!(!locked.difference(&a).unwrap().unwrap().contains("the same"));
        assert!(locked.difference(&folder.path().join("c")).is_err());
        assert_eq!(InputFile::sample("x", &image).content, locked.content);
    }
}
