//! PyTorch checkpoints: zip files (`torch.save` since 1.6), the older stream of pickles, and pickled NumPy arrays.
//!
//! The pickles are read as data ([`super::pickle`]): nothing in a checkpoint is executed. This reader is for all forms, because
//! candle cannot read the older ones and its reader of zip files reads a checkpoint in a folder as an empty net.

use safetensors::Dtype;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use super::pickle::{Id, Object, Pickle};
use super::tensors::{Bytes, Tensors, View};
use super::{foreign, state_dict};
use crate::error::{Context, Error, Result};
use crate::limits::UNPACKED;
use crate::zipped;

/// The number with which the older stream begins, lowest byte first: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Where a storage's values are and what they are.
pub struct Storage {
    /// What holds them.
    pub bytes: Bytes,
    /// Their place in it.
    pub range: Range<usize>,
    /// Their kind of number.
    pub dtype: Dtype,
}

/// A pickle's description of a storage.
pub struct StorageRef {
    /// Its kind of number.
    pub dtype: Dtype,
    /// Its name in the file.
    pub key: String,
    /// How many values it holds.
    pub len: usize,
    /// The first value where the storage is itself a view of `key`.
    pub from: usize,
}

fn damaged(e: &dyn std::fmt::Display) -> Error {
    Error::format(format!("not a whole zip file: {e}")).hint("the file is cut short or damaged; get it again")
}

/// The tensors of a zip checkpoint; `key` names one of several state_dicts in it.
///
/// # Errors
/// Where it is damaged, holds a whole module (code) instead of a state_dict, or is no checkpoint.
pub fn read_zip(bytes: &Bytes, key: Option<&str>) -> Result<Tensors> {
    let mut zip = zipped::open(bytes)?;
    let names: Vec<String> = zip.file_names().filter_map(|n| Some(n.ok()?.into_owned())).collect();
    if let Some(what) = foreign::archive(names.iter().map(String::as_str)) {
        return Err(what);
    }
    let Some(root) = names.iter().find_map(|n| n.strip_suffix("data.pkl").filter(|r| r.is_empty() || r.ends_with('/')))
    else {
        return Err(Error::format("a zip file without a PyTorch checkpoint in it")
            .hint("give the file that torch.save(net.state_dict(), ..) wrote"));
    };
    let mut room = UNPACKED.most();
    let mut entry = |name: &str, most: u64| -> Result<(Bytes, Range<usize>)> {
        let mut file = zip.by_name(name).map_err(|_| Error::format(format!("no entry `{name}` in the checkpoint")))?;
        let size = file.size();
        if size > most {
            return Err(Error::format(format!("entry `{name}` holds {size} bytes, at most {most} were expected")));
        }
        let start = file.data_start().and_then(|s| usize::try_from(s).ok());
        if let (zip::CompressionMethod::Stored, Some(start)) = (file.compression(), start) {
            return Ok((bytes.clone(), start..start.saturating_add(size as usize)));
        }
        if size > room {
            return Err(UNPACKED.exceeded(Some(size)).context(format!("entry `{name}`")));
        }
        let mut block = Vec::new();
        file.by_ref().take(size).read_to_end(&mut block).map_err(|e| damaged(&e))?;
        room -= block.len() as u64;
        let range = 0..block.len();
        Ok((Bytes::Owned(Arc::new(block)), range))
    };
    if let Ok((order, range)) = entry(&format!("{root}byteorder"), 16)
        && order.get(range) != Some(b"little")
    {
        return Err(Error::unsupported("a checkpoint written on a big-endian machine"));
    }
    let (stream, range) = entry(&format!("{root}data.pkl"), u64::MAX)?;
    let stream = stream.get(range).ok_or_else(|| damaged(&"data.pkl lies beyond its end"))?;
    let pickle = Pickle::read(stream)?;
    let mut storages = BTreeMap::new();
    for storage in storage_refs(&pickle)?.into_values() {
        let most = (storage.len as u64).saturating_mul(dtype_size(storage.dtype) as u64);
        let (bytes, range) = entry(&format!("{root}data/{}", storage.key), most.max(1 << 16))?;
        storages.insert(storage.key, Storage { bytes, range, dtype: storage.dtype });
    }
    state_dict::read(&pickle, &storages, key)
}

/// The tensors of an older checkpoint (a stream of pickles and then the raw storages).
///
/// # Errors
/// As [`read_zip`].
pub fn read_legacy(bytes: &Bytes, key: Option<&str>) -> Result<Tensors> {
    let mut at = 0;
    let mut next = || -> Result<(Pickle, usize)> {
        let pickle = Pickle::read(&bytes[at..])?;
        at += pickle.len;
        Ok((pickle, at))
    };
    let (magic, _) = next()?;
    if *magic.get(magic.root()) != Object::Long(MAGIC.to_vec()) {
        return Err(Error::format(format!("a pickle of {}, not a PyTorch checkpoint", magic.kind(magic.root())))
            .hint("weights are read from .safetensors and from what torch.save(net.state_dict(), ..) writes"));
    }
    next()?;
    next()?;
    let (pickle, _) = next()?;
    let (keys, mut at) = next()?;
    let mut refs = storage_refs(&pickle)?;
    let mut storages = BTreeMap::new();
    let cut = || Error::format("the checkpoint ends within its values").hint("the file is cut short; get it again");
    for key in keys.items(keys.root()).unwrap_or_default() {
        let key = keys.text(*key).ok_or_else(|| Error::format("a storage's key is no string"))?;
        let about = refs.remove(key).ok_or_else(|| Error::format(format!("storage `{key}` is used by nothing")))?;
        let count = bytes.get(at..at + 8).ok_or_else(cut)?;
        let count = count.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(dtype_size(about.dtype))).ok_or_else(cut)?;
        let start = at + 8;
        at = start.checked_add(len).filter(|end| *end <= bytes.len()).ok_or_else(cut)?;
        storages.insert(about.key, Storage { bytes: bytes.clone(), range: start..at, dtype: about.dtype });
    }
    state_dict::read(&pickle, &storages, key)
}

