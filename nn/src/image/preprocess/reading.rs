//! Photos read from files for a net: whole, or, with `draft`, JPEG files scaled down while they are decoded.

use std::path::Path;

use super::Preprocess;
use crate::error::Result;
use crate::image::Image;

impl Preprocess {
    /// A note on what [`Preprocess::draft`] changes, where it is on.
    pub fn note(&self) -> Option<String> {
        self.draft.then(|| {
            "draft: JPEG files that a data set gives for the net's input alone are scaled down by 2, 4 or 8 while they are decoded, \
             where they are that much larger than the resize; such inputs differ from those of whole files"
                .into()
        })
    }

    /// The photo in a file, for [`Preprocess::apply`]. With [`Preprocess::draft`], a JPEG file is scaled down by 8, 4 or 2 while it is
    /// decoded, by the most that leaves it the size of the resize, as after PIL's `Image.draft`; the photo is as much smaller.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Image> {
        if !self.draft {
            return Image::open(path);
        }
        Image::open_reduced(path, &|width, height| self.resized(width, height))
    }

    /// As [`Preprocess::open`], from the content of a file.
    ///
    /// # Errors
    /// As [`Image::decode`].
    pub fn decode(&self, bytes: &[u8]) -> Result<Image> {
        if !self.draft {
            return Image::decode(bytes);
        }
        Image::decode_reduced(bytes, &|width, height| self.resized(width, height))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_draft_keeps_the_size_of_the_resize_and_is_written_down() {
        let pixels = (0..3 * 300 * 200).map(|i| (i / 7 % 251) as u8).collect();
        let photo = Image::new(300, 200, pixels).unwrap();
        let (jpeg, png) = (photo.encode_jpeg(90).unwrap(), photo.encode_png().unwrap());
        let whole = Preprocess::new(40, 3).unwrap();
        let draft = Preprocess { draft: true, ..whole.clone() };
        let sides = |p: &Preprocess, file: &[u8]| p.decode(file).map(|i| (i.width(), i.height())).unwrap();
        // The short side becomes 46: 200 / 4 is 50, 200 / 8 is 25.
        assert_eq!(
            (sides(&draft, &jpeg), sides(&draft, &png), sides(&whole, &jpeg)),
            ((75, 50), (300, 200), (300, 200))
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        std::fs::write(&path, &jpeg).unwrap();
        let read = draft.open(&path).unwrap();
        assert_eq!((read.width(), read.path()), (75, Some(path.as_path())));
        assert!(draft.open(folder.path().join("b.jpg")).unwrap_err().message.ends_with("no such file or directory"));
        let (said, unsaid) = (serde_json::to_string(&draft).unwrap(), serde_json::to_string(&whole).unwrap());
        assert!(said.contains(r#""draft":true"#) && !unsaid.contains("draft"), "{said} {unsaid}");
        assert_eq!(serde_json::from_str::<Preprocess>(&said).unwrap(), draft);
    }
}
