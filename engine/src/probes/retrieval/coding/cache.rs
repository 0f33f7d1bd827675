//! A cache of the codes of image files on disk, so that a second run over the same images needs neither decoding nor the net.
//!
//! A folder for each (weights, layer, preprocessing, pooling, program, machine), in it segments: 32 bytes of the file's
//! BLAKE3 and the row, one after the other. Segments are written whole or not at all and named by their content, so that
//! interrupts and races leave no partial segment; a damaged one is ignored.

use super::{Coding, Pooling};
use crate::data::{Dataset, Source};
use crate::digest::machine;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::load::fetch::cache::cache_dir;
use crate::model::Model;
use crate::seal::is_held;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Whose bits decoded images have: other bits make other codes.
const DECODER: &str = "libjpeg-turbo 3";

/// The digest of a file.
pub type Key = [u8; 32];

/// The cached rows of one kind of code. A sealed run computes all of its codes.
pub struct Cache {
    folder: Option<PathBuf>,
    rows: BTreeMap<Key, Vec<f32>>,
    used: std::sync::atomic::AtomicUsize,
}

impl Cache {
    /// The cache for these codes of `data`; empty and disabled where it is not wanted, no image is a file, or there is no cache
    /// folder.
    pub fn open(model: &Model, node: NodeId, coding: Coding, d: usize, data: &Dataset) -> Result<Self> {
        let closed = Cache { folder: None, rows: BTreeMap::new(), used: 0.into() };
        let files = || data.item(0).is_ok_and(|i| matches!(i.source, Source::File(_)));
        let Some(root) = cache_dir().ok().filter(|_| coding.cache && !is_held() && files()) else { return Ok(closed) };
        let width = d + 2 * usize::from(coding.predictions);
        let pool = match coding.pool {
            Pooling::Mean => "mean",
            Pooling::Max => "max",
            Pooling::None => "none",
        };
        let what = serde_json::json!([
            model.weights_digest()?,
            model.graph().node(node).name,
            model.card().preprocess,
            [pool, env!("CARGO_PKG_VERSION"), DECODER, &machine()],
            coding.predictions,
            format!("{:?}", model.dtype()),
        ]);
        let folder = root.join("codes").join(&blake3::hash(what.to_string().as_bytes()).to_hex()[..32]);
        let mut rows = BTreeMap::new();
        let mut segments: Vec<PathBuf> =
            std::fs::read_dir(&folder).map(|d| d.filter_map(|e| Some(e.ok()?.path())).collect()).unwrap_or_default();
        segments.sort();
        for path in segments.iter().filter(|p| p.extension().is_some_and(|e| e == "codes")) {
            let Ok(bytes) = std::fs::read(path) else { continue };
            let named = path.file_stem().is_some_and(|s| *s == *blake3::hash(&bytes).to_hex().as_str());
            if named {
                rows.extend(bytes.chunks_exact(32 + 4 * width).map(read));
            }
        }
        Ok(Cache { folder: Some(folder), rows, used: 0.into() })
    }

    /// The digest of image `i`'s file, and its row where it is known.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn known(&self, data: &Dataset, i: usize) -> Result<(Option<Key>, Option<Vec<f32>>)> {
        let item = data.item(i)?;
        let (Some(_), Source::File(path)) = (&self.folder, &item.source) else { return Ok((None, None)) };
        let key = *blake3::hash(&crate::regular::read(path, |_| Ok(()))?).as_bytes();
        let row = self.rows.get(&key).cloned();
        if row.is_some() {
            self.used.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok((Some(key), row))
    }

    /// Writes new rows as a segment.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn keep(&self, fresh: &[(Key, Vec<f32>)]) -> Result<()> {
        let Some(folder) = self.folder.as_ref().filter(|_| !fresh.is_empty()) else { return Ok(()) };
        let mut bytes = Vec::new();
        for (key, row) in fresh {
            bytes.extend_from_slice(key);
            row.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        }
        let hint = "option `cache: false` goes without";
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e).hint(hint))?;
        crate::atomic::write(folder.join(format!("{}.codes", blake3::hash(&bytes).to_hex())), &bytes)
            .map_err(|e| e.hint(hint))
    }

    /// How many codes came from the cache, if any did.
    pub fn note(&self) -> Option<String> {
        let used = self.used.load(std::sync::atomic::Ordering::Relaxed);
        (used > 0).then(|| format!("{used} codes came from the cache on disk"))
    }
}

fn read(bytes: &[u8]) -> (Key, Vec<f32>) {
    let (key, row) = bytes.split_at(32);
    let key = std::array::from_fn(|i| key[i]);
    (key, row.chunks_exact(4).map(|b| f32::from_le_bytes(std::array::from_fn(|i| b[i]))).collect())
}
