//! Tables: named columns of cells.

use crate::error::{Error, Result, did_you_mean};

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Empty.
    Nothing,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Cell {
    /// The number in the cell, where it has one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Cell::Int(i) => Some(*i as f64),
            Cell::Float(f) => Some(*f),
            Cell::Bool(b) => Some(f64::from(u8::from(*b))),
            _ => None,
        }
    }

    /// The cell as text; numbers with four significant digits.
    pub fn text(&self) -> String {
        match self {
            Cell::Nothing => String::new(),
            Cell::Bool(b) => b.to_string(),
            Cell::Int(i) => i.to_string(),
            Cell::Float(f) => short(*f),
            Cell::Text(t) => t.clone(),
        }
    }
}

/// The shortest form of a number with four significant digits.
pub fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { "0".into() } else { x.to_string() };
    }
    let magnitude = libm::log10(x.abs()).floor() as i32;
    if !(-4..7).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let decimals = (3 - magnitude).max(0) as usize;
    let fixed = format!("{x:.decimals$}");
    if fixed.contains('.') { fixed.trim_end_matches('0').trim_end_matches('.').to_string() } else { fixed }
}

/// From a text, for cells in code.
impl From<&str> for Cell {
    fn from(t: &str) -> Self {
        Cell::Text(t.to_string())
    }
}

impl From<String> for Cell {
    fn from(t: String) -> Self {
        Cell::Text(t)
    }
}

impl From<f64> for Cell {
    fn from(f: f64) -> Self {
        Cell::Float(f)
    }
}

impl From<usize> for Cell {
    fn from(i: usize) -> Self {
        Cell::Int(i as i64)
    }
}

impl From<bool> for Cell {
    fn from(b: bool) -> Self {
        Cell::Bool(b)
    }
}

/// A table: rows of cells under named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Table { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row; short rows are filled with empty cells, long ones cut.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = row.into_iter().collect();
        row.resize(self.columns.len(), Cell::Nothing);
        self.rows.push(row);
    }

    /// The table with another note, where one is given.
    pub fn noted(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    /// The notes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The columns' names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The cells of the column called `name`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn column(&self, name: &str) -> Result<Vec<Cell>> {
        let i = self.index(name)?;
        Ok(self.rows.iter().map(|r| r[i].clone()).collect())
    }

    /// The index of the column called `name`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn index(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|c| c == name).ok_or_else(|| {
            let list = self.columns.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
            let error = Error::not_found(format!("no column `{name}` in this table"));
            let close = did_you_mean(name, self.columns.iter().map(String::as_str)).map_or(String::new(), |c| c + " ");
            error.hint(format!("{close}the columns are {list}"))
        })
    }

    /// The rows ordered by a column: numbers by value, texts alphabetically, descending where requested; the order of equal rows is
    /// kept.
    ///
    /// # Errors
    /// Where there is no such column.
    pub fn sorted(&self, name: &str, descending: bool) -> Result<Self> {
        let i = self.index(name)?;
        let mut rows = self.rows.clone();
        rows.sort_by(|a, b| {
            let order = match (a[i].number(), b[i].number()) {
                (Some(x), Some(y)) => x.total_cmp(&y),
                _ => a[i].text().cmp(&b[i].text()),
            };
            if descending { order.reverse() } else { order }
        });
        Ok(Table { columns: self.columns.clone(), rows, notes: self.notes.clone() })
    }

    /// The first `n` rows.
    pub fn head(&self, n: usize) -> Self {
        let rows = self.rows.iter().take(n).cloned().collect();
        Table { columns: self.columns.clone(), rows, notes: self.notes.clone() }
    }

    /// The rows for which `keep` holds.
    pub fn filtered(&self, mut keep: impl FnMut(&[Cell]) -> bool) -> Self {
        let rows = self.rows.iter().filter(|r| keep(r)).cloned().collect();
        Table { columns: self.columns.clone(), rows, notes: self.notes.clone() }
    }

    /// The table as CSV (RFC 4180), numbers with all digits.
    ///
    /// # Errors
    /// Where the rows could not be written to memory.
    pub fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let wrong = |e: csv::Error| Error::internal(e.to_string());
        writer.write_record(&self.columns).map_err(wrong)?;
        for row in &self.rows {
            let full = row.iter().map(|c| match c {
                Cell::Float(f) => f.to_string(),
                other => other.text(),
            });
            writer.write_record(full).map_err(wrong)?;
        }
        let bytes = writer.into_inner().map_err(|e| Error::internal(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| Error::internal(e.to_string()))
    }
}
