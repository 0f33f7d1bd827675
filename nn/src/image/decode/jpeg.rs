//! JPEG files, to the bits of libjpeg-turbo and so of PIL: its integer transform, its smooth upsampling of colours, its conversion.
//!
//! A file may be scaled down by 2, 4 or 8 while it is decoded, as PIL's `Image.draft` does it: the inverse transform of each block
//! gives fewer pixels. Where a part of a file ends early, the rest of that part is grey, as in PIL; a code that is in no Huffman table
//! is an error, where PIL takes some other code.

use super::super::Image;
use super::tags;
use crate::error::{Error, Result};
use crate::limits::{self, PIXELS, SCANS};
use image::{DynamicImage, RgbImage};
use libjpeg_turbo_rs::{ComponentInfo, DecodeLimits, DecodeWarning, Decoder, JpegError, PixelFormat, ScalingFactor};

/// The sides, given the file's, that a reduced image has to keep at least.
pub type Wanted<'a> = &'a dyn Fn(usize, usize) -> (usize, usize);

/// Decodes a file. With `wanted`, which is asked with the upright image's width and height, the image is as much smaller as
/// [`reduction`] says.
///
/// # Errors
/// Where the file is damaged, not of 8 bits a value, larger than the limits or ends before its end marker.
pub fn read(bytes: &[u8], wanted: Option<Wanted<'_>>) -> Result<Image> {
    let most = DecodeLimits { max_pixels: PIXELS as u64, max_scans: SCANS, ..DecodeLimits::default() };
    let decoder = Decoder::new_with_limits(bytes, most).map_err(|e| explain(&e))?;
    let header = decoder.header();
    let (width, height) = (header.width(), header.height());
    Image::check_size(width, height)?;
    if !is_whole(bytes) {
        return Err(Error::format("the JPEG image is truncated").hint("is a download or a copy unfinished?"));
    }
    let format = match (header.precision, header.components.len()) {
        (8, 1 | 3) => PixelFormat::Rgb,
        (8, 4) if are_usual(&header.components) => PixelFormat::Cmyk,
        (8, 4) => return Err(unsupported("four components of unusual resolutions")),
        (8, n) => return Err(unsupported(format!("{n} components"))),
        (bits, _) => return Err(unsupported(format!("{bits} bits a value"))),
    };
    // What cannot be read of the orientation says nothing of the pixels.
    let orientation = tags::orientation(decoder.exif_data(), decoder.xmp_data());
    let by = match wanted {
        Some(wanted) if !header.is_lossless => {
            let turned = orientation.to_exif() > 4;
            let (w, h) = if turned { (height, width) } else { (width, height) };
            reduction((w, h), wanted(w, h))
        }
        _ => 1,
    };
    limits::decoding(decoding_bytes(&decoder, by))?;
    let scale = ScalingFactor::try_new(1, by).map_err(|e| explain(&e))?;
    let decoder = decoder.with_output_format(format).with_scale(scale);
    let decoded = match decoder.decode_image() {
        Err(JpegError::UnexpectedEof) => decoder.with_lenient(true).decode_image(),
        decoded => decoded,
    };
    let decoded = decoded.map_err(|e| explain(&e))?;
    let wrong =
        |w: &&DecodeWarning| !matches!(w, DecodeWarning::TruncatedData { .. } | DecodeWarning::ExtraneousData { .. });
    if let Some(warning) = decoded.warnings.iter().find(wrong) {
        return Err(damaged(warning));
    }
    let (width, height) = (decoded.width, decoded.height);
    let mut pixels = decoded.into_vec();
    if format == PixelFormat::Cmyk {
        pixels = pixels.as_chunks().0.iter().flat_map(|p| rgb(*p)).collect();
    }
    let pixels = RgbImage::from_raw(width as u32, height as u32, pixels);
    let pixels = pixels.ok_or_else(|| Error::internal("a JPEG decoder gave another number of pixels than it said"))?;
    Image::upright(DynamicImage::ImageRgb8(pixels), orientation)
}

/// By how much a file of these sides (width, height) is scaled down where its image has to keep the sides `wanted`: by the greatest of
/// 8, 4 and 2 by which neither side falls below, else not at all. As PIL's `Image.draft` has it.
pub fn reduction((width, height): (usize, usize), wanted: (usize, usize)) -> u32 {
    let most = (width / wanted.0.max(1)).min(height / wanted.1.max(1));
    [8, 4, 2].into_iter().find(|by| *by as usize <= most).unwrap_or(1)
}

