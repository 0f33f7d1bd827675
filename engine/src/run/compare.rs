//! Compares what a run recorded with what a lock keeps, or with the whole of an earlier run: the first difference, where
//! it is and how many units in the last place it has.

use super::array::Array;
use super::inputs::digest_prefix;
use super::output::{Content, RunOutput, Stats, sketch};
use super::rule::CompareRule;
use crate::error::Result;
use base64::Engine as _;
use serde::Serialize;
use std::fmt;

/// Tolerance on another engine or class of numerics: the mean difference of the small pictures of two images, of 255.
const MEAN_SHADE_TOLERANCE: f64 = 4.0;
/// Tolerances there for numbers within texts, which are rounded.
const TEXT_NUMBER_RULE: CompareRule = CompareRule::Close { absolute: 2e-3, relative: 5e-2 };

/// A difference between a locked output and a new one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The output.
    pub output: String,
    /// The first value that differs, by its index along each axis; the line, from 1, of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<Vec<usize>>,
    /// Units in the last place between the two values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ulp: Option<u64>,
    /// What was locked there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<f64>,
    /// What was found there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<f64>,
    /// The difference in words.
    pub how: String,
}

impl Difference {
    fn said(output: &str, how: impl Into<String>) -> Self {
        Difference { output: output.into(), index: None, ulp: None, locked: None, found: None, how: how.into() }
    }

