//! Reads and writes NumPy's `.npy` files (format versions 1, 2 and 3 of `numpy.lib.format`).
//!
//! Numbers of any width and either byte order are read into f32 tensors; C and Fortran order; written is f32 in C
//! order. Damaged headers, data that is too short or too long, and arrays of objects are errors.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::digest::{digest, feed};
use crate::error::{Context, Error, Result};
use crate::limits::{ARRAY, AXES};
use crate::tensor::values;
use crate::{reads, regular};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Reads a tensor from a `.npy` file as f32, with the shape that the file has.
pub fn load_tensor(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    let bytes = regular::read(path, |bytes| ARRAY.check(bytes))?;
    let tensor = read(&bytes).context(|| format!("`{}`", path.display()))?;
    reads::note_content(path, || content_digest(&tensor));
    Ok(tensor)
}

/// `array:` and a digest of a tensor's shape and values, whatever file they came from; none where its values cannot be read.
pub fn content_digest(tensor: &Tensor) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    feed(&mut hasher, &values::<f32>(tensor).ok()?, f32::to_le_bytes);
    let text = format!("{:?} {}", tensor.dims(), hasher.finalize().to_hex());
    Some(format!("array:{}", digest(text.as_bytes())))
}

/// Writes a tensor as an f32 `.npy` file, whole or not at all.
pub fn save_tensor(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    crate::atomic::write(path, &write(tensor)?)
}

/// The tensor in the bytes of a `.npy` file, as f32.
pub fn read(bytes: &[u8]) -> Result<Tensor> {
    let (header, data) = split(bytes)?;
    let header = Header::parse(header)?;
    let count = header.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let fits = count.and_then(|n| n.checked_mul(header.kind.width())).is_some_and(|n| n == data.len());
    let Some(count) = count.filter(|_| fits) else {
        return Err(Error::format(format!(
            "a .npy array of shape {:?} and type `{}` does not fit {} bytes of data",
            header.shape,
            header.descr,
            data.len()
        ))
        .hint("is a download or a copy unfinished?"));
    };
    ARRAY.check(4 * count as u64)?;
    let mut values = Vec::with_capacity(count);
    values.extend(data.chunks_exact(header.kind.width()).map(|bytes| header.kind.value(bytes, header.big)));
    if !header.fortran {
        return Ok(Tensor::from_vec(values, header.shape, &Device::Cpu)?);
    }
    let reversed: Vec<usize> = header.shape.iter().rev().copied().collect();
    let axes: Vec<usize> = (0..reversed.len()).rev().collect();
    Ok(Tensor::from_vec(values, reversed, &Device::Cpu)?.permute(axes)?.contiguous()?)
}

