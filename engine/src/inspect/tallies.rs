//! The counts behind accuracy and confusions: states that merge.

use crate::accumulators::fields::index;
use crate::accumulators::{Field, Fields, State};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Of each class, its images, and those of them whose label is the most probable class and among the five most probable.
#[derive(Clone, Debug, PartialEq)]
pub struct Hits {
    /// For each class: images, those with it as the most probable class, those with it among the five most probable.
    pub counts: Vec<[u64; 3]>,
    /// Images without a label.
    pub unlabelled: u64,
}

impl Hits {
    /// The counts of no image.
    pub fn new(classes: usize) -> Self {
        Hits { counts: vec![[0; 3]; classes], unlabelled: 0 }
    }

    /// Adds an image of class `label`, whose rank among the classes by probability is `place`, from 0.
    pub fn add(&mut self, label: usize, place: usize) {
        self.counts[label][0] += 1;
        self.counts[label][1] += u64::from(place < 1);
        self.counts[label][2] += u64::from(place < 5);
    }
}

impl State for Hits {
    const KIND: &'static str = "accuracy 1";

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.counts.len() != other.counts.len() {
            return Err(Error::value(format!("counts of {} and of {} classes", self.counts.len(), other.counts.len())));
        }
        for (a, b) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *a += b;
        }
        self.unlabelled += other.unlabelled;
        Ok(())
    }

    fn write(&self) -> Fields {
        Fields::new()
            .with("counts", Field::Words(self.counts.iter().flatten().copied().collect()))
            .with("unlabelled", Field::Words(vec![self.unlabelled]))
    }

    fn read(fields: &Fields) -> Result<Self> {
        let (counts, unlabelled) = (fields.words("counts")?, fields.words("unlabelled")?);
        let (counts, rest) = counts.as_chunks::<3>();
        fields.check(rest.is_empty() && unlabelled.len() == 1)?;
        Ok(Hits { counts: counts.to_vec(), unlabelled: unlabelled[0] })
    }
}

/// The number of images by label and predicted class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs(pub BTreeMap<(usize, usize), u64>);

impl Pairs {
    /// Adds an image of class `label` whose predicted class is `class`.
    pub fn add(&mut self, label: usize, class: usize) {
        *self.0.entry((label, class)).or_default() += 1;
    }
}

impl State for Pairs {
    const KIND: &'static str = "confusion 1";

    fn merge(&mut self, other: Self) -> Result<()> {
        other.0.into_iter().for_each(|(pair, n)| *self.0.entry(pair).or_default() += n);
        Ok(())
    }

    fn write(&self) -> Fields {
        let rows = self.0.iter().flat_map(|((label, class), n)| [*label as u64, *class as u64, *n]);
        Fields::new().with("pairs", Field::Words(rows.collect()))
    }

    fn read(fields: &Fields) -> Result<Self> {
        let (rows, rest) = fields.words("pairs")?.as_chunks::<3>();
        fields.check(rest.is_empty())?;
        Ok(Pairs(rows.iter().map(|[l, c, n]| Ok(((index(*l)?, index(*c)?), *n))).collect::<Result<_>>()?))
    }
}
