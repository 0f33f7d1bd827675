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
        if let Some(twice) = self.ranges.iter().find(|r| r.start < more.end && more.start < r.end) {
            return Err(Error::value(format!(
                "images {} to {} are counted already",
                twice.start.max(more.start),
                twice.end.min(more.end) - 1
            ))
            .hint("each state must come from another part of the data set"));
        }
        let at = self.ranges.partition_point(|r| r.start < more.start);
        self.ranges.insert(at, more);
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        self.ranges = joined;
        Ok(())
    }

    /// Covers what `other` does as well.
    ///
    /// # Errors
    /// As [`Covered::add`].
    pub fn merge(&mut self, other: &Covered) -> Result<()> {
        other.ranges.iter().try_for_each(|r| self.add(r.clone()))
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