/// The bytes of a `.npy` file (version 1, little-endian f32, C order) for a tensor.
pub fn write(tensor: &Tensor) -> Result<Vec<u8>> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let shape: String = match tensor.dims() {
        [one] => format!("({one},)"),
        dims => format!("({})", dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let padding = 63 - (MAGIC.len() + 4 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| Error::unsupported(format!("a tensor of {} axes in a .npy file", tensor.rank())))?;
    let mut bytes = Vec::with_capacity(10 + header.len() + 4 * values.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
    Ok(bytes)
}

/// Header text and data of a file.
fn split(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let damaged = || Error::format("a .npy file with a damaged header");
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(Error::format("not a .npy file").hint("numpy.save writes one; .npz archives hold several"));
    };
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [major, minor, ..] if !(1..=3).contains(major) => {
            return Err(Error::unsupported(format!("version {major}.{minor} of the .npy format")));
        }
        _ => return Err(damaged()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(damaged)?;
    Ok((std::str::from_utf8(header).map_err(|_| damaged())?, data))
}

struct Header<'a> {
    descr: &'a str,
    kind: Kind,
    big: bool,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Parses the Python dictionary of a header.
    fn parse(text: &'a str) -> Result<Self> {
        let damaged = |what: &str| Error::format(format!("a .npy file with a damaged header ({what})"));
        let value = |key: &str| {
            let quoted = [format!("'{key}'"), format!("\"{key}\"")];
            let after = quoted.iter().find_map(|k| text.split_once(k.as_str()).map(|(_, rest)| rest))?;
            Some(after.trim_start().strip_prefix(':')?.trim_start())
        };
        let descr = value("descr").ok_or_else(|| damaged("no descr"))?;
        if descr.starts_with('[') {
            return Err(Error::unsupported("a .npy array of records").hint("save its columns one by one"));
        }
        let quote = descr.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(|| damaged("descr"))?;
        let (descr, _) = descr[1..].split_once(quote).ok_or_else(|| damaged("descr"))?;
        let (big, kind) = match descr.strip_prefix(['<', '=', '|']) {
            Some(kind) => (false, kind),
            None => (descr.starts_with('>'), descr.trim_start_matches('>')),
        };
        let kind = Kind::named(kind).ok_or_else(|| {
            Error::unsupported(format!("a .npy array of type `{descr}`"))
                .hint("save it as float32: a.astype('float32')")
        })?;
        let fortran = match value("fortran_order") {
            Some(v) if v.starts_with("True") => true,
            Some(v) if v.starts_with("False") => false,
            _ => return Err(damaged("fortran_order")),
        };
        let shape =
            value("shape").and_then(|v| v.strip_prefix('(')?.split_once(')')).ok_or_else(|| damaged("shape"))?;
        let numbers = shape.0.split(',').map(str::trim).filter(|n| !n.is_empty());
        let shape = numbers.map(|n| n.parse().map_err(|_| damaged("shape"))).collect::<Result<Vec<usize>>>()?;
        if shape.len() > AXES {
            return Err(damaged("shape"));
        }
        Ok(Header { descr, kind, big, fortran, shape })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Int(usize),
    Unsigned(usize),
    Float(usize),
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "b1" => Kind::Bool,
            "i1" | "i2" | "i4" | "i8" => Kind::Int(usize::from(name.as_bytes()[1] - b'0')),
            "u1" | "u2" | "u4" | "u8" => Kind::Unsigned(usize::from(name.as_bytes()[1] - b'0')),
            "f4" => Kind::Float(4),
            "f8" => Kind::Float(8),
            _ => return None,
        })
    }

    fn width(self) -> usize {
        match self {
            Kind::Bool => 1,
            Kind::Int(n) | Kind::Unsigned(n) | Kind::Float(n) => n,
        }
    }

    fn value(self, bytes: &[u8], big: bool) -> f32 {
        let join = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
        let bits = if big { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
        let unused = 64 - 8 * self.width() as u32;
        match self {
            Kind::Bool => f32::from(u8::from(bits != 0)),
            Kind::Int(_) => ((bits << unused) as i64 >> unused) as f32,
            Kind::Unsigned(_) => bits as f32,
            Kind::Float(4) => f32::from_bits(bits as u32),
            Kind::Float(_) => f64::from_bits(bits) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn header(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    fn values(bytes: &[u8]) -> Vec<f32> {
        read(bytes).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_tensor_comes_back_bit_for_bit() {
        for dims in [vec![], vec![3], vec![2, 3, 4], vec![0, 5]] {
            let n: usize = dims.iter().product();
            let data: Vec<f32> = (0..n).map(|i| i as f32 * 0.1 - 1.0).collect();
            let tensor = Tensor::from_vec(data.clone(), dims.clone(), &Device::Cpu).unwrap();
            let bytes = write(&tensor).unwrap();
            assert_eq!((bytes.len() - 4 * n) % 64, 0);
            assert_eq!(read(&bytes).unwrap().dims(), dims);
            assert_eq!(values(&bytes), data);
        }
    }

    #[test]
    fn every_number_type_order_and_version_is_read() {
        let bytes: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(values(&file(1, &header("<f8", "False", "(2,)"), &bytes)), [1.5, -2.0]);
        let bytes: Vec<u8> = [-7i64, 9].iter().flat_map(|v| v.to_be_bytes()).collect();
        assert_eq!(values(&file(2, &header(">i8", "False", "(2,)"), &bytes)), [-7.0, 9.0]);
        assert_eq!(values(&file(3, &header("|u1", "False", "(3,)"), &[0, 200, 255])), [0.0, 200.0, 255.0]);
        assert_eq!(values(&file(1, &header("<i2", "False", "(1,)"), &[0xFE, 0xFF])), [-2.0]);
        assert_eq!(values(&file(1, &header("|b1", "False", "(2,)"), &[0, 1])), [0.0, 1.0]);
        assert_eq!(values(&file(1, &header("|u1", "True", "(2, 3)"), &[1, 4, 2, 5, 3, 6])), [1., 2., 3., 4., 5., 6.]);
    }

    #[test]
    fn damage_is_an_error_with_its_reason() {
        for (bytes, part) in [
            (b"PK\x03\x04".to_vec(), "not a .npy file"),
            (b"\x93NUMPY\x01".to_vec(), "damaged header"),
            (b"\x93NUMPY\x01\0\xff\xff{".to_vec(), "damaged header"),
            (b"\x93NUMPY\x07\0\0\0".to_vec(), "version 7.0"),
            (file(1, "{}", &[]), "no descr"),
            (file(1, &header("|O", "False", "(1,)"), &[0]), "type `|O`"),
            (file(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", &[0; 4]), "records"),
            (file(1, &header("<f4", "Maybe", "(1,)"), &[0; 4]), "fortran_order"),
            (file(1, &header("<f4", "False", "(-1,)"), &[0; 4]), "shape"),
            (file(1, &header("<f4", "False", "(2,)"), &[0; 4]), "does not fit 4 bytes"),
            (file(1, &header("<f4", "False", "(1,)"), &[0; 5]), "does not fit 5 bytes"),
            (file(1, &header("<f8", "False", "(9999999999, 9999999999, 4)"), &[0; 8]), "does not fit 8 bytes"),
        ] {
            let message = read(&bytes).unwrap_err().message;
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn a_file_is_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let tensor = Tensor::from_vec(vec![1f32, 2.0, 3.0, 4.0], (2, 2), &Device::Cpu).unwrap();
        save_tensor(&path, &tensor).unwrap();
        assert_eq!(load_tensor(&path).unwrap().to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
        let error = load_tensor(folder.path().join("y.npy")).unwrap_err();
        assert!(error.message.contains("no such file"), "{error}");
    }
}
