//! The images of a data set as nets read them: whole, or by a net's `draft` scaled down while they are decoded.

use super::dataset::{Dataset, Item, Source};
use super::image::Image;
use super::preprocess::Preprocess;
use crate::error::Result;
use candle_core::Tensor;

impl Item {
    /// As [`Item::image`], for the input that `by` makes of it. A file that is scaled down while it is decoded has no mask, box and
    /// keypoints, which are those of the whole one.
    ///
    /// # Errors
    /// As [`Item::image`].
    pub fn seen(&self, by: &Preprocess) -> Result<Image> {
        let image = match &self.source {
            Source::File(path) if by.draft => by.open(path)?,
            Source::Generated(generator, index) if by.draft && self.annotation.is_none() => {
                generator.seen(*index, by)?
            }
            _ => return self.image(),
        };
        Ok(image.with_label(self.label.clone()).with_attributes(self.attributes.clone()))
    }
}

impl Dataset {
    /// As [`Dataset::get`], for the input that `by` makes of it; see [`Item::seen`].
    ///
    /// # Errors
    /// As [`Dataset::get`].
    pub fn seen(&self, index: usize, by: &Preprocess) -> Result<Image> {
        self.item(index)?.seen(by)
    }

    /// The inputs of nets, in their order, that an image becomes: `whole`, unless a net's `draft` reads it otherwise.
    ///
    /// # Errors
    /// As [`Dataset::get`].
    pub fn inputs(&self, index: usize, whole: &Image, nets: &[&Preprocess]) -> Result<Vec<Tensor>> {
        let input = |by: &&Preprocess| if by.draft { by.apply(&self.seen(index, by)?) } else { by.apply(whole) };
        nets.iter().map(input).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_net_s_draft_reads_files_smaller_and_leaves_the_others() {
        let pixels = (0..3 * 120 * 90).map(|i| (i / 5 % 251) as u8).collect();
        let photo = Image::new(120, 90, pixels).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jpg"), photo.encode_jpeg(90).unwrap()).unwrap();
        std::fs::write(folder.path().join("b.png"), photo.encode_png().unwrap()).unwrap();
        let data = crate::data::load_images(folder.path()).unwrap();
        let whole = Preprocess::new(16, 3).unwrap();
        let draft = Preprocess { draft: true, ..whole.clone() };
        let sides = |i: usize, by: &Preprocess| data.seen(i, by).map(|i| (i.width(), i.height())).unwrap();
        assert_eq!((sides(0, &draft), sides(0, &whole), sides(1, &draft)), ((30, 23), (120, 90), (120, 90)));
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let inputs = data.inputs(0, &data.get(0).unwrap(), &[&whole, &draft]).unwrap();
        assert_eq!(values(&inputs[0]), values(&whole.apply(&data.get(0).unwrap()).unwrap()));
        assert_eq!(values(&inputs[1]), values(&draft.apply(&data.seen(0, &draft).unwrap()).unwrap()));
        assert_ne!(values(&inputs[0]), values(&inputs[1]));
        assert_eq!(data.seen(2, &draft).unwrap_err().message, data.get(2).unwrap_err().message);
    }
}
