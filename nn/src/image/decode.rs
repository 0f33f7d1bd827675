//! Image files in and out: PNG, JPEG, BMP, GIF, WebP and TIFF, recognised by their content.
//!
//! The pixels are those of PIL's `ImageOps.exif_transpose(Image.open(path)).convert("RGB")`: alpha is dropped, not
//! blended; grey is repeated; 16 bits are scaled to 8; CMYK is multiplied out (R = (255 - C)(255 - K) / 255);
//! colour profiles are not applied; of an animation the first frame is read. Unlike PIL, the orientation in EXIF or XMP is
//! always applied, so that the net gets what a person sees.

mod jpeg;
mod tags;
mod tiff;

use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

pub use self::jpeg::Wanted;
use super::{Image, foreign};
use crate::error::{Context, Error, Kind, Result};
use crate::limits::{DECODER, IMAGE_FILE, PIXELS};
use crate::{reads, regular};

const KNOWN: &str = "PNG, JPEG, BMP, GIF, WebP and TIFF are known";
const CONVERTED: &str = "save it as PNG or JPEG first; PNG, JPEG, BMP, GIF, WebP and TIFF are read";

/// A PNG file with its closing chunk, which some programs leave out: all pixels are there without it.
fn png_with_end(bytes: &[u8]) -> Cow<'_, [u8]> {
    const END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";
    match bytes.windows(4).any(|w| w == b"IEND") {
        true => Cow::Borrowed(bytes),
        false => Cow::Owned([bytes, END].concat()),
    }
}

/// Whether no palette of a PNG file ends within a colour; the decoder assumes that none does.
fn palettes_are_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((length, chunk)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if chunk.starts_with(b"PLTE") && !length.is_multiple_of(3) {
            return false;
        }
        // Its type, its data, its checksum.
        rest = length.checked_add(8).and_then(|end| chunk.get(end..)).unwrap_or_default();
    }
    true
}

