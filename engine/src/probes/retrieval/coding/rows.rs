//! The codes of some images of a data set, in the images' order: a state that merges.

use crate::accumulators::fields::index;
use crate::accumulators::{Field, Fields, State};
use crate::error::{Error, Result};

/// Codes by image number.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeRows {
    /// Values a code.
    pub d: usize,
    /// The images' numbers, ascending.
    pub images: Vec<usize>,
    /// n x d values.
    pub values: Vec<f32>,
    /// The most probable class of each image and its probability, where asked for.
    pub predicted: Vec<(usize, f64)>,
}

impl CodeRows {
    /// None yet, of `d` values each.
    pub fn new(d: usize) -> Self {
        CodeRows { d, images: Vec::new(), values: Vec::new(), predicted: Vec::new() }
    }

    /// Appends the code of an image that comes after all others: its values, then class and probability where those are computed.
    pub fn push(&mut self, image: usize, row: &[f32]) {
        self.images.push(image);
        self.values.extend_from_slice(&row[..self.d]);
        if let [class, probability] = row[self.d..] {
            self.predicted.push((class as usize, f64::from(probability)));
        }
    }

    /// The same in the images' order.
    fn sorted(self) -> Self {
        if self.images.is_sorted() {
            return self;
        }
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        order.sort_by_key(|r| self.images[*r]);
        let mut sorted = CodeRows::new(self.d);
        for r in order {
            sorted.images.push(self.images[r]);
            sorted.values.extend_from_slice(&self.values[r * self.d..(r + 1) * self.d]);
            sorted.predicted.extend(self.predicted.get(r));
        }
        sorted
    }
}

impl State for CodeRows {
    const KIND: &'static str = "codes 1";

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.d != other.d {
            return Err(Error::value(format!("codes of {} values cannot join codes of {}", other.d, self.d)));
        }
        self.images.extend(other.images);
        self.values.extend(other.values);
        self.predicted.extend(other.predicted);
        *self = std::mem::replace(self, CodeRows::new(0)).sorted();
        Ok(())
    }

    fn write(&self) -> Fields {
        Fields::new()
            .with("d", Field::Words(vec![self.d as u64]))
            .with("images", Field::Words(self.images.iter().map(|i| *i as u64).collect()))
            .with("values", Field::Singles(self.values.clone()))
            .with("classes", Field::Words(self.predicted.iter().map(|p| p.0 as u64).collect()))
            .with("probabilities", Field::Doubles(self.predicted.iter().map(|p| p.1).collect()))
    }

    fn read(fields: &Fields) -> Result<Self> {
        let words = |name: &str| fields.words(name)?.iter().map(|w| index(*w)).collect::<Result<Vec<usize>>>();
        let (images, classes, d) = (words("images")?, words("classes")?, words("d")?);
        let (values, probabilities) = (fields.singles("values")?.to_vec(), fields.doubles("probabilities")?);
        let d = d.first().copied().unwrap_or_default();
        fields.check(images.len().checked_mul(d) == Some(values.len()) && classes.len() == probabilities.len())?;
        fields.check(classes.is_empty() || classes.len() == images.len())?;
        Ok(CodeRows { d, images, values, predicted: classes.into_iter().zip(probabilities.iter().copied()).collect() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts_join_in_the_images_order() {
        let part = |images: std::ops::Range<usize>| {
            let mut rows = CodeRows::new(2);
            images.for_each(|i| rows.push(i, &[i as f32, 0.5, (i % 3) as f32, 0.25]));
            rows
        };
        let whole = part(0..10);
        for parts in [[part(0..4), part(4..7), part(7..10)], [part(7..10), part(0..4), part(4..7)]] {
            let mut joined = CodeRows::new(2);
            parts.into_iter().for_each(|p| joined.merge(CodeRows::read(&p.write()).unwrap()).unwrap());
            assert_eq!(joined, whole);
        }
        assert!(CodeRows::new(3).merge(whole).is_err());
    }
}
