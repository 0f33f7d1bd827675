//! Masks as run lengths, column by column, the first run outside: as COCO's annotation files have them for crowds (Lin et
//! al. 2014) and its tools write them, the runs in a list or packed into a text (pycocotools' `maskApi.c`).

use super::image::Mask;
use crate::error::{Error, Result};

/// A mask as runs of pixels, by turns outside and inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Runs {
    height: usize,
    width: usize,
    counts: Vec<usize>,
}

/// Run lengths as a file has them: `{"size": [height, width], "counts": [..] or ".."}`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Packed {
    /// Height and width.
    pub size: Vec<f64>,
    /// The runs.
    pub counts: Counts,
}

/// The runs of a file: a list, or packed into a text.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(untagged)]
pub enum Counts {
    /// Run lengths.
    Listed(Vec<f64>),
    /// pycocotools' text.
    Text(String),
}

impl Default for Counts {
    fn default() -> Self {
        Counts::Listed(Vec::new())
    }
}

impl Runs {
    /// From a file's `size` and `counts`.
    ///
    /// # Errors
    /// Where they have another form, or the runs do not fill the size.
    pub fn read(packed: &Packed) -> Result<Self> {
        let whole = |x: f64| (x >= 0.0 && x.fract() == 0.0 && x < 9e15).then_some(x as usize);
        let [height, width] = packed.size[..] else {
            return Err(Error::format("a run-length mask without `size`: [height, width]"));
        };
        let (Some(height), Some(width)) = (whole(height), whole(width)) else {
            return Err(Error::format("the `size` of a run-length mask is no height and width"));
        };
        let counts: Option<Vec<usize>> = match &packed.counts {
            Counts::Listed(counts) => counts.iter().map(|c| whole(*c)).collect(),
            Counts::Text(text) => unpack(text.as_bytes()),
        };
        let counts = counts.ok_or_else(|| Error::format("the `counts` of a run-length mask are no run lengths"))?;
        let pixels = height.checked_mul(width);
        let filled = counts.iter().try_fold(0usize, |sum, c| sum.checked_add(*c));
        match (pixels, filled) {
            (Some(pixels), Some(filled)) if pixels == filled => Ok(Runs { height, width, counts }),
            (_, filled) => Err(Error::format(format!(
                "the runs of a mask of {width} x {height} hold {} pixels",
                filled.map_or("too many".to_string(), |f| f.to_string())
            ))),
        }
    }

    /// The mask of an image, row by row.
    ///
    /// # Errors
    /// Where the image has another size.
    pub fn mask(&self, width: usize, height: usize) -> Result<Mask> {
        if (self.width, self.height) != (width, height) {
            let (w, h) = (self.width, self.height);
            return Err(Error::shape(format!("a run-length mask of {w} x {h} for an image of {width} x {height}")));
        }
        let mut values = vec![0u8; height * width];
        let mut from = 0;
        for (turn, count) in self.counts.iter().enumerate() {
            if turn % 2 == 1 {
                (from..from + count).for_each(|i| values[i % height * width + i / height] = 255);
            }
            from += count;
        }
        Mask::new(self.width, self.height, values)
    }
}

/// The run lengths of a packed text: five bits a letter from the lowest up, the sixth says that more follow, the last one's
/// fifth is the sign; from the fourth run on, each is stored as its difference from the last but one.
fn unpack(letters: &[u8]) -> Option<Vec<usize>> {
    let mut counts: Vec<i64> = Vec::new();
    let mut letters = letters.iter();
    while let Some(first) = letters.next() {
        let (mut letter, mut value, mut bits) = (*first, 0i64, 0);
        loop {
            let six = i64::from(letter.checked_sub(48).filter(|c| *c < 64)?);
            if bits > 50 {
                return None;
            }
            value |= (six & 31) << bits;
            bits += 5;
            if six & 32 == 0 {
                if six & 16 != 0 {
                    value |= -1 << bits;
                }
                break;
            }
            letter = *letters.next()?;
        }
        let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
        counts.push(before.checked_add(value)?);
    }
    counts.into_iter().map(|c| usize::try_from(c).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn runs_go_down_the_columns_and_begin_outside() {
        let packed = serde_json::from_value(json!({"size": [3, 2], "counts": [1, 2, 2, 1]})).unwrap();
        let mask = Runs::read(&packed).unwrap().mask(2, 3).unwrap();
        assert_eq!((mask.width, mask.height), (2, 3));
        assert_eq!(mask.values, [0, 0, 255, 0, 255, 255]);
    }

    #[test]
    fn what_does_not_fill_its_size_is_refused() {
        for (bad, says) in [
            (json!({"size": [3, 2], "counts": [1, 2]}), "hold 3 pixels"),
            (json!({"size": [3, 2], "counts": [1, -2, 7]}), "no run lengths"),
            (json!({"size": [3, 2], "counts": "\n"}), "no run lengths"),
            (json!({"size": [3, 2], "counts": "ooo"}), "no run lengths"),
            (json!({"size": [3, 2], "counts": [u64::MAX, 7]}), "no run lengths"),
            (json!({"size": [3]}), "without `size`"),
        ] {
            let error = Runs::read(&serde_json::from_value(bad.clone()).unwrap()).unwrap_err();
            assert!(error.message.contains(says), "{bad}: {error}");
        }
    }
}