impl Image {
    /// Reads an image file; [`Image::path`] is `path` as given.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let image = Self::decode(&content(path)?).context(|| format!("`{}`", path.display()))?.with_path(path);
        reads::note_content(path, || Some(image.content_digest()));
        Ok(image)
    }

    /// As [`Image::open`], a JPEG file scaled down while it is decoded, see [`Image::decode_reduced`].
    pub fn open_reduced(path: impl AsRef<Path>, wanted: Wanted<'_>) -> Result<Self> {
        let path = path.as_ref();
        let image = Self::decode_reduced(&content(path)?, wanted).context(|| format!("`{}`", path.display()))?;
        reads::note_content(path, || Some(image.content_digest().replace("pixels:", "reduced:")));
        Ok(image.with_path(path))
    }

    /// `pixels:` and a digest of its size and its pixels, whatever file they came from.
    pub fn content_digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.width() as u64).to_le_bytes()).update(&(self.height() as u64).to_le_bytes());
        format!("pixels:{}", hasher.update(self.pixels()).finalize().to_hex())
    }

    /// Decodes the content of an image file. The size in its header is checked before anything is decoded.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::decoded(bytes, None)
    }

    /// As [`Image::decode`]; a JPEG file is scaled down by 8, 4 or 2 while it is decoded, by the most that leaves it the sides that
    /// `wanted` gives for its own (width and height of the upright image). It differs from a full image that is resized.
    pub fn decode_reduced(bytes: &[u8], wanted: Wanted<'_>) -> Result<Self> {
        Self::decoded(bytes, Some(wanted))
    }

    fn decoded(bytes: &[u8], wanted: Option<Wanted<'_>>) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::format("the file is empty").hint("is a download or a copy unfinished?"));
        }
        let known = if tiff::is_tiff(bytes) { Some(ImageFormat::Tiff) } else { image::guess_format(bytes).ok() };
        let format = known.filter(ImageFormat::reading_enabled).ok_or_else(|| match foreign::format(bytes) {
            Some(what) => Error::format(format!("{what}, which is not read")).hint(CONVERTED),
            None => Error::format(format!("not an image: the file starts with {}", beginning(bytes))).hint(KNOWN),
        })?;
        if format == ImageFormat::Tiff
            && let Some(decoded) = tiff::read(bytes)?
        {
            return Self::upright(decoded, tags::orientation(Some(bytes), None));
        }
        if format == ImageFormat::Jpeg {
            return jpeg::read(bytes, wanted);
        }
        let damaged = |e: image::ImageError| explain(format, &e);
        if format == ImageFormat::Png && !palettes_are_whole(bytes) {
            return Err(Error::format("the PNG image's palette ends within a colour").hint("is the file damaged?"));
        }
        let whole = if format == ImageFormat::Png { png_with_end(bytes) } else { Cow::Borrowed(bytes) };
        let bytes = &whole[..];
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.no_limits();
        if format == ImageFormat::Png {
            // Its decoder reads what stands before the pixels, a colour profile among it, before it takes limits.
            let width = bytes.get(16..20).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b));
            let mut limits = Limits::no_limits();
            limits.max_alloc = Some(DECODER + ROW_COPIES * u64::from(width).min(PIXELS as u64));
            reader.limits(limits);
        }
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        Image::check_size(width as usize, height as usize)?;
        crate::limits::decoding(decoding_bytes(format, &decoder))?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(2 * decoder.total_bytes() + DECODER);
        decoder.set_limits(limits).map_err(damaged)?;
        // What cannot be read of the orientation says nothing of the pixels.
        let xmp = decoder.xmp_metadata().ok().flatten();
        let orientation = match format {
            ImageFormat::Tiff => tags::orientation(Some(bytes), xmp.as_deref()),
            _ => tags::orientation(decoder.exif_metadata().ok().flatten().as_deref(), xmp.as_deref()),
        };
        Self::upright(DynamicImage::from_decoder(decoder).map_err(damaged)?, orientation)
    }

    fn upright(mut decoded: DynamicImage, orientation: Orientation) -> Result<Self> {
        decoded.apply_orientation(orientation);
        let rgb = decoded.into_rgb8();
        Image::new(rgb.width() as usize, rgb.height() as usize, rgb.into_raw())
    }

    /// The image as the bytes of a PNG file, the same for the same pixels.
    pub fn encode_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        self.encode(encoder)?;
        Ok(bytes)
    }

    /// Writes a PNG file, whole or not at all.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::atomic::write(path, &self.encode_png()?)
    }

    /// The image as the bytes of a JPEG file without chroma subsampling; `quality` is 1 (small) to 100 (fine).
    pub fn encode_jpeg(&self, quality: u8) -> Result<Vec<u8>> {
        if !(1..=100).contains(&quality) {
            return Err(Error::value(format!("a JPEG quality of {quality} is not within 1 to 100")));
        }
        if self.width().max(self.height()) > u16::MAX as usize {
            return Err(Error::value(format!(
                "an image of {} x {} does not fit a JPEG file, which ends at 65535 pixels a side",
                self.width(),
                self.height()
            )));
        }
        let mut bytes = Vec::new();
        self.encode(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality))?;
        Ok(bytes)
    }

    fn encode(&self, encoder: impl image::ImageEncoder) -> Result<()> {
        let (width, height) = (self.width() as u32, self.height() as u32);
        encoder
            .write_image(self.pixels(), width, height, image::ExtendedColorType::Rgb8)
            .map_err(|e| Error::internal(e.to_string()))
    }
}

/// The bytes of an image file.
fn content(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        return Err(Error::new(Kind::Io, format!("`{}`: is a directory, not an image file", path.display()))
            .hint("`load_images` reads a folder of images"));
    }
    regular::read(path, |length| match length {
        0..=IMAGE_FILE => Ok(()),
        _ => {
            Err(Error::format(format!("a file of {length} bytes is larger than the limit of {IMAGE_FILE} for images")))
        }
    })
}

/// Bytes that an image takes until its pixels are here: what its decoder gives, the frames that some keep beside it, and the
/// pixels themselves where they have another form.
fn decoding_bytes(format: ImageFormat, decoder: &impl ImageDecoder) -> u64 {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let rgb = if decoder.color_type() == image::ColorType::Rgb8 { 0 } else { 3 * pixels };
    let beside = if matches!(format, ImageFormat::Gif | ImageFormat::WebP) { 4 * pixels } else { 0 };
    decoder.total_bytes().saturating_add(rgb + beside)
}