    fn at(output: &str, array: &Array, i: usize, locked: f64) -> Self {
        let found = array.values[i];
        let (index, ulp) = (array.place(i), array.steps(locked, found));
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        Difference {
            output: output.into(),
            how: format!("at {index:?}: {locked:e} was locked, {found:e} was found, {ulp} ulp apart"),
            index: Some(index),
            ulp: Some(ulp),
            locked: finite(locked),
            found: finite(found),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` differs: {}", self.output, self.how)
    }
}

/// The first difference between a locked output and a new one, or nothing. Digests are compared first: equal ones are no
/// difference, and under `bits` other ones always are, whatever the lock's copies say. `whole` is the locked output with all its
/// values, where it is available; `elsewhere` says that engine or numerics are not the lock's, so that equal bits cannot be
/// required. `content` is called only where the digests differ.
///
/// # Errors
/// Where the lock's values do not have the type and shape that it says, or the new output cannot be read.
pub fn compare(
    entry: &RunOutput,
    whole: Option<&Content>,
    new: &RunOutput,
    content: impl FnOnce() -> Result<Content>,
    elsewhere: bool,
) -> Result<Option<Difference>> {
    let rule = rule_of(entry, elsewhere);
    if rule == CompareRule::Ignore || entry.blake3 == new.blake3 {
        return Ok(None);
    }
    let by_bits = rule == CompareRule::Bits && !elsewhere;
    let found = by_content(entry, whole, new, &content()?, (rule, elsewhere))?;
    Ok(found.or_else(|| by_bits.then(|| other_digest(entry, new))))
}

/// How an output is compared here, or `elsewhere`: with another engine or kind of processor than the lock's.
pub fn rule_of(entry: &RunOutput, elsewhere: bool) -> CompareRule {
    entry.elsewhere.filter(|_| elsewhere).unwrap_or(entry.rule)
}

fn other_digest(entry: &RunOutput, new: &RunOutput) -> Difference {
    let [was, is] = [&entry.blake3, &new.blake3].map(|digest| digest_prefix(digest));
    Difference::said(&entry.name, format!("BLAKE3 {was} was locked, {is} was found"))
}

fn by_content(
    entry: &RunOutput,
    whole: Option<&Content>,
    new: &RunOutput,
    content: &Content,
    (rule, elsewhere): (CompareRule, bool),
) -> Result<Option<Difference>> {
    let name = &entry.name;
    let by_bits = rule == CompareRule::Bits && !elsewhere;
    Ok(match content {
        Content::Array(array) => {
            if entry.shape.as_ref() != Some(&array.shape) || entry.dtype.as_ref() != Some(&array.dtype) {
                return Ok(Some(other_form(entry, array)));
            }
            let rule = match &entry.stats {
                Some(stats) if rule == CompareRule::Bits && elsewhere => CompareRule::elsewhere(stats.magnitude()),
                _ => rule,
            };
            arrays(entry, whole, array, rule)?
        }
        Content::Image(image) if !by_bits => pictures(entry, image),
        Content::Text(text) => {
            let locked = match whole {
                Some(Content::Text(t)) => Some(t.as_str()),
                _ => entry.text.as_deref(),
            };
            match locked {
                Some(locked) if by_bits => line(name, locked, text, |a, b| a == b),
                Some(locked) => {
                    let rule = if rule == CompareRule::Bits { TEXT_NUMBER_RULE } else { rule };
                    line(name, locked, text, |a, b| alike(a, b, rule))
                }
                None if elsewhere => None,
                None => Some(Difference::said(
                    name,
                    format!("{} bytes were locked, other {} found", entry.bytes, new.bytes),
                )),
            }
        }
        // Nothing but a digest is known of it, which another engine need not repeat.
        Content::Bytes if elsewhere => None,
        Content::Image(_) | Content::Bytes => {
            Some(Difference::said(name, format!("{} bytes were locked, other {} found", entry.bytes, new.bytes)))
        }
    })
}

fn other_form(entry: &RunOutput, array: &Array) -> Difference {
    let form = |dtype: &str, shape: &[usize]| format!("{dtype} {shape:?}");
    let locked = form(entry.dtype.as_deref().unwrap_or("no array"), entry.shape.as_deref().unwrap_or_default());
    Difference::said(&entry.name, format!("{locked} was locked, {} was found", form(&array.dtype, &array.shape)))
}

fn arrays(entry: &RunOutput, whole: Option<&Content>, array: &Array, rule: CompareRule) -> Result<Option<Difference>> {
    let name = &entry.name;
    let differs = |locked: f64, found: f64| !within(array, rule, locked, found);
    if let Some(Content::Array(locked)) = whole {
        let first = locked.values.iter().zip(&array.values).position(|(a, b)| differs(*a, *b));
        return Ok(first.map(|i| Difference::at(name, array, i, locked.values[i])));
    }
    let kept = entry.kept()?;
    let found = kept.iter().find(|(i, v)| array.values.get(*i).is_none_or(|f| differs(*v, *f)));
    let all = kept.len() == array.values.len();
    if all || rule != CompareRule::Bits {
        let value = found.filter(|(i, _)| *i < array.values.len());
        return Ok(match value {
            Some((i, v)) => Some(Difference::at(name, array, *i, *v)),
            None if all => None,
            None => spread(entry, array, rule),
        });
    }
    let blocks = array.blocks();
    let first = blocks.iter().zip(&entry.blocks).position(|(a, b)| a != b).unwrap_or(0);
    let range = array.in_block(first);
    let inside = kept.iter().find(|(i, v)| range.contains(i) && differs(*v, array.values[*i]));
    Ok(Some(match inside {
        Some((i, v)) => Difference::at(name, array, *i, *v),
        None => Difference {
            index: Some(array.place(range.start)),
            ..Difference::said(
                name,
                format!(
                    "between {:?} and {:?}; the lock keeps every {}th value, a bundle all",
                    array.place(range.start),
                    array.place(range.end.saturating_sub(1)),
                    entry.values.as_ref().map_or(0, |v| v.every)
                ),
            )
        },
    }))
}

/// For arrays of which only some values are known: whether the statistics prove that others differ.
fn spread(entry: &RunOutput, array: &Array, rule: CompareRule) -> Option<Difference> {
    let (locked, found) = (entry.stats.as_ref()?, Stats::of(&array.values));
    if locked.not_finite != found.not_finite {
        let how = format!("{} values that are not finite were locked, {} found", locked.not_finite, found.not_finite);
        return Some(Difference::said(&entry.name, how));
    }
    let pairs = [
        ("minimum", locked.min, found.min),
        ("maximum", locked.max, found.max),
        ("mean", locked.mean, found.mean),
        ("standard deviation", locked.std, found.std),
    ];
    pairs.into_iter().find_map(|(what, a, b)| {
        let (a, b) = (a?, b?);
        (!within(array, rule, a, b))
            .then(|| Difference::said(&entry.name, format!("a {what} of {a:e} was locked, {b:e} was found")))
    })
}

/// Whether two values count as the same under `rule`. Values that are not a number are the same as each other.
fn within(array: &Array, rule: CompareRule, locked: f64, found: f64) -> bool {
    if locked.is_nan() || found.is_nan() {
        return locked.is_nan() && found.is_nan();
    }
    match rule {
        CompareRule::Bits => locked.to_bits() == found.to_bits(),
        CompareRule::Ulp(n) => array.steps(locked, found) <= n,
        CompareRule::Close { absolute, relative } => {
            locked == found || (found - locked).abs() <= absolute + relative * locked.abs()
        }
        CompareRule::Ignore => true,
    }
}

fn pictures(entry: &RunOutput, image: &crate::data::Image) -> Option<Difference> {
    let shape = vec![image.height(), image.width(), 3];
    if entry.shape.as_ref().is_some_and(|s| *s != shape) {
        let how = format!("a picture of {:?} was locked, one of {shape:?} found", entry.shape);
        return Some(Difference::said(&entry.name, how));
    }
    let kept = base64::engine::general_purpose::STANDARD.decode(&entry.values.as_ref()?.data).ok()?;
    let found = sketch(image);
    let sum: f64 = kept.iter().zip(&found).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    let mean = sum / found.len().max(1) as f64;
    (mean > MEAN_SHADE_TOLERANCE)
        .then(|| Difference::said(&entry.name, format!("the picture is {mean:.1} of 255 away")))
}

/// The first line that is not as it was.
fn line(name: &str, locked: &str, found: &str, same: impl Fn(&str, &str) -> bool) -> Option<Difference> {
    let (mut a, mut b) = (locked.split_inclusive('\n'), found.split_inclusive('\n'));
    for number in 1.. {
        let pair = (a.next(), b.next());
        if pair == (None, None) {
            return None;
        }
        let (was, is) = (pair.0.unwrap_or(""), pair.1.unwrap_or(""));
        if pair.0.is_none() || pair.1.is_none() || !same(was, is) {
            let cut = |s: &str| s.trim_end().chars().take(80).collect::<String>();
            let how = format!("in line {number}: `{}` was locked, `{}` was found", cut(was), cut(is));
            return Some(Difference { index: Some(vec![number]), ..Difference::said(name, how) });
        }
    }
    None
}

/// Whether two texts are the same but for their numbers, and those are close.
fn alike(a: &str, b: &str, rule: CompareRule) -> bool {
    let (a, b) = (words(a), words(b));
    let array = Array { dtype: "<f8".into(), shape: Vec::new(), values: Vec::new() };
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => within(&array, rule, a, b),
            _ => a == b,
        })
}

/// A text split into numbers and the text between them.
fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let sign = usize::from(rest[..start].ends_with('-'));
        if start > sign {
            out.push(&rest[..start - sign]);
        }
        let number = &rest[start - sign..];
        let mut end = 0;
        for (i, c) in number.char_indices() {
            let before = number[..i].chars().next_back();
            let exponent =
                matches!(c, 'e' | 'E') && number[i + 1..].starts_with(|n: char| n.is_ascii_digit() || n == '-');
            let sign = c == '-' && (i == 0 || matches!(before, Some('e' | 'E')));
            let point = c == '.' && number[i + 1..].starts_with(|n: char| n.is_ascii_digit());
            if !(c.is_ascii_digit() || exponent || sign || point) {
                break;
            }
            end = i + c.len_utf8();
        }
        if end > 0 {
            out.push(&number[..end]);
        }
        rest = &number[end..];
        if end == 0 && start == rest.len() {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::Image;

    /// What came out, as a record keeps it and with all that is in it.
    struct Made(RunOutput, Content);

    impl Made {
        fn locked(&self, rule: &str) -> RunOutput {
            RunOutput { rule: rule.parse().unwrap(), ..self.0.clone() }
        }
    }

    fn array(values: &[f32]) -> Made {
        let values: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        let array = Array { dtype: "<f4".into(), shape: vec![values.len() / 2, 2], values };
        Made(RunOutput::array("a", &array, 100), Content::Array(array))
    }

    fn compared(entry: &RunOutput, whole: Option<&Content>, new: &Made, elsewhere: bool) -> Option<Difference> {
        compare(entry, whole, &new.0, || Ok(new.1.clone()), elsewhere).unwrap()
    }

    #[test]
    fn the_first_difference_is_told_with_its_place_and_size() {
        let before = array(&[1.0, 2.0, 3.0, 4.0]);
        let after = array(&[1.0, 2.0, 3.0f32.next_up().next_up(), 5.0]);
        let entry = before.locked("bits");
        assert_eq!(compared(&entry, None, &before, false), None);
        let found = compared(&entry, None, &after, false).unwrap();
        assert_eq!((found.index.clone(), found.ulp), (Some(vec![1, 0]), Some(2)));
        assert!(found.to_string().contains("2 ulp"), "{found}");
        let close = array(&[1.0, 2.0, 3.0f32.next_up(), 4.0]);
        let with = |rule: &str, new: &Made| compared(&before.locked(rule), None, new, false);
        assert_eq!(with("ulp:1", &close), None);
        assert_eq!(with("rtol:1e-6", &close), None);
        assert_eq!(with("ignore", &after), None);
        assert_eq!(with("ulp:1", &after).unwrap().index, Some(vec![1, 0]));
        assert_eq!(with("atol:0.5", &after).unwrap().index, Some(vec![1, 1]));
        assert!(compared(&entry, None, &close, true).is_none());
        assert!(compared(&entry, None, &after, true).is_some());
        assert!(compared(&entry, None, &array(&[1.0, 2.0]), true).unwrap().how.contains("[2, 2]"));
    }

    #[test]
    fn a_difference_between_kept_values_is_found_by_its_block() {
        let mut values: Vec<f32> = (0..2000).map(|i| i as f32).collect();
        let before = array(&values);
        values[1501] += 1.0;
        let (after, entry) = (array(&values), before.locked("bits"));
        let found = compared(&entry, None, &after, false).unwrap();
        let start = found.index.unwrap();
        assert!(start[0] <= 750 && start[0] > 730, "{start:?}");
        let found = compared(&entry, Some(&before.1), &after, false).unwrap();
        assert_eq!(found.index, Some(vec![750, 1]));
        // The kept values do not show it, and neither do the statistics within a tolerance.
        assert_eq!(compared(&entry, None, &after, true), None);
    }

    #[test]
    fn texts_are_compared_by_line_and_elsewhere_by_number() {
        let text = |text: &str| Made(RunOutput::text("print", text), Content::Text(text.into()));
        let before = text("p(star) is 0.5001, at [3, 4]\nend\n");
        let after = text("p(star) is 0.5004, at [3, 4]\nend\n");
        let other = text("p(disc) is 0.5001, at [3, 4]\nend\n");
        let entry = before.locked("bits");
        assert_eq!(compared(&entry, None, &after, false).unwrap().index, Some(vec![1]));
        assert_eq!(compared(&entry, None, &after, true), None);
        assert!(compared(&entry, None, &other, true).is_some());
        assert_eq!(words("a1.5e-3, -2 x.y e9 3."), ["a", "1.5e-3", ", ", "-2", " x.y e", "9", " ", "3", "."]);
        assert_eq!(words("é--1-"), ["é-", "-1", "-"]);
    }

    #[test]
    fn pictures_are_compared_by_their_small_pictures_elsewhere() {
        let of = |shade: u8| {
            let content = Content::Image(Image::filled(30, 20, [shade; 3]).unwrap());
            Made(RunOutput::file("f.png", &[shade], &content, 9), content)
        };
        let entry = of(100).locked("bits");
        assert!(compared(&entry, None, &of(101), false).is_some());
        assert!(compared(&entry, None, &of(101), true).is_none());
        assert!(compared(&entry, None, &of(120), true).is_some());
    }
}
