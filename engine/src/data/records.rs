//! Data sets of small images in one file: CIFAR-10's binary version, and IDX (MNIST and its like, gzipped or not).
//!
//! Images are read from the file when they are needed; only labels (and gzipped files) are held in memory.

use super::dataset::{Dataset, Generator};
use super::image::{Attribute, Image};
use crate::error::{Context, Error, Result};
use crate::limits::{RECORDS, TEXT, UNPACKED};
use crate::regular;
use flate2::read::MultiGzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const CIFAR: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// A label's byte and 32 x 32 pixels, red, then green, then blue.
const CIFAR_RECORD: usize = 1 + 3 * 32 * 32;

/// The bytes of a file, held in memory or read when needed.
enum Bytes {
    Held(Vec<u8>),
    File(Mutex<File>),
}

impl Bytes {
    fn read(&self, from: u64, length: usize) -> Result<Vec<u8>> {
        let missing = || Error::format("the file ends too early").hint("is a download or a copy unfinished?");
        match self {
            Bytes::Held(all) => {
                let from = usize::try_from(from).map_err(|_| missing())?;
                let end = from.checked_add(length).ok_or_else(missing)?;
                all.get(from..end).map(<[u8]>::to_vec).ok_or_else(missing)
            }
            Bytes::File(file) => {
                let mut file = file.lock().map_err(|_| Error::internal("a reader of records failed"))?;
                let held = file.metadata().map_or(0, |about| about.len());
                if from.checked_add(length as u64).is_none_or(|end| end > held) {
                    return Err(missing());
                }
                let mut out = vec![0; length];
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
    count: usize,
    /// The number of each image's class, where they are known.
    classes: Option<Vec<u8>>,
    /// The classes' names; their numbers where there are none.
    names: Vec<String>,
}

impl Records {
    fn label(&self, index: usize) -> Option<String> {
        let class = usize::from(*self.classes.as_ref()?.get(index)?);
        Some(self.names.get(class).cloned().unwrap_or_else(|| class.to_string()))
    }
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
            if index < records.count {
                return Some((records, index));
            }
            index -= records.count;
        }
        None
    }
}

impl Generator for Together {
    fn len(&self) -> usize {
        self.0.iter().map(|r| r.count).sum()
    }

    fn label(&self, index: usize) -> Option<String> {
        self.at(index).and_then(|(r, i)| r.label(i))
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
        Ok(Image::new(w, h, pixels)?.with_label(records.label(i)))
    }

