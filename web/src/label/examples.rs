//! Examples of each class: thumbnails side by side in one picture, made at the first request.

use convscope_engine::Result;
use convscope_engine::data::{Dataset, Image, Interpolation};
use convscope_engine::humans::Classes;
use convscope_engine::random::Stream;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many examples of a class are shown, as on Karpathy's page.
pub const PER_CLASS: usize = 13;
/// The width and height of a thumbnail, px.
pub const THUMBNAIL: usize = 112;

/// The images of each class, and the pictures made so far.
pub struct Examples {
    data: Option<Dataset>,
    by_class: Vec<Vec<usize>>,
    strips: Mutex<BTreeMap<usize, Arc<Vec<u8>>>>,
}

impl Examples {
    /// Examples from labelled images, chosen at random; labels outside of the classes are ignored.
    pub fn of(data: Option<Dataset>, classes: &Classes, seed: u64) -> Self {
        let mut by_class = vec![Vec::new(); classes.len()];
        let mut known = BTreeMap::new();
        for (i, item) in data.iter().flat_map(|d| d.items().enumerate()) {
            let Some(label) = item.label.as_deref() else { continue };
            let class = *known.entry(label.to_string()).or_insert_with(|| classes.index(label).ok());
            if let Some(class) = class {
                by_class[class].push(i);
            }
        }
        for (class, images) in by_class.iter_mut().enumerate() {
            Stream::new(seed, &format!("examples {class}")).shuffle(images);
            images.truncate(PER_CLASS);
        }
        Examples { data, by_class, strips: Mutex::default() }
    }

    /// The number of examples of `class`.
    pub fn count(&self, class: usize) -> usize {
        self.by_class.get(class).map_or(0, Vec::len)
    }

    /// The examples of a class side by side, as JPEG; none where the class has no examples.
    ///
    /// # Errors
    /// Where an image cannot be read.
    pub fn strip(&self, class: usize) -> Result<Option<Arc<Vec<u8>>>> {
        let (Some(data), Some(images)) = (&self.data, self.by_class.get(class).filter(|i| !i.is_empty())) else {
            return Ok(None);
        };
        let made = || self.strips.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(strip) = made().get(&class) {
            return Ok(Some(strip.clone()));
        }
        let tiles = images.iter().map(|i| thumbnail(&data.get(*i)?)).collect::<Result<Vec<_>>>()?;
        let mut pixels = Vec::with_capacity(tiles.len() * THUMBNAIL * THUMBNAIL * 3);
        for y in 0..THUMBNAIL {
            for tile in &tiles {
                pixels.extend_from_slice(&tile.pixels()[y * THUMBNAIL * 3..(y + 1) * THUMBNAIL * 3]);
            }
        }
        let strip = Arc::new(Image::new(tiles.len() * THUMBNAIL, THUMBNAIL, pixels)?.encode_jpeg(85)?);
        made().insert(class, strip.clone());
        Ok(Some(strip))
    }
}

/// The central square of an image.
fn thumbnail(image: &Image) -> Result<Image> {
    let side = image.width().min(image.height());
    image.center_crop(side, side)?.resize(THUMBNAIL, THUMBNAIL, Interpolation::Bilinear)
}