/// Whether the first and the last of four components have the full resolution, and the two between them half of it or all: the decoder
/// takes no others.
fn are_usual(components: &[ComponentInfo]) -> bool {
    let [first, second, third, last] = components else { return false };
    let sides = |c: &ComponentInfo| (c.horizontal_sampling, c.vertical_sampling);
    let fits = |whole: u8, part: u8| whole == part || whole == 2 * part;
    sides(first) == sides(last)
        && sides(second) == sides(third)
        && fits(first.horizontal_sampling, second.horizontal_sampling)
        && fits(first.vertical_sampling, second.vertical_sampling)
}

/// Bytes that an image scaled down by `by` takes until its pixels are here: the pixels, the planes of its components, and, where it comes
/// in several scans, all coefficients.
fn decoding_bytes(decoder: &Decoder<'_>, by: u32) -> u64 {
    let header = decoder.header();
    let all = u64::from(header.width) * u64::from(header.height);
    let most = |side: fn(&ComponentInfo) -> u8| header.components.iter().map(side).max().unwrap_or(1).max(1);
    let block = u64::from(most(|c| c.horizontal_sampling)) * u64::from(most(|c| c.vertical_sampling));
    let own = |c: &ComponentInfo| u64::from(c.horizontal_sampling) * u64::from(c.vertical_sampling);
    let planes = all * header.components.iter().map(own).sum::<u64>() / block;
    let pixels = all * if header.components.len() == 4 { 7 } else { 3 };
    let coefficients = if decoder.has_multiple_scans() { 2 * planes } else { 0 };
    (pixels + planes) / u64::from(by * by) + coefficients
}

/// The colour of inverted CMYK, as Adobe's programs write it and PIL takes all files to be.
fn rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let k = u32::from(k);
    // (255 - ink) k / 255, rounded.
    let less = |ink: u8| {
        let product = (255 - u32::from(ink)) * k + 128;
        ((product >> 8) + product) >> 8
    };
    [c, m, y].map(|ink| k.saturating_sub(less(ink)) as u8)
}

fn explain(error: &JpegError) -> Error {
    match error {
        JpegError::Unsupported(what) => unsupported(what),
        JpegError::LimitExceeded { what, actual, limit } => {
            Error::format(format!("a JPEG image with a {what} of {actual}, more than the limit of {limit}"))
        }
        JpegError::AllocationFailed { .. } => Error::format("a JPEG image that asks for more memory than there is"),
        other => damaged(other),
    }
}

fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("an unsupported JPEG image: {what}")).hint("convert it to an ordinary PNG or JPEG file")
}

fn damaged(cause: impl std::fmt::Display) -> Error {
    Error::format(format!("a damaged or truncated JPEG image: {cause}"))
}

/// Whether the end marker is reached: segments are skipped by their lengths, scans up to the next marker. Most files end with it.
fn is_whole(bytes: &[u8]) -> bool {
    if bytes.ends_with(&[0xFF, 0xD9]) {
        return true;
    }
    let mut at = 2;
    while let Some(&[mark, code]) = bytes.get(at..at + 2).and_then(|b| b.first_chunk()) {
        match (mark, code) {
            (0xFF, 0xD9) => return true,
            (0xFF, 0x01 | 0xD0..=0xD8) => at += 2,
            (0xFF, 0x02..=0xFE) => {
                let Some(&length) = bytes.get(at + 2..at + 4).and_then(|b| b.first_chunk()) else { return false };
                at += 2 + usize::from(u16::from_be_bytes(length));
            }
            _ => at += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_reduced_as_long_as_it_keeps_what_is_wanted() {
        for (sides, wanted, by) in [
            ((500, 375), (224, 224), 1),
            ((500, 375), (250, 187), 2),
            ((500, 375), (251, 10), 1),
            ((4000, 3000), (224, 224), 8),
            ((4000, 3000), (341, 500), 4),
            ((10, 10), (0, 0), 8),
            ((10, 10), (300, 300), 1),
        ] {
            assert_eq!(reduction(sides, wanted), by, "{sides:?} {wanted:?}");
        }
    }

    #[test]
    fn a_reduced_image_has_the_sides_of_the_quotient_rounded_up() {
        let pixels = (0..41 * 30 * 3).map(|i| (i % 251) as u8).collect();
        let file = Image::new(41, 30, pixels).unwrap().encode_jpeg(90).unwrap();
        let sides = |w, h| read(&file, Some(&|_, _| (w, h))).map(|i| (i.width(), i.height())).unwrap();
        assert_eq!((sides(5, 3), sides(10, 7), sides(20, 15), sides(21, 15)), ((6, 4), (11, 8), (21, 15), (41, 30)));
        assert_eq!(read(&file, None).unwrap(), Image::decode(&file).unwrap());
    }
}