fn explain(format: ImageFormat, error: &image::ImageError) -> Error {
    let name = format!("{format:?}").to_uppercase();
    match error {
        image::ImageError::Unsupported(what) => Error::unsupported(format!("an unsupported {name} image: {what}"))
            .hint("convert it to an ordinary PNG or JPEG file"),
        image::ImageError::Limits(_) => {
            Error::format(format!("a {name} image that asks for more memory than its pixels need"))
        }
        other => {
            let cause = std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string);
            Error::format(format!("a damaged or truncated {name} image: {}", cause.trim_end_matches(['.', '\n'])))
        }
    }
}

/// The first bytes of a file that is no image, for a person to recognise it by.
fn beginning(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(16)];
    match std::str::from_utf8(start) {
        Ok(text) if text.chars().all(|c| !c.is_control() || c.is_whitespace()) => {
            format!("the text {:?}", text)
        }
        _ => format!("the bytes {}", start.iter().take(8).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")),
    }
}

/// Bytes that a pixel of a row takes at most while a PNG image is decoded: 8, twice.
const ROW_COPIES: u64 = 16;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(bytes: &[u8]) -> String {
        Image::decode(bytes).unwrap_err().message
    }

    #[test]
    fn a_palette_that_ends_within_a_colour_is_told() {
        let file = |length: u8| {
            let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0\x28\xcb\x34\xbb".to_vec();
            png.extend([0, 0, 0, length]);
            png.extend(b"PLTE");
            png.extend(vec![7; usize::from(length) + 4]);
            png
        };
        assert_eq!(message(&file(2)), "the PNG image's palette ends within a colour");
        assert_ne!(message(&file(3)), message(&file(2)));
    }

    #[test]
    fn what_is_no_image_says_so() {
        assert_eq!(message(b""), "the file is empty");
        assert_eq!(message(b"hello world"), "not an image: the file starts with the text \"hello world\"");
        assert_eq!(message(&[0, 1, 2, 3]), "not an image: the file starts with the bytes 00 01 02 03");
        let folder = tempfile::tempdir().unwrap();
        let error = Image::open(folder.path()).unwrap_err();
        assert!(error.message.ends_with("is a directory, not an image file"), "{error}");
        let error = Image::open(folder.path().join("cat.png")).unwrap_err();
        assert!(error.message.ends_with("cat.png`: no such file or directory"), "{error}");
        #[cfg(unix)]
        assert!(Image::open("/dev/zero").unwrap_err().message.ends_with("is not a regular file"));
        let renamed = folder.path().join("text.png");
        std::fs::write(&renamed, "some text").unwrap();
        let error = Image::open(&renamed).unwrap_err();
        assert!(error.message.contains("text.png`: not an image"), "{error}");
    }

    #[test]
    fn a_huge_header_is_refused_before_memory_is_asked_for() {
        let mut bytes = Image::filled(2, 2, [9; 3]).unwrap().encode_png().unwrap();
        bytes[16..24].copy_from_slice(&[0, 1, 0x86, 0xA0, 0, 1, 0x86, 0xA0]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let error = Image::decode(&bytes).unwrap_err();
        assert_eq!(error.message, "an image of 100000 x 100000 pixels is larger than the limit of 256 million pixels");
        assert!(error.hint.is_some());
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, b| {
            (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
        })
    }

    #[test]
    fn png_comes_back_as_it_was_and_a_jpeg_nearly() {
        let pixels = (0..40 * 30 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let image = Image::new(40, 30, pixels).unwrap();
        let png = image.encode_png().unwrap();
        assert_eq!(Image::decode(&png).unwrap(), image);
        let smooth = Image::filled(33, 17, [200, 100, 50]).unwrap();
        let back = Image::decode(&smooth.encode_jpeg(95).unwrap()).unwrap();
        assert!(back.pixels().iter().zip(smooth.pixels()).all(|(a, b)| a.abs_diff(*b) <= 3));
        assert!(smooth.encode_jpeg(0).is_err() && smooth.encode_jpeg(101).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image.save_png(&path).unwrap();
        let read = Image::open(&path).unwrap();
        assert_eq!(read, image);
        assert_eq!(read.path(), Some(path.as_path()));
    }

    #[test]
    fn truncated_files_are_errors_wherever_they_end() {
        let pixels = (0..40 * 30 * 3).map(|i| (i * i % 251) as u8).collect();
        let image = Image::new(40, 30, pixels).unwrap();
        for bytes in [image.encode_png().unwrap(), image.encode_jpeg(90).unwrap()] {
            for end in (1..bytes.len() - 12).step_by(97) {
                assert!(Image::decode(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
            }
        }
    }
}
