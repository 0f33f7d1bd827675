//! The form of a running state on disk: named columns of numbers, each exact, and the functions that write and read them.

use super::{Moments, Peak, Top};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// What a probe keeps of the images that it has seen. The states of disjoint parts of a data set, merged in any order and
/// grouping, are the state of the whole, bit for bit.
pub trait State: Sized + Send {
    /// The state's name in files; another layout has another name.
    const KIND: &'static str;

    /// Merges the state of other images.
    ///
    /// # Errors
    /// Where it is one of another question.
    fn merge(&mut self, other: Self) -> Result<()>;

    /// Its columns.
    fn write(&self) -> Fields;

    /// The state that [`State::write`] wrote.
    ///
    /// # Errors
    /// Where the columns are none of such a state.
    fn read(fields: &Fields) -> Result<Self>;
}

/// A column of numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Whole numbers: counts, image numbers.
    Words(Vec<u64>),
    /// f32.
    Singles(Vec<f32>),
    /// f64.
    Doubles(Vec<f64>),
    /// Bytes, among them texts.
    Bytes(Vec<u8>),
}

/// Columns by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(pub BTreeMap<String, Field>);

impl Fields {
    /// No columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one column more.
    pub fn with(mut self, name: &str, field: Field) -> Self {
        self.0.insert(name.to_string(), field);
        self
    }

    /// The whole numbers called `name`.
    ///
    /// # Errors
    /// Where there are none.
    pub fn words(&self, name: &str) -> Result<&[u64]> {
        if let Some(Field::Words(words)) = self.0.get(name) { Ok(words) } else { Err(self.lacks(name)) }
    }

    /// The f32 called `name`.
    ///
    /// # Errors
    /// Where there are none.
    pub fn singles(&self, name: &str) -> Result<&[f32]> {
        if let Some(Field::Singles(values)) = self.0.get(name) { Ok(values) } else { Err(self.lacks(name)) }
    }

    /// The f64 called `name`.
    ///
    /// # Errors
    /// Where there are none.
    pub fn doubles(&self, name: &str) -> Result<&[f64]> {
        if let Some(Field::Doubles(values)) = self.0.get(name) { Ok(values) } else { Err(self.lacks(name)) }
    }

    /// The bytes called `name`.
    ///
    /// # Errors
    /// Where there are none.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        if let Some(Field::Bytes(bytes)) = self.0.get(name) { Ok(bytes) } else { Err(self.lacks(name)) }
    }

    /// An error unless the columns hold as many numbers as they must.
    ///
    /// # Errors
    /// Where they do not.
    pub fn check(&self, fits: bool) -> Result<()> {
        if fits { Ok(()) } else { Err(Error::format("the columns of the state do not fit each other")) }
    }

    fn lacks(&self, name: &str) -> Error {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        Error::format(format!("the state has no column `{name}` of that type, it has {}", names.join(", ")))
    }
}

/// A whole number of a file as an index.
///
/// # Errors
/// Where this machine has no such index.
pub fn index(word: u64) -> Result<usize> {
    usize::try_from(word).map_err(|_| Error::format(format!("{word} is larger than this machine's memory")))
}

/// The top-k activations of many questions as columns: `k`, `kept` (for each question), `values`, `images`, `places`.
pub fn write_tops(tops: &[Top], k: usize, fields: Fields) -> Fields {
    let peaks = || tops.iter().flat_map(Top::peaks);
    fields
        .with("k", Field::Words(vec![k as u64]))
        .with("kept", Field::Words(tops.iter().map(|t| t.peaks().len() as u64).collect()))
        .with("values", Field::Singles(peaks().map(|p| p.value).collect()))
        .with("images", Field::Words(peaks().map(|p| p.image as u64).collect()))
        .with("places", Field::Words(peaks().map(|p| p.place as u64).collect()))
}

/// What [`write_tops`] wrote: the answers and `k`.
///
/// # Errors
/// Where the columns do not fit.
pub fn read_tops(fields: &Fields) -> Result<(Vec<Top>, usize)> {
    let (values, images, places) = (fields.singles("values")?, fields.words("images")?, fields.words("places")?);
    let k = index(fields.words("k")?.first().copied().unwrap_or_default())?;
    let kept = fields.words("kept")?.iter().map(|n| index(*n)).collect::<Result<Vec<_>>>()?;
    let sum = kept.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
    fields.check(sum == Some(values.len()) && values.len() == images.len() && images.len() == places.len())?;
    let mut at = 0;
    let mut tops = Vec::with_capacity(kept.len());
    for n in kept {
        let mut top = Top::new(k);
        for i in at..at + n {
            top.add(Peak { value: values[i], image: index(images[i])?, place: index(places[i])? });
        }
        at += n;
        tops.push(top);
    }
    Ok((tops, k))
}

/// The moments of many questions as the column `moments`, [`Moments::WRITTEN`] numbers each.
pub fn write_moments(moments: &[Moments], fields: Fields) -> Fields {
    let mut numbers = Vec::with_capacity(moments.len() * Moments::WRITTEN);
    moments.iter().for_each(|m| m.write(&mut numbers));
    fields.with("moments", Field::Singles(numbers))
}

/// What [`write_moments`] wrote.
///
/// # Errors
/// Where the column does not fit.
pub fn read_moments(fields: &Fields) -> Result<Vec<Moments>> {
    let numbers = fields.singles("moments")?;
    fields.check(numbers.len().is_multiple_of(Moments::WRITTEN))?;
    numbers.chunks(Moments::WRITTEN).map(Moments::read).collect()
}
