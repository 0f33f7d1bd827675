//! Which images of a data set a statistic has seen.

use crate::error::{Error, Result};
use std::ops::Range;

/// Ranges of image numbers: sorted, apart, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    ranges: Vec<Range<usize>>,
}

impl Covered {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ranges, sorted.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Whether no image is covered.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many images are covered.
    pub fn count(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    /// Covers `more` as well; neighbouring ranges join.
    ///
    /// # Errors
    /// Where some of it is covered already: its images would count twice.
    pub fn add(&mut self, more: Range<usize>) -> Result<()> {
        if more.is_empty() {
            return Ok(());
        }
        let first = self.ranges.partition_point(|r| r.end <= more.start);
        if let Some(twice) = self.ranges.get(first).filter(|r| r.start < more.end) {
            return Err(Error::value(format!(
                "images {} to {} are counted already",
                twice.start.max(more.start),
                twice.end.min(more.end) - 1
            ))
            .hint("each state must come from another part of the data set"));
        }
        let at = self.ranges.partition_point(|r| r.start < more.start);
        let before = at > 0 && self.ranges[at - 1].end == more.start;
        let behind = at < self.ranges.len() && self.ranges[at].start == more.end;
        match (before, behind) {
            (true, true) => self.ranges[at - 1].end = self.ranges.remove(at).end,
            (true, false) => self.ranges[at - 1].end = more.end,
            (false, true) => self.ranges[at].start = more.start,
            (false, false) => self.ranges.insert(at, more),
        }
        Ok(())
    }

    /// Covers what `other` does as well.
    ///
    /// # Errors
    /// As [`Covered::add`].
    pub fn merge(&mut self, other: &Covered) -> Result<()> {
        other.ranges.iter().try_for_each(|r| self.add(r.clone()))
    }

    /// The ranges for a file, the end of each not in it.
    pub fn record(&self) -> Vec<[u64; 2]> {
        self.ranges.iter().map(|r| [r.start as u64, r.end as u64]).collect()
    }

    /// What [`Covered::record`] made.
    ///
    /// # Errors
    /// Where ranges overlap.
    pub fn of(record: &[[u64; 2]]) -> Result<Self> {
        let mut covered = Self::new();
        for [start, end] in record {
            covered.add(super::fields::index(*start)?..super::fields::index(*end)?)?;
        }
        Ok(covered)
    }

    /// The parts of `whole` that are not covered.
    pub fn missing(&self, whole: Range<usize>) -> Vec<Range<usize>> {
        let mut gaps = Vec::new();
        let mut from = whole.start;
        for range in self.ranges.iter().filter(|r| r.end > whole.start && r.start < whole.end) {
            if range.start > from {
                gaps.push(from..range.start);
            }
            from = range.end;
        }
        if from < whole.end {
            gaps.push(from..whole.end);
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
    use super::*;

    #[test]
    fn ranges_join_gaps_are_found_and_nothing_counts_twice() {
        let mut c = Covered::new();
        for r in [10..20, 0..5, 30..31, 5..10] {
            c.add(r).unwrap();
        }
        assert_eq!(c.ranges(), [0..20, 30..31]);
        assert_eq!((c.count(), c.missing(0..40)), (21, vec![20..30, 31..40]));
        assert!(c.missing(3..12).is_empty());
        assert_eq!(c.add(19..25).unwrap_err().message, "images 19 to 19 are counted already");
        let mut d = Covered::new();
        d.add(20..30).unwrap();
        d.merge(&c).unwrap();
        assert_eq!(d.ranges(), [0..31]);
    }
}
