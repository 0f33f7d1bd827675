//! TIFF files of the kinds that the crate `image` leaves out: palettes, grey with alpha, grey of 2, 4, 32 and 64 bits,
//! whole numbers or real ones, in TIFF and BigTIFF.
//!
//! As PIL does it: a palette's colours lose their lower 8 bits; grey beyond 8 bits but 16 is cut to 0 to 255.

use super::tags::Directory;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::limits::DECODER;
use image::{DynamicImage, RgbImage};
use std::io::Cursor;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};

const PHOTOMETRIC: u16 = 262;
const COLOUR_MAP: u16 = 320;
const PALETTE: u64 = 3;
const BLACK_IS_ZERO: u16 = 1;
const WHITE_IS_ZERO: u64 = 0;

/// Whether the bytes begin as a TIFF or BigTIFF file does.
pub fn is_tiff(bytes: &[u8]) -> bool {
    matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
}

/// The first image of a file, where it is of a kind that this module reads; nothing for others.
///
/// # Errors
/// Where it is of such a kind and damaged, or larger than images may be.
pub fn read(bytes: &[u8]) -> Result<Option<DynamicImage>> {
    let Some(directory) = Directory::read(bytes) else { return Ok(None) };
    let photometric = directory.number(PHOTOMETRIC);
    if photometric == Some(PALETTE) {
        let colours = directory.numbers(COLOUR_MAP).filter(|c| !c.is_empty() && c.len().is_multiple_of(3));
        // The decoder refuses palettes; as grey their indexes are read alike.
        let (Some(colours), Some(grey)) = (colours, directory.with(PHOTOMETRIC, BLACK_IS_ZERO)) else {
            return Err(Error::format("a TIFF image with a palette and no colours"));
        };
        let (size, kind, samples) = decode(&grey)?;
        let (ColorType::Gray(bits), DecodingResult::U8(packed)) = (kind, samples) else {
            return Err(Error::unsupported(format!("an unsupported TIFF image: a palette over {kind:?}")));
        };
        let entries = colours.len() / 3;
        let colour = |index: u8| {
            let index = usize::from(index).min(entries - 1);
            [0, 1, 2].map(|plane| (colours[plane * entries + index] >> 8) as u8)
        };
        let indexes = unpacked(&packed, bits, size)?;
        return image(size, indexes.into_iter().flat_map(colour).collect()).map(Some);
    }
    let damaged = |e: tiff::TiffError| damaged(&e);
    let kind = Decoder::new(Cursor::new(bytes)).map_err(damaged)?.colortype();
    let ours = match kind {
        Ok(ColorType::Gray(1 | 8 | 16)) => false,
        Ok(ColorType::Gray(_) | ColorType::Multiband { num_samples: 2, .. }) => true,
        _ => false,
    };
    if !ours {
        return Ok(None);
    }
    let (size, kind, samples) = decode(bytes)?;
    let (bands, depth) = match kind {
        ColorType::Multiband { num_samples, bit_depth } => (usize::from(num_samples), bit_depth),
        ColorType::Gray(bits) => (1, bits),
        other => return Err(Error::unsupported(format!("an unsupported TIFF image: {other:?}"))),
    };
    let mut grey: Vec<u8> = match samples {
        DecodingResult::U8(packed) if depth < 8 => {
            let scale = 255 / ((1u16 << depth) - 1) as u8;
            unpacked(&packed, depth, size)?.into_iter().map(|v| v * scale).collect()
        }
        DecodingResult::U8(v) => v,
        DecodingResult::U16(v) => v.into_iter().map(|v| ((u32::from(v) + 128) / 257) as u8).collect(),
        DecodingResult::U32(v) => v.into_iter().map(|v| v.min(255) as u8).collect(),
        DecodingResult::U64(v) => v.into_iter().map(|v| v.min(255) as u8).collect(),
        DecodingResult::I8(v) => v.into_iter().map(|v| v.max(0) as u8).collect(),
        DecodingResult::I16(v) => v.into_iter().map(|v| v.clamp(0, 255) as u8).collect(),
        DecodingResult::I32(v) => v.into_iter().map(|v| v.clamp(0, 255) as u8).collect(),
        DecodingResult::I64(v) => v.into_iter().map(|v| v.clamp(0, 255) as u8).collect(),
        // `as` cuts to the range and drops the fraction.
        DecodingResult::F32(v) => v.into_iter().map(|v| v as u8).collect(),
        DecodingResult::F64(v) => v.into_iter().map(|v| v as u8).collect(),
        _ => return Err(Error::unsupported("an unsupported TIFF image: numbers of 16 bits with a fraction")),
    };
    // The decoder turns grey alone, where white is zero.
    if bands > 1 && photometric == Some(WHITE_IS_ZERO) {
        grey.iter_mut().for_each(|v| *v = 255 - *v);
    }
    image(size, grey.chunks_exact(bands).flat_map(|p| [p[0]; 3]).collect()).map(Some)
}

fn decode(bytes: &[u8]) -> Result<([usize; 2], ColorType, DecodingResult)> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    let (width, height) = decoder.dimensions().map_err(|e| damaged(&e))?;
    let size = [width as usize, height as usize];
    Image::check_size(size[0], size[1])?;
    let kind = decoder.colortype().map_err(|e| damaged(&e))?;
    // The samples as the file has them, a value each of one byte, and the picture.
    let sample = u64::from(kind.bit_depth()).div_ceil(8) * u64::from(kind.num_samples());
    crate::limits::decoding(size[0] as u64 * size[1] as u64 * (sample + 5))?;
    let mut limits = Limits::default();
    let held = size[0] as u64 * size[1] as u64 * 8 + DECODER;
    limits.decoding_buffer_size = usize::try_from(held).unwrap_or(usize::MAX);
    let mut decoder = decoder.with_limits(limits);
    let samples = decoder.read_image().map_err(|e| damaged(&e))?;
    Ok((size, kind, samples))
}

/// A value a byte of rows that begin with a byte each.
fn unpacked(packed: &[u8], bits: u8, [width, height]: [usize; 2]) -> Result<Vec<u8>> {
    if bits == 8 {
        return Ok(packed.to_vec());
    }
    let (bits, row) = (usize::from(bits), (width * usize::from(bits)).div_ceil(8));
    if ![1, 2, 4].contains(&bits) || packed.len() < row * height {
        return Err(Error::unsupported(format!("an unsupported TIFF image: {bits} bits a sample")));
    }
    let value = |x: usize, y: usize| {
        let byte = packed[y * row + x * bits / 8];
        byte >> (8 - bits - x * bits % 8) & ((1 << bits) - 1) as u8
    };
    Ok((0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect())
}

fn image([width, height]: [usize; 2], pixels: Vec<u8>) -> Result<DynamicImage> {
    RgbImage::from_raw(width as u32, height as u32, pixels)
        .map(DynamicImage::ImageRgb8)
        .ok_or_else(|| Error::format("a damaged or truncated TIFF image: it has too few samples"))
}

fn damaged(error: &tiff::TiffError) -> Error {
    match error {
        tiff::TiffError::UnsupportedError(what) => Error::unsupported(format!("an unsupported TIFF image: {what}"))
            .hint("convert it to an ordinary PNG or JPEG file"),
        tiff::TiffError::LimitsExceeded => Error::format("a TIFF image that asks for more memory than its pixels need"),
        other => Error::format(format!("a damaged or truncated TIFF image: {other}")),
    }
}
