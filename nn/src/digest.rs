//! BLAKE3 digests of files, folders, arrays and weights.

use crate::error::{Error, Result};
use crate::tensor::{to_f32, values};
use candle_core::DType;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;

/// Bytes hashed at a time, on all threads.
const BLOCK: usize = 1 << 20;

/// A file by its name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digested {
    /// As the script or the output folder names it.
    pub path: String,
    /// BLAKE3 of its content, hexadecimal; of a folder, that of its files' names and sizes.
    pub blake3: String,
    /// Bytes.
    pub bytes: u64,
}

impl Digested {
    /// The file at `full`, called `name`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(name: &str, full: &Path) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let bytes = if full.is_dir() { listing(full, full, &mut hasher)? } else { content(full, &mut hasher)? };
        Ok(Digested { path: name.to_string(), blake3: hasher.finalize().to_hex().to_string(), bytes })
    }
}

fn content(file: &Path, hasher: &mut blake3::Hasher) -> Result<u64> {
    let (mut open, _) = crate::regular::open(file)?;
    let (mut block, mut total) = (Vec::new(), 0);
    loop {
        block.clear();
        // As much as there is, up to a block: a small file needs no room for a large one.
        let read = open.by_ref().take(BLOCK as u64).read_to_end(&mut block).map_err(|e| Error::io(file, &e))?;
        if read == 0 {
            return Ok(total);
        }
        hasher.update_rayon(&block);
        total += read as u64;
    }
}

fn listing(root: &Path, folder: &Path, hasher: &mut blake3::Hasher) -> Result<u64> {
    let mut paths = crate::regular::entries(folder)?;
    paths.sort();
    let mut total = 0;
    for path in paths {
        let about = std::fs::symlink_metadata(&path).map_err(|e| Error::io(&path, &e))?;
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes();
        hasher.update(name).update(&[0]).update(&about.len().to_le_bytes());
        total += if about.is_dir() { listing(root, &path, hasher)? } else { about.len() };
    }
    Ok(total)
}

/// Adds a weight to a digest: name, type, shape, bytes.
///
/// # Errors
/// Where it cannot be read.
pub fn weight(hasher: &mut blake3::Hasher, name: &str, tensor: &candle_core::Tensor) -> Result<()> {
    hasher.update(format!("{name}\0{:?}\0{:?}\0", tensor.dtype(), tensor.dims()).as_bytes());
    let tensor = tensor.contiguous()?;
    match tensor.dtype() {
        DType::F64 => feed(hasher, &values::<f64>(&tensor)?, f64::to_le_bytes),
        DType::F32 => feed(hasher, &values::<f32>(&tensor)?, f32::to_le_bytes),
        _ => feed(hasher, &to_f32(&tensor)?, f32::to_le_bytes),
    }
    Ok(())
}

/// Hashes values block by block: a copy of all of them can be large.
pub fn feed<T: Copy, const N: usize>(hasher: &mut blake3::Hasher, values: &[T], bytes: fn(T) -> [u8; N]) {
    let mut block = vec![0; (values.len() * N).min(BLOCK)];
    for part in values.chunks(BLOCK / N) {
        block.truncate(part.len() * N);
        block.chunks_exact_mut(N).zip(part).for_each(|(to, v)| to.copy_from_slice(&bytes(*v)));
        hasher.update_rayon(&block);
    }
}

/// BLAKE3 of `bytes`, hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The architecture and system that this program was built for: results are the same bits on the same kind of machine.
pub fn machine() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