    fn labels(&self) -> Vec<String> {
        let mut all = BTreeSet::new();
        for records in &self.0 {
            let classes: BTreeSet<u8> = records.classes.iter().flatten().copied().collect();
            let name = |class: u8| records.names.get(usize::from(class)).cloned().unwrap_or_else(|| class.to_string());
            all.extend(classes.into_iter().map(name));
        }
        all.into_iter().collect()
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
    let mut all = Together(all);
    if let Some(names) = all.0.iter().all(|r| r.shape[2] == 3).then(|| meta(&files[0])).flatten() {
        all.0.iter_mut().for_each(|r| r.names.clone_from(&names));
    }
    let notes = all.0.iter().filter_map(|r| {
        let file = r.path.file_name().unwrap_or_default().to_string_lossy();
        r.classes.is_none().then(|| format!("no file of labels beside `{file}`"))
    });
    let notes = notes.collect();
    Ok(Dataset::generated(name, Arc::new(all)).with_notes(notes))
}

/// The class names in a `batches.meta.txt` beside CIFAR's batches.
fn meta(file: &Path) -> Option<Vec<String>> {
    let text = regular::read_text(&file.parent()?.join("batches.meta.txt"), |bytes| TEXT.check(bytes)).ok()?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_string).collect();
    (names.len() == 10).then_some(names)
}

fn open(path: &Path) -> Result<Records> {
    let (mut file, length) = regular::open(path)?;
    let mut head = [0u8; 4];
    let got = file.read(&mut head).map_err(|e| Error::io(path, &e))?;
    file.rewind().map_err(|e| Error::io(path, &e))?;
    if got == 4 && head[..2] == PACKED {
        return idx(path, Bytes::Held(unpacked(file)?));
    }
    if got == 4 && head[..3] == [0, 0, 8] {
        return idx(path, Bytes::File(Mutex::new(file)));
    }
    if length == 0 || !length.is_multiple_of(CIFAR_RECORD as u64) {
        return Err(Error::format(format!(
            "neither IDX nor CIFAR-10: {length} bytes are no whole number of {CIFAR_RECORD}"
        )));
    }
    cifar(path, file, length / CIFAR_RECORD as u64)
}

/// How gzip's files begin.
pub(super) const PACKED: [u8; 2] = [0x1f, 0x8b];

/// The unpacked bytes of a gzip stream, within the limit.
pub(super) fn unpacked(packed: impl Read) -> Result<Vec<u8>> {
    let most = UNPACKED.most();
    let mut held = Vec::new();
    let read = MultiGzDecoder::new(packed).take(most + 1).read_to_end(&mut held);
    read.map_err(|e| Error::format(format!("damaged gzip: {e}")))?;
    if held.len() as u64 > most {
        return Err(UNPACKED.exceeded(None));
    }
    Ok(held)
}

fn cifar(path: &Path, file: File, count: u64) -> Result<Records> {
    RECORDS.check(count)?;
    let count = usize::try_from(count).map_err(|_| RECORDS.exceeded(Some(count)))?;
    let mut classes = Vec::with_capacity(count);
    let mut record = vec![0u8; CIFAR_RECORD];
    let mut reader = std::io::BufReader::with_capacity(1 << 16, &file);
    for i in 0..count {
        reader.read_exact(&mut record).map_err(|e| Error::io(path, &e))?;
        if usize::from(record[0]) >= CIFAR.len() {
            return Err(Error::format(format!("record {i} has class {}, CIFAR-10 has 10", record[0])));
        }
        classes.push(record[0]);
    }
    Ok(Records {
        path: path.to_path_buf(),
        bytes: Bytes::File(Mutex::new(file)),
        first: 1,
        apart: CIFAR_RECORD as u64,
        shape: [32, 32, 3],
        count,
        classes: Some(classes),
        names: CIFAR.map(str::to_string).to_vec(),
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
    if count > 0 {
        bytes.read(16 + ((count - 1) as u64).saturating_mul((w * h) as u64), w * h)?;
    }
    let classes = idx_labels(path, count)?;
    Ok(Records {
        path: path.to_path_buf(),
        bytes,
        first: 16,
        apart: (w * h) as u64,
        shape: [w, h, 1],
        count,
        classes,
        names: Vec::new(),
    })
}

/// The labels in the file that is called as the images', with labels-idx1 for images-idx3, gzipped or not whatever the
/// images are; none where there is no such file.
fn idx_labels(path: &Path, count: usize) -> Result<Option<Vec<u8>>> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let own = name.replace("images", "labels").replace("idx3", "idx1");
    if own == name {
        return Ok(None);
    }
    let bare = own.strip_suffix(".gz").unwrap_or(&own);
    let tries = [own.clone(), bare.to_string(), format!("{bare}.gz")].map(|n| path.with_file_name(n));
    let Some(beside) = tries.into_iter().find(|p| p.is_file()) else { return Ok(None) };
    let at = || format!("`{}`", beside.display());
    let raw = regular::read(&beside, |bytes| RECORDS.check(bytes))?;
    let bytes = if raw.starts_with(&PACKED) { unpacked(&raw[..]).context(at)? } else { raw };
    if !bytes.starts_with(&[0, 0, 8, 1]) || bytes.len() != 8 + count {
        return Err(Error::format(format!("`{}` does not hold a label for each of {count} images", beside.display())));
    }
    Ok(Some(bytes[8..].to_vec()))
}
