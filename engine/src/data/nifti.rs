//! Reads NIfTI-1 and NIfTI-2 files (`.nii`): the header by the fields' offsets of nifti1.h and nifti2.h, either byte order, the
//! affine map of the sform, else of the qform, else of the voxel sizes.

use super::volume::{Orientation, Volume};
use crate::error::{Error, Result};
use crate::limits::ARRAY;
use crate::tensor::tensor;

/// Where the fields of a header are.
struct Layout {
    dim: usize,
    datatype: usize,
    pixdim: usize,
    offset: usize,
    slope: usize,
    qform: usize,
    quaternion: usize,
    sform: usize,
    wide: bool,
}

const FIRST: Layout = Layout {
    dim: 40,
    datatype: 70,
    pixdim: 76,
    offset: 108,
    slope: 112,
    qform: 252,
    quaternion: 256,
    sform: 280,
    wide: false,
};
const SECOND: Layout = Layout {
    dim: 16,
    datatype: 12,
    pixdim: 104,
    offset: 168,
    slope: 176,
    qform: 344,
    quaternion: 352,
    sform: 400,
    wide: true,
};

/// The axes that a header has room for (nifti1.h, `dim`).
const MOST_AXES: i64 = 7;

/// The fields of a header: in wide ones counts are i64 and real numbers f64, else i16 and f32.
struct Header<'a> {
    bytes: &'a [u8],
    at: Layout,
    big: bool,
}

impl Header<'_> {
    fn raw<const N: usize>(&self, at: usize) -> [u8; N] {
        let field = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        let mut raw: [u8; N] = field.copied().unwrap_or([0; N]);
        if self.big {
            raw.reverse();
        }
        raw
    }

    fn short(&self, at: usize) -> i64 {
        i64::from(i16::from_le_bytes(self.raw(at)))
    }

    fn count(&self, at: usize, i: usize) -> i64 {
        if self.at.wide { i64::from_le_bytes(self.raw(at + 8 * i)) } else { self.short(at + 2 * i) }
    }

    fn real(&self, at: usize, i: usize) -> f64 {
        match self.at.wide {
            true => f64::from_le_bytes(self.raw(at + 8 * i)),
            false => f64::from(f32::from_le_bytes(self.raw(at + 4 * i))),
        }
    }

    /// A code that is i16 in narrow headers and i32 in wide ones.
    fn code(&self, at: usize, i: usize) -> i64 {
        if self.at.wide { i64::from(i32::from_le_bytes(self.raw(at + 4 * i))) } else { self.short(at + 2 * i) }
    }
}

/// The volume in the bytes of a NIfTI file: channels (a fourth or fifth axis of the file) x its first three axes, in their order.
///
/// # Errors
/// Where it is damaged, in two files, of complex numbers or colours, or has not three axes.
pub fn read(bytes: &[u8]) -> Result<Volume> {
    let header = header(bytes)?;
    let rank = header.count(header.at.dim, 0);
    if !(1..=MOST_AXES).contains(&rank) {
        return Err(
            Error::format(format!("a NIfTI file of {rank} axes")).hint("there are 1 to 7; is the header damaged?")
        );
    }
    let dims: Vec<usize> =
        (1..=rank).map_while(|i| usize::try_from(header.count(header.at.dim, i as usize)).ok()).collect();
    let rest = dims.get(3..).unwrap_or_default().iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let (Some(&[x, y, z]), Some(channels), true) = (dims.first_chunk(), rest, dims.len() as i64 == rank) else {
        return Err(Error::shape(format!("a NIfTI file of {dims:?} is no volume"))
            .hint("three axes are asked for; a fourth or fifth counts as channels"));
    };
    let code = header.short(header.at.datatype);
    let Some(kind) = Kind::of(code) else {
        return Err(Error::unsupported(format!("a NIfTI file of values of type {code}"))
            .hint("integers and real numbers are read; complex ones and colours: save a part of them by nibabel"));
    };
    let count = [x, y, z].iter().try_fold(channels, |n, d| n.checked_mul(*d));
    let offset = match header.at.wide {
        true => usize::try_from(header.count(header.at.offset, 0)).unwrap_or(usize::MAX),
        // An f32, so that a negative or huge one becomes a bound of usize.
        false => header.real(header.at.offset, 0) as usize,
    };
    let data = bytes.get(offset.max(header.bytes.len())..).unwrap_or_default();
    let needed = count.and_then(|n| n.checked_mul(kind.width()));
    let (Some(count), true) = (count.filter(|n| *n > 0), needed.is_some_and(|n| n <= data.len())) else {
        return Err(Error::format(format!(
            "a NIfTI file of {dims:?} values of {} bytes does not fit {} bytes of data",
            kind.width(),
            data.len()
        ))
        .hint("is a download or a copy unfinished?"));
    };
    ARRAY.check(8 * count as u64)?;
    let (slope, shift) = (header.real(header.at.slope, 0), header.real(header.at.slope, 1));
    // A slope of 0 says that values are as they stand.
    let (slope, shift) =
        if slope == 0.0 || !slope.is_finite() || !shift.is_finite() { (1.0, 0.0) } else { (slope, shift) };
    let value = |raw: &[u8]| (kind.value(raw, header.big) * slope + shift) as f32;
    let stored: Vec<f32> = data.chunks_exact(kind.width()).take(count).map(value).collect();
    // The file's first axis is the one whose neighbours are next to each other.
    let mut values = Vec::with_capacity(count);
    for c in 0..channels {
        for i in 0..x {
            for j in 0..y {
                values.extend((0..z).map(|k| stored[((c * z + k) * y + j) * x + i]));
            }
        }
    }
    let (affine, notes) = affine(&header);
    let spacing = [0, 1, 2].map(|a| {
        let [r, s, t] = [affine[0][a], affine[1][a], affine[2][a]];
        (r * r + s * s + t * t).sqrt()
    });
    Ok(Volume {
        values: tensor(values, &[channels, x, y, z])?,
        orientation: if notes.is_empty() { Orientation::of_affine(&affine) } else { None },
        spacing: Some(spacing).filter(|s| s.iter().all(|v| v.is_finite() && *v > 0.0)),
        name: String::new(),
        notes,
    })
}

