//! Which nets are right about each image, beside its attribute and its confound: a state that merges.

use crate::accumulators::fields::index;
use crate::accumulators::{Field, Fields, State};
use crate::data::Attribute;
use crate::error::{Error, Result};

/// One image: its attribute, its confound, and which nets are right.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedImage {
    /// The attribute.
    pub value: Attribute,
    /// The confound, where there is one.
    pub within: Option<Attribute>,
    /// Of each net, whether it is right.
    pub hits: Vec<bool>,
}

/// The images of a part of a data set, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedImages {
    /// The nets' number.
    nets: usize,
    /// The images' numbers, ascending.
    images: Vec<usize>,
    /// What is known of each.
    pub seen: Vec<JudgedImage>,
    /// Images without a label or the attribute.
    pub without: u64,
}

/// How columns tell numbers, texts and nothing apart.
const NUMBER: u8 = 0;
const TEXT: u8 = 1;
const NOTHING: u8 = 2;

impl JudgedImages {
    /// Of no image yet.
    pub fn new(nets: usize) -> Self {
        JudgedImages { nets, images: Vec::new(), seen: Vec::new(), without: 0 }
    }

    /// The images' numbers, what is known of each, and how many are without a label or the attribute.
    pub fn into_parts(self) -> (Vec<usize>, Vec<JudgedImage>, u64) {
        (self.images, self.seen, self.without)
    }

    /// An image behind all others.
    pub fn push(&mut self, image: usize, seen: JudgedImage) {
        self.images.push(image);
        self.seen.push(seen);
    }
}

impl State for JudgedImages {
    const KIND: &'static str = "accuracy_by_attribute 1";

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.nets != other.nets {
            return Err(Error::value(format!("answers of {} nets cannot join those of {}", other.nets, self.nets)));
        }
        self.images.extend(other.images);
        self.seen.extend(other.seen);
        self.without += other.without;
        if !self.images.is_sorted() {
            let mut all: Vec<(usize, JudgedImage)> = self.images.drain(..).zip(self.seen.drain(..)).collect();
            all.sort_by_key(|(image, _)| *image);
            (self.images, self.seen) = all.into_iter().unzip();
        }
        Ok(())
    }

    fn write(&self) -> Fields {
        let count = |n: usize| Field::Words(vec![n as u64]);
        let fields = Fields::new()
            .with("nets", count(self.nets))
            .with("without", Field::Words(vec![self.without]))
            .with("images", Field::Words(self.images.iter().map(|i| *i as u64).collect()))
            .with("hits", Field::Bytes(self.seen.iter().flat_map(|s| s.hits.iter().map(|h| u8::from(*h))).collect()));
        let fields = write("value", self.seen.iter().map(|s| Some(&s.value)), fields);
        write("within", self.seen.iter().map(|s| s.within.as_ref()), fields)
    }

    fn read(fields: &Fields) -> Result<Self> {
        let one = |name: &str| Ok::<_, Error>(fields.words(name)?.first().copied().unwrap_or_default());
        let (nets, without) = (index(one("nets")?)?, one("without")?);
        let images = fields.words("images")?.iter().map(|i| index(*i)).collect::<Result<Vec<_>>>()?;
        let hits = fields.bytes("hits")?;
        let (values, within) = (read("value", fields)?, read("within", fields)?);
        let n = images.len();
        fields.check(values.len() == n && within.len() == n && n.checked_mul(nets) == Some(hits.len()))?;
        let mut seen = Vec::with_capacity(n);
        for (i, (value, within)) in values.into_iter().zip(within).enumerate() {
            let value = value.ok_or_else(|| Error::format("the state has an image without the attribute"))?;
            let hits = hits[i * nets..(i + 1) * nets].iter().map(|h| *h == 1).collect();
            seen.push(JudgedImage { value, within, hits });
        }
        Ok(JudgedImages { nets, images, seen, without })
    }
}

/// Attributes as the columns `NAME.kinds`, `NAME.numbers`, `NAME.ends` (of texts) and `NAME.texts`.
fn write<'a>(name: &str, all: impl Iterator<Item = Option<&'a Attribute>>, fields: Fields) -> Fields {
    let (mut kinds, mut numbers, mut ends, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for attribute in all {
        match attribute {
            Some(Attribute::Number(x)) => {
                kinds.push(NUMBER);
                numbers.push(*x);
            }
            Some(Attribute::Text(text)) => {
                kinds.push(TEXT);
                texts.extend_from_slice(text.as_bytes());
                ends.push(texts.len() as u64);
            }
            None => kinds.push(NOTHING),
        }
    }
    fields
        .with(&format!("{name}.kinds"), Field::Bytes(kinds))
        .with(&format!("{name}.numbers"), Field::Doubles(numbers))
        .with(&format!("{name}.ends"), Field::Words(ends))
        .with(&format!("{name}.texts"), Field::Bytes(texts))
}

/// What [`write`] wrote.
fn read(name: &str, fields: &Fields) -> Result<Vec<Option<Attribute>>> {
    let damaged = || Error::format(format!("the column `{name}` of the state is damaged"));
    let mut numbers = fields.doubles(&format!("{name}.numbers"))?.iter();
    let mut ends = fields.words(&format!("{name}.ends"))?.iter();
    let texts = fields.bytes(&format!("{name}.texts"))?;
    let mut from = 0;
    let mut one = |kind: &u8| match *kind {
        NUMBER => numbers.next().map(|x| Some(Attribute::Number(*x))).ok_or_else(damaged),
        TEXT => {
            let end = index(*ends.next().ok_or_else(damaged)?)?;
            let text = texts.get(from..end).and_then(|b| std::str::from_utf8(b).ok()).ok_or_else(damaged)?;
            from = end;
            Ok(Some(Attribute::Text(text.to_string())))
        }
        NOTHING => Ok(None),
        _ => Err(damaged()),
    };
    fields.bytes(&format!("{name}.kinds"))?.iter().map(&mut one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts_join_in_the_images_order_with_texts_and_numbers() {
        let part = |images: std::ops::Range<usize>| {
            let mut answers = JudgedImages::new(2);
            for i in images {
                let value = match i % 3 {
                    0 => Attribute::Text(format!("é{i}")),
                    _ => Attribute::Number(i as f64 / 7.0),
                };
                let within = (i % 2 == 0).then(|| Attribute::Text(String::new()));
                answers.push(i, JudgedImage { value, within, hits: vec![i % 2 == 0, true] });
                answers.without += 1;
            }
            answers
        };
        let whole = part(0..9);
        let mut joined = part(5..9);
        joined.merge(JudgedImages::read(&part(0..5).write()).unwrap()).unwrap();
        assert_eq!(joined, whole);
    }
}
