//! Data sets of small images in one file: CIFAR-10's binary version, and IDX (MNIST and its like, gzipped or not).
//!
//! Images are read from the file when they are asked for; only labels (and what is gzipped) are held.

use super::dataset::{Dataset, Generator};
use super::image::{Attribute, Image};
use crate::error::{Context, Error, Result};
use flate2::read::GzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const CIFAR: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// A label's byte and 32 x 32 pixels, red, then green, then blue.
const CIFAR_RECORD: usize = 1 + 3 * 32 * 32;

/// The bytes of a file, held or read when asked for.
enum Bytes {
    Held(Vec<u8>),
    File(Mutex<File>),
}

impl Bytes {
    fn read(&self, from: u64, length: usize) -> Result<Vec<u8>> {
        let missing = || Error::format("the file ends too early").hint("is a download or a copy unfinished?");
        match self {
            Bytes::Held(all) => all.get(from as usize..from as usize + length).map(<[u8]>::to_vec).ok_or_else(missing),
            Bytes::File(file) => {
                let mut out = vec![0; length];
                let mut file = file.lock().map_err(|_| Error::internal("a reader of records failed"))?;
                let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut out));
                read.map(|()| out).map_err(|_| missing())
            }
        }
    }
}

/// One file of records.
struct Records {
    path: PathBuf,
    bytes: Bytes,
    /// Where the first image begins, and how far the next is.
    first: u64,
    apart: u64,
    /// Width, height, 1 or 3 planes.
    shape: [usize; 3],
    /// The name of each image's class.
    labels: Vec<Option<String>>,
}

/// Files of records, one after the other.
struct Together(Vec<Records>);

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|r| &r.path)).finish()
    }
}

impl Together {
    fn at(&self, mut index: usize) -> Option<(&Records, usize)> {
        for records in &self.0 {
            if index < records.labels.len() {
                return Some((records, index));
            }
            index -= records.labels.len();
        }
        None
    }
}

impl Generator for Together {
    fn len(&self) -> usize {
        self.0.iter().map(|r| r.labels.len()).sum()
    }

    fn label(&self, index: usize) -> Option<String> {
        self.at(index).and_then(|(r, i)| r.labels[i].clone())
    }

    fn attributes(&self, _: usize) -> BTreeMap<String, Attribute> {
        BTreeMap::new()
    }

    fn image(&self, index: usize) -> Result<Image> {
        let (records, i) = self.at(index).ok_or_else(|| Error::not_found(format!("no image {index}")))?;
        let [w, h, planes] = records.shape;
        let bytes = records
            .bytes
            .read(records.first + i as u64 * records.apart, w * h * planes)
            .context(|| format!("image {i} of `{}`", records.path.display()))?;
        let pixels = (0..w * h).flat_map(|p| [0, 1, 2].map(|c| bytes[(c % planes) * w * h + p])).collect();
        Ok(Image::new(w, h, pixels)?.with_label(records.labels[i].clone()))
    }

    fn labels(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.0.iter().flat_map(|r| r.labels.iter().flatten()).collect();
        all.into_iter().cloned().collect()
    }
}

/// Whether a file's name says that it holds records.
pub(super) fn is_records(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with(".bin") || name.ends_with("-ubyte") || name.ends_with(".idx") || name.contains("idx3")
}

/// The data set in files of records.
///
/// # Errors
/// Where a file cannot be read or is neither CIFAR-10 nor IDX; the message names it.
pub fn records(name: String, files: &[PathBuf]) -> Result<Dataset> {
    let all: Vec<Records> =
        files.iter().map(|f| open(f).context(|| format!("`{}`", f.display()))).collect::<Result<_>>()?;
    let names = all.iter().all(|r| r.shape[2] == 3).then(|| meta(&files[0])).flatten();
    let mut all = Together(all);
    if let Some(names) = names {
        for label in all.0.iter_mut().flat_map(|r| r.labels.iter_mut()).flatten() {
            let at = CIFAR.iter().position(|c| c == label);
            if let Some(own) = at.and_then(|i| names.get(i)) {
                *label = own.clone();
            }
        }
    }
    Ok(Dataset::generated(name, Arc::new(all)))
}