/// The arrays of a pickled dictionary from names to lists of NumPy arrays (or single ones), in the lists' order.
///
/// # Errors
/// Where it is damaged or holds anything else.
pub fn read_arrays(bytes: &Bytes) -> Result<BTreeMap<String, Vec<View>>> {
    let pickle = Pickle::read(bytes)?;
    let Object::Dict(entries) = pickle.get(pickle.root()) else {
        return Err(Error::format(format!("a pickle of {}, not of a dict of arrays", pickle.kind(pickle.root()))));
    };
    let mut arrays = BTreeMap::new();
    for (key, value) in entries {
        let name = pickle.text(*key).ok_or_else(|| Error::format("a key of the dict is no string"))?;
        let items = match pickle.get(*value) {
            Object::List(items) | Object::Tuple(items) => &items[..],
            _ => std::slice::from_ref(value),
        };
        let views = items.iter().map(|i| array(&pickle, *i, bytes)).collect::<Result<Vec<_>>>();
        arrays.insert(name.to_string(), views.context(|| format!("array `{name}`"))?);
    }
    Ok(arrays)
}

fn array(pickle: &Pickle, id: Id, bytes: &Bytes) -> Result<View> {
    let wrong = || Error::format(format!("{} is no plain NumPy array", pickle.kind(id)));
    let Object::Call { state: Some(state), .. } = pickle.get(id) else { return Err(wrong()) };
    let named = pickle.call(id).is_some_and(|(name, _)| name.starts_with("numpy.") && name.ends_with("._reconstruct"));
    let Some([_, shape, dtype, fortran, data]) = pickle.items(*state).filter(|_| named) else { return Err(wrong()) };
    let (Some(shape), Some(("numpy.dtype", [code, ..]))) = (pickle.sizes(*shape), pickle.call(*dtype)) else {
        return Err(wrong());
    };
    let little = match pickle.get(*dtype) {
        Object::Call { state: Some(state), .. } => {
            pickle.items(*state).and_then(|s| pickle.text(*s.get(1)?)).is_some_and(|order| order != ">")
        }
        _ => false,
    };
    let dtype = match pickle.text(*code) {
        Some("f4") => Dtype::F32,
        Some("f8") => Dtype::F64,
        Some("f2") => Dtype::F16,
        other => return Err(Error::unsupported(format!("an array of type {other:?}"))),
    };
    let (Object::Bool(fortran), Object::Bytes(range)) = (pickle.get(*fortran), pickle.get(*data)) else {
        return Err(wrong());
    };
    if !little {
        return Err(Error::unsupported("an array of big-endian numbers"));
    }
    if !fortran {
        return View::dense(bytes.clone(), range.clone(), dtype, shape);
    }
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let axes: Vec<usize> = (0..shape.len()).rev().collect();
    Ok(View::dense(bytes.clone(), range.clone(), dtype, reversed)?.permuted(&axes))
}

/// Every storage that the pickle refers to, by key.
fn storage_refs(pickle: &Pickle) -> Result<BTreeMap<String, StorageRef>> {
    let mut all: BTreeMap<String, StorageRef> = BTreeMap::new();
    for key in pickle.persistent() {
        let one = StorageRef::read(pickle, key)?;
        match all.get_mut(&one.key) {
            Some(known) => known.len = known.len.max(one.len),
            None => drop(all.insert(one.key.clone(), one)),
        }
    }
    Ok(all)
}

impl StorageRef {
    /// From `("storage", torch.FloatStorage, key, device, length[, (view's key, offset, length) or None])`.
    ///
    /// # Errors
    /// Where it is anything else, or its kind of number is not known.
    pub fn read(pickle: &Pickle, key: Id) -> Result<Self> {
        let wrong = || Error::format("a reference to something outside the pickle that is no storage");
        let [tag, kind, key, _, len, rest @ ..] = pickle.items(key).ok_or_else(wrong)? else { return Err(wrong()) };
        let (Some("storage"), Object::Global(kind)) = (pickle.text(*tag), pickle.get(*kind)) else {
            return Err(wrong());
        };
        let (Some(key), Some(len)) = (pickle.text(*key), pickle.size(*len)) else { return Err(wrong()) };
        let dtype = match kind.as_str() {
            "torch.FloatStorage" => Dtype::F32,
            "torch.DoubleStorage" => Dtype::F64,
            "torch.HalfStorage" => Dtype::F16,
            "torch.BFloat16Storage" => Dtype::BF16,
            "torch.LongStorage" => Dtype::I64,
            "torch.IntStorage" => Dtype::I32,
            "torch.ShortStorage" => Dtype::I16,
            "torch.CharStorage" => Dtype::I8,
            "torch.ByteStorage" => Dtype::U8,
            "torch.BoolStorage" => Dtype::BOOL,
            other => return Err(Error::unsupported(format!("values of type `{other}`"))),
        };
        let from = rest.first().and_then(|view| pickle.size(*pickle.items(*view)?.get(1)?)).unwrap_or(0);
        Ok(StorageRef { dtype, key: key.to_string(), len, from })
    }
}

fn dtype_size(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}
