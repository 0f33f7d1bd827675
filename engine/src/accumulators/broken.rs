//! The images that could not be read: how many, which, and the reasons of the first ones.

use super::Covered;
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number of images whose reason is kept.
const MAX_KEPT_REASONS: usize = 100;

/// Images that could not be read; it takes little memory even if most are broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    which: Covered,
    said: BTreeMap<usize, String>,
}

/// The same in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRecord {
    /// How many.
    pub count: u64,
    /// Which: ranges of image numbers, the end of each not among them.
    pub images: Vec<[u64; 2]>,
    /// What is wrong with the first ones.
    pub said: Vec<(u64, String)>,
}

impl Broken {
    /// No images yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.which.count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image `i` and what is wrong with it; one that is known already is not counted again.
    pub fn push(&mut self, i: usize, why: String) {
        if self.which.add(i..i + 1).is_ok() {
            self.said.insert(i, why);
            self.shorten();
        }
    }

    /// The first ones, with what is wrong with them.
    pub fn first(&self) -> impl Iterator<Item = (usize, &str)> {
        self.said.iter().map(|(i, why)| (*i, why.as_str()))
    }

    /// Takes in those of other images.
    ///
    /// # Errors
    /// Where an image is among both.
    pub fn merge(&mut self, other: Broken) -> Result<()> {
        self.which.merge(&other.which)?;
        self.said.extend(other.said);
        self.shorten();
        Ok(())
    }

    /// The same where number `l * n + i` stands for image `i` changed in the l-th way: each image once.
    pub fn of_images(&self, n: usize) -> Self {
        let mut images = Broken::new();
        for (i, why) in self.first() {
            images.push(i % n, why.to_string());
        }
        for i in self.which.ranges().iter().cloned().flatten() {
            images.push(i % n, String::new());
        }
        images
    }

    /// For a file.
    pub fn record(&self) -> BrokenRecord {
        BrokenRecord {
            count: self.len() as u64,
            images: self.which.record(),
            said: self.said.iter().map(|(i, why)| (*i as u64, why.clone())).collect(),
        }
    }

    /// What [`Broken::record`] made.
    ///
    /// # Errors
    /// Where an image is there twice.
    pub fn of(record: &BrokenRecord) -> Result<Self> {
        let said = record.said.iter().map(|(i, why)| Ok((super::fields::index(*i)?, why.clone())));
        Ok(Broken { which: Covered::of(&record.images)?, said: said.collect::<Result<_>>()? })
    }

    fn shorten(&mut self) {
        while self.said.len() > MAX_KEPT_REASONS {
            self.said.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_image_that_is_broken_in_every_way_is_one_image() {
        let mut broken = Broken::new();
        [3, 103, 150, 203].into_iter().for_each(|i| broken.push(i, format!("b{i}")));
        let images = broken.of_images(100);
        assert_eq!(images.first().collect::<Vec<_>>(), [(3, "b3"), (50, "b150")]);
        assert_eq!(images.len(), 2);
    }

    #[test]
    fn the_first_are_named_in_whatever_order_parts_come() {
        let part = |from: usize| {
            let mut broken = Broken::new();
            (from..from + 80).for_each(|i| broken.push(i, format!("b{i}")));
            broken
        };
        let mut a = part(0);
        a.merge(part(100)).unwrap();
        let mut b = part(100);
        b.merge(part(0)).unwrap();
        assert_eq!((a.len(), a.first().count(), a.first().last()), (160, MAX_KEPT_REASONS, Some((119, "b119"))));
        assert_eq!(a, b);
        assert_eq!(Broken::of(&a.record()).unwrap(), a);
        assert!(a.merge(part(50)).is_err());
    }
}