/// The class names in a `batches.meta.txt` beside CIFAR's batches.
fn meta(file: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file.parent()?.join("batches.meta.txt")).ok()?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_string).collect();
    (names.len() == 10).then_some(names)
}

fn open(path: &Path) -> Result<Records> {
    let mut file = File::open(path).map_err(|e| Error::io(path, &e))?;
    let mut head = [0u8; 4];
    let got = file.read(&mut head).map_err(|e| Error::io(path, &e))?;
    let length = file.metadata().map_err(|e| Error::io(path, &e))?.len();
    file.rewind().map_err(|e| Error::io(path, &e))?;
    if got == 4 && head[..2] == [0x1f, 0x8b] {
        let mut held = Vec::new();
        GzDecoder::new(file).read_to_end(&mut held).map_err(|e| Error::format(format!("damaged gzip: {e}")))?;
        return idx(path, Bytes::Held(held));
    }
    if got == 4 && head[..3] == [0, 0, 8] {
        return idx(path, Bytes::File(Mutex::new(file)));
    }
    if length == 0 || !length.is_multiple_of(CIFAR_RECORD as u64) {
        return Err(Error::format(format!(
            "neither IDX nor CIFAR-10: {length} bytes are no whole number of {CIFAR_RECORD}"
        )));
    }
    cifar(path, file, (length / CIFAR_RECORD as u64) as usize)
}

fn cifar(path: &Path, mut file: File, count: usize) -> Result<Records> {
    let mut labels = Vec::with_capacity(count);
    let mut record = vec![0u8; CIFAR_RECORD];
    for i in 0..count {
        file.read_exact(&mut record).map_err(|e| Error::io(path, &e))?;
        let name = CIFAR.get(usize::from(record[0]));
        labels.push(Some(
            name.ok_or_else(|| Error::format(format!("record {i} has class {}, CIFAR-10 has 10", record[0])))?
                .to_string(),
        ));
    }
    let (first, apart) = (1, CIFAR_RECORD as u64);
    Ok(Records {
        path: path.to_path_buf(),
        bytes: Bytes::File(Mutex::new(file)),
        first,
        apart,
        shape: [32, 32, 3],
        labels,
    })
}

fn idx(path: &Path, bytes: Bytes) -> Result<Records> {
    let head = bytes.read(0, 16)?;
    let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| head[at + i])) as usize;
    if head[..4] != [0, 0, 8, 3] {
        return Err(Error::format(format!("IDX data of {} axes; images have 3 axes of bytes", head[3]))
            .hint("name the file of images; the labels' file beside it is found by its name"));
    }
    let [count, h, w] = [4, 8, 12].map(number);
    Image::check_size(w, h)?;
    bytes.read(16 + (count.saturating_sub(1) * w * h) as u64, if count > 0 { w * h } else { 0 })?;
    let labels = idx_labels(path, count)?;
    Ok(Records { path: path.to_path_buf(), bytes, first: 16, apart: (w * h) as u64, shape: [w, h, 1], labels })
}

/// The labels in the file that is called as the images', with labels-idx1 for images-idx3; none where there is no such file.
fn idx_labels(path: &Path, count: usize) -> Result<Vec<Option<String>>> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let own = name.replace("images", "labels").replace("idx3", "idx1");
    let beside = path.with_file_name(&own);
    if own == name || !beside.is_file() {
        return Ok(vec![None; count]);
    }
    let raw = std::fs::read(&beside).map_err(|e| Error::io(&beside, &e))?;
    let mut bytes = Vec::new();
    match raw.starts_with(&[0x1f, 0x8b]) {
        true => {
            GzDecoder::new(&raw[..]).read_to_end(&mut bytes).map(|_| ()).map_err(|e| Error::format(e.to_string()))?
        }
        false => bytes = raw,
    }
    if !bytes.starts_with(&[0, 0, 8, 1]) || bytes.len() != 8 + count {
        return Err(Error::format(format!("`{}` does not hold a label for each of {count} images", beside.display())));
    }
    Ok(bytes[8..].iter().map(|l| Some(l.to_string())).collect())
}
