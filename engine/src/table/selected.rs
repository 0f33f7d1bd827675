//! The rows of a file that fulfil a filter, counted from 0 as if the others were not there. Only their positions are held, as runs.

use super::filter::{Filter, FilterValue};
use super::rows::{PixelSource, PreparedFilter, Rows};
use crate::data::Attribute;
use crate::error::{Context, Error, Result};
use crate::signal::go_on;
use std::sync::Arc;

/// Rows between two looks at the interrupt.
const ROWS_PER_CHECK: usize = 4096;

/// Some rows of others.
pub struct Selected {
    rows: Arc<dyn Rows>,
    /// Of each run of rows its first one, and how many are before it.
    runs: Vec<(usize, usize)>,
    count: usize,
}

impl Selected {
    /// Those that fulfil a filter. Only its columns are read, of the parts that may hold such.
    ///
    /// # Errors
    /// Where a column is missing or cannot be read, or holds what the filter does not compare.
    pub fn of(rows: Arc<dyn Rows>, filter: &Filter) -> Result<Self> {
        let (filter, candidates) = rows.prepare(filter)?;
        let (mut runs, mut count, mut next) = (Vec::new(), 0, None);
        for row in candidates.into_iter().flatten() {
            if row % ROWS_PER_CHECK == 0 {
                go_on()?;
            }
            if !filter.holds(|name| rows.value(row, name)).context(|| format!("row {row}"))? {
                continue;
            }
            if next != Some(row) {
                runs.push((row, count));
            }
            (count, next) = (count + 1, Some(row + 1));
        }
        Ok(Selected { rows, runs, count })
    }

    /// The row in the file.
    fn at(&self, row: usize) -> Result<usize> {
        let run = self.runs.partition_point(|(_, before)| *before <= row).checked_sub(1).filter(|_| row < self.count);
        let (first, before) =
            run.and_then(|i| self.runs.get(i)).ok_or_else(|| Error::not_found(format!("no row {row}")))?;
        Ok(first + (row - before))
    }
}

impl Rows for Selected {
    fn len(&self) -> usize {
        self.count
    }

    fn pixels(&self, row: usize) -> Result<PixelSource> {
        self.rows.pixels(self.at(row)?)
    }

    fn label(&self, row: usize) -> Result<Option<String>> {
        self.rows.label(self.at(row)?)
    }

    fn attribute(&self, row: usize, name: &str) -> Result<Option<Attribute>> {
        self.rows.attribute(self.at(row)?, name)
    }

    fn number(&self, row: usize) -> usize {
        self.at(row).unwrap_or(row)
    }

    fn prepare(&self, filter: &Filter) -> Result<PreparedFilter> {
        Ok((filter.clone(), std::iter::once(0..self.count).collect()))
    }

    fn value(&self, row: usize, name: &str) -> Result<FilterValue> {
        self.rows.value(self.at(row)?, name)
    }
}