/// The header, by its length and magic number.
fn header(bytes: &[u8]) -> Result<Header<'_>> {
    let Some(first) = bytes.first_chunk::<4>() else { return Err(Error::format("not a NIfTI file: it is empty")) };
    let (length, big, at) = match (i32::from_le_bytes(*first), i32::from_be_bytes(*first)) {
        (348, _) => (352, false, FIRST),
        (_, 348) => (352, true, FIRST),
        (540, _) => (544, false, SECOND),
        (_, 540) => (544, true, SECOND),
        _ => return Err(Error::format("not a NIfTI file").hint("nibabel.save(image, \"scan.nii.gz\") writes one")),
    };
    let Some(held) = bytes.get(..length) else { return Err(Error::format("a NIfTI file with a damaged header")) };
    match if at.wide { &held[4..8] } else { &held[344..348] } {
        b"n+1\0" | b"n+2\0" => Ok(Header { bytes: held, at, big }),
        b"ni1\0" | b"ni2\0" => Err(Error::unsupported("a NIfTI header whose values are in another file")
            .hint("make one file of both: nibabel.save(nibabel.load(\"scan.hdr\"), \"scan.nii.gz\")")),
        _ => Err(Error::unsupported("an Analyze file, which does not say where its axes point")
            .hint("nibabel.save(nibabel.Nifti1Image(data, affine), \"scan.nii.gz\") says it")),
    }
}

/// The map from voxels to millimetres, and a note where the header has none.
fn affine(header: &Header<'_>) -> ([[f64; 4]; 3], Vec<String>) {
    let at = &header.at;
    let size = [1, 2, 3].map(|i| header.real(at.pixdim, i));
    if header.code(at.qform, 1) > 0 {
        return ([0, 1, 2].map(|r| [0, 1, 2, 3].map(|c| header.real(at.sform, 4 * r + c))), Vec::new());
    }
    if header.code(at.qform, 0) > 0 {
        let [b, c, d] = [0, 1, 2].map(|i| header.real(at.quaternion, i));
        let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
        let turn = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let flip = if header.real(at.pixdim, 0) < 0.0 { -1.0 } else { 1.0 };
        let scale = [size[0], size[1], flip * size[2]];
        let shift = [3, 4, 5].map(|i| header.real(at.quaternion, i));
        return (
            [0, 1, 2].map(|r| [turn[r][0] * scale[0], turn[r][1] * scale[1], turn[r][2] * scale[2], shift[r]]),
            Vec::new(),
        );
    }
    let plain = [[size[0], 0.0, 0.0, 0.0], [0.0, size[1], 0.0, 0.0], [0.0, 0.0, size[2], 0.0]];
    (plain, vec!["the file does not say where its axes point".to_string()])
}

/// The type of a number.
#[derive(Clone, Copy)]
enum Kind {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Kind {
    fn of(code: i64) -> Option<Self> {
        Some(match code {
            2 => Kind::U8,
            4 => Kind::I16,
            8 => Kind::I32,
            16 => Kind::F32,
            64 => Kind::F64,
            256 => Kind::I8,
            512 => Kind::U16,
            768 => Kind::U32,
            1024 => Kind::I64,
            1280 => Kind::U64,
            _ => return None,
        })
    }

    fn width(self) -> usize {
        match self {
            Kind::U8 | Kind::I8 => 1,
            Kind::I16 | Kind::U16 => 2,
            Kind::I32 | Kind::U32 | Kind::F32 => 4,
            Kind::I64 | Kind::U64 | Kind::F64 => 8,
        }
    }

    fn value(self, raw: &[u8], big: bool) -> f64 {
        let mut bytes = [0u8; 8];
        let n = raw.len().min(8);
        bytes[..n].copy_from_slice(&raw[..n]);
        if big {
            bytes[..n].reverse();
        }
        let [a, b, c, d, ..] = bytes;
        match self {
            Kind::U8 => f64::from(a),
            Kind::I8 => f64::from(a as i8),
            Kind::I16 => f64::from(i16::from_le_bytes([a, b])),
            Kind::U16 => f64::from(u16::from_le_bytes([a, b])),
            Kind::I32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            Kind::U32 => f64::from(u32::from_le_bytes([a, b, c, d])),
            Kind::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Kind::I64 => i64::from_le_bytes(bytes) as f64,
            Kind::U64 => u64::from_le_bytes(bytes) as f64,
            Kind::F64 => f64::from_le_bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn axes_beyond_the_headers_room_are_refused() {
        for (length, magic, at) in [(348i32, b"n+1\0", 344), (540, b"n+2\0", 4)] {
            for axes in [-1i64, 0, 8, 66, i64::from(i16::MAX), i64::MAX] {
                let mut bytes = vec![1u8; 1024];
                bytes[..4].copy_from_slice(&length.to_le_bytes());
                bytes[at..at + 4].copy_from_slice(magic);
                match length {
                    348 => bytes[40..42].copy_from_slice(&(axes as i16).to_le_bytes()),
                    _ => bytes[16..24].copy_from_slice(&axes.to_le_bytes()),
                }
                let error = read(&bytes).unwrap_err();
                assert!(error.to_string().contains("axes"), "{error}");
            }
        }
    }
}
