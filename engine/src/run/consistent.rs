//! Whether a record agrees with itself and with a new run: a lock says much of an output twice (its digest, and a copy of its text
//! or values), and a forged one need not say the same both times.

use super::array::{Array, blocks_of, numbers, width};
use super::output::{MAX_KEPT_TEXT_BYTES, RunOutput, SKETCH_BYTES, Stats};
use super::record::Record;
use crate::data::npy;
use crate::digest::digest;
use base64::Engine as _;
use candle_core::{Device, Tensor};
use std::collections::BTreeSet;

/// The relative error that a mean or a standard deviation may have which another version summed in another order.
const SUMMATION_TOLERANCE: f64 = 1e-9;

impl Record {
    /// The first thing in which the record contradicts itself: the output, file or net, and how; nothing where it agrees with itself.
    pub fn contradiction(&self) -> Option<(String, String)> {
        let mut names = BTreeSet::new();
        for entry in &self.outputs {
            if !names.insert(&entry.name) {
                return Some((entry.name.clone(), "the lock lists this output twice".into()));
            }
            if let Some(how) = entry.contradiction() {
                return Some((entry.name.clone(), format!("the lock contradicts itself: {how}")));
            }
        }
        let files = self.script.iter().chain(&self.modules).map(|file| (&file.path, &file.blake3));
        let inputs = self.inputs.iter().map(|input| (&input.path, &input.blake3));
        let nets = self.nets.iter().map(|net| (&net.spec, &net.weights));
        let other = files.chain(inputs).chain(nets).find(|(_, said)| !is_digest(said))?;
        Some((other.0.clone(), NO_DIGEST.into()))
    }
}

const NO_DIGEST: &str = "what the lock gives as its digest is no 64 hexadecimal digits";

fn is_digest(text: &str) -> bool {
    text.len() == 64 && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl RunOutput {
    /// How the entry contradicts itself: its digest and its copies, its shape and the number of its values, its values and their
    /// statistics. Nothing where it agrees with itself.
    pub fn contradiction(&self) -> Option<String> {
        if !is_digest(&self.blake3) {
            return Some(NO_DIGEST.into());
        }
        let numbered = self.dtype.is_some() || self.stats.is_some() || !self.blocks.is_empty();
        let pictured = self.shape.is_some() || self.values.is_some();
        let odd = match self.kind.as_str() {
            "array" => return self.odd_array(),
            "image" if numbered || self.text.is_some() => true,
            "image" => return self.odd_image(),
            "text" if numbered || pictured => true,
            "text" => return self.odd_text(),
            "bytes" => numbered || pictured || self.text.is_some(),
            other => return Some(format!("`{other}` is no kind of output")),
        };
        odd.then(|| format!("it holds what no output of the kind {} has", self.kind))
    }

    fn odd_text(&self) -> Option<String> {
        let Some(text) = &self.text else {
            return (self.bytes <= MAX_KEPT_TEXT_BYTES as u64).then(|| "the text is short and is not there".into());
        };
        let same = text.len() as u64 == self.bytes && digest(text.as_bytes()) == self.blake3;
        (!same).then(|| "its text is not the one of its digest".into())
    }

    fn odd_image(&self) -> Option<String> {
        let whole = matches!(self.shape.as_deref(), Some([rows, columns, 3]) if *rows > 0 && *columns > 0);
        let small = self.values.as_ref().filter(|values| values.every == 0).and_then(|_| self.raw());
        let fits = whole && small.is_some_and(|small| small.len() == SKETCH_BYTES);
        (!fits).then(|| "its shape or its small picture is no image's".into())
    }

    fn odd_array(&self) -> Option<String> {
        let said = |how: &str| Some(how.to_string());
        let (Some(dtype), Some(shape), Some(stats), Some(values), None) =
            (&self.dtype, &self.shape, &self.stats, &self.values, &self.text)
        else {
            return said("an array has type, shape, statistics and values, and no text");
        };
        let Some(width) = width(dtype) else { return Some(format!("`{dtype}` is no type of arrays")) };
        let Some((n, size)) = shape
            .iter()
            .try_fold(1usize, |n, side| n.checked_mul(*side))
            .and_then(|n| Some((n, n.checked_mul(width)? as u64)))
        else {
            return Some(format!("no array has the shape {shape:?}"));
        };
        if size > self.bytes {
            return Some(format!("the shape {shape:?} does not fit in {} bytes", self.bytes));
        }
        let Some(raw) = self.raw().filter(|raw| values.every > 0 && raw.len() == n.div_ceil(values.every) * width)
        else {
            return Some(format!("its values are not every {}th of the shape {shape:?}", values.every));
        };
        let blocks = if values.every > 1 { blocks_of(n) } else { 0 };
        if self.blocks.len() != blocks || !self.blocks.iter().all(|b| b.len() == 16 && is_hexadecimal(b)) {
            return said("the digests of its blocks do not fit its shape");
        }
        let kept = numbers(dtype, &raw);
        if values.every > 1 {
            return (!stats.may_be_of(&kept, n)).then(|| "its statistics do not fit its values".into());
        }
        let array = Array { dtype: dtype.clone(), shape: shape.clone(), values: kept };
        if !stats.fits(&Stats::of(&array.values)) {
            return said("its statistics do not fit its values");
        }
        let is_own = match size == self.bytes {
            true => digest(&raw) == self.blake3,
            false => digest_of_file(&array).is_none_or(|whole| whole == self.blake3),
        };
        (!is_own).then(|| "its values are not those of its digest".into())
    }

    fn raw(&self) -> Option<Vec<u8>> {
        base64::engine::general_purpose::STANDARD.decode(&self.values.as_ref()?.data).ok()
    }

    /// How this entry of a lock describes an output of the same digest, `new`, otherwise; nothing where it does not.
    pub fn described_otherwise(&self, new: &RunOutput) -> Option<&'static str> {
        if (&self.kind, self.bytes) != (&new.kind, new.bytes) {
            return Some("its kind or its number of bytes");
        }
        if (&self.dtype, &self.shape) != (&new.dtype, &new.shape) {
            return Some("its type or its shape");
        }
        if self.text != new.text {
            return Some("its text");
        }
        match (&self.stats, &new.stats) {
            (Some(locked), Some(found)) if locked.fits(found) => {}
            (None, None) => {}
            _ => return Some("its statistics"),
        }
        let every = |entry: &RunOutput| entry.values.as_ref().map(|values| values.every);
        let (locked, found) = (every(self).unwrap_or(0).max(1), every(new).unwrap_or(0).max(1));
        let (Some(a), Some(b)) = (self.raw(), new.raw()) else {
            return (self.values.is_some() != new.values.is_some()).then_some("its values");
        };
        // Values that both keep: those at common multiples of both steps.
        let width = self.dtype.as_deref().and_then(width).unwrap_or(1);
        let (mut from_a, mut from_b) = (a.chunks(width).enumerate(), b.chunks(width).enumerate());
        let (mut next_a, mut next_b) = (from_a.next(), from_b.next());
        while let (Some((i, left)), Some((j, right))) = (next_a, next_b) {
            match (i * locked).cmp(&(j * found)) {
                std::cmp::Ordering::Less => next_a = from_a.next(),
                std::cmp::Ordering::Greater => next_b = from_b.next(),
                std::cmp::Ordering::Equal if left != right => return Some("its values"),
                std::cmp::Ordering::Equal => (next_a, next_b) = (from_a.next(), from_b.next()),
            }
        }
        (locked == found && self.blocks != new.blocks).then_some("the digests of its blocks")
    }
}

/// The digest of the file that holds an array, as `save` writes it.
fn digest_of_file(array: &Array) -> Option<String> {
    let values: Vec<f32> = array.values.iter().map(|v| *v as f32).collect();
    let tensor = Tensor::from_vec(values, array.shape.clone(), &Device::Cpu).ok()?;
    npy::write(&tensor).ok().map(|bytes| digest(&bytes))
}

impl Stats {
    /// Whether these and the statistics `of` are of the same values; sums may differ by rounding.
    pub fn fits(&self, of: &Stats) -> bool {
        let magnitude = of.magnitude();
        let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= SUMMATION_TOLERANCE * magnitude,
            (a, b) => a.is_none() && b.is_none(),
        };
        (self.min, self.max, self.not_finite) == (of.min, of.max, of.not_finite)
            && near(self.mean, of.mean)
            && near(self.std, of.std)
    }

    /// Whether they can be of `n` values with the values `kept` among them.
    fn may_be_of(&self, kept: &[f64], n: usize) -> bool {
        let finite = kept.iter().filter(|v| v.is_finite());
        let not_finite = kept.len() - finite.clone().count();
        let most = n - (kept.len() - not_finite);
        if !(not_finite..=most).contains(&self.not_finite) {
            return false;
        }
        let (Some(min), Some(max)) = (self.min, self.max) else {
            let none = (self.min, self.max, self.mean, self.std) == (None, None, None, None);
            return none && self.not_finite == n;
        };
        let room = SUMMATION_TOLERANCE * self.magnitude();
        let mean = self.mean.is_none_or(|mean| (min - room..=max + room).contains(&mean));
        let std = self.std.is_none_or(|std| (0.0..=(max - min) / 2.0 + room).contains(&std));
        self.not_finite < n && finite.clone().all(|v| (min..=max).contains(v)) && mean && std
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::output::{Content, Values};
    use super::*;
    use crate::data::Image;

    fn array(kept: usize) -> RunOutput {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i as f32 * 0.1 - 3.0)).collect();
        RunOutput::array("show/01-x/a", &Array { dtype: "<f4".into(), shape: vec![20, 10], values }, kept)
    }

    /// What a lock may keep of outputs of all kinds, whole and in part.
    fn outputs() -> Vec<RunOutput> {
        let tensor = Tensor::from_vec(vec![1f32, f32::NAN, -2.5], 3, &Device::Cpu).unwrap();
        let raw = npy::write(&tensor).unwrap();
        let image = Content::Image(Image::filled(30, 20, [7; 3]).unwrap());
        let numbers = Array { dtype: "<i8".into(), shape: vec![], values: vec![4.0] };
        let empty = Array { dtype: "<f4".into(), shape: vec![0, 3], values: vec![] };
        vec![
            array(1000),
            RunOutput { name: "show/01-x/b".into(), ..array(30) },
            RunOutput::array("show/01-x/n", &numbers, 9),
            RunOutput::array("show/01-x/e", &empty, 9),
            RunOutput::text("print", "a line\n"),
            RunOutput::text("show/02-text", &"long ".repeat(5000)),
            RunOutput::file("a.npy", &raw, &Content::of_file("a.npy", &raw), 9),
            RunOutput::file("f.png", b"some bytes", &image, 9),
            RunOutput::file("x.bin", b"some bytes", &Content::Bytes, 9),
        ]
    }

    #[test]
    fn what_a_run_records_agrees_with_itself_and_with_another_run() {
        for entry in outputs() {
            assert_eq!(entry.contradiction(), None, "{entry:?}");
            assert_eq!(entry.described_otherwise(&entry), None, "{entry:?}");
        }
        let lock = Record { outputs: outputs(), ..Record::default() };
        assert_eq!(lock.contradiction(), None);
        // The same array of which more values are kept.
        assert_eq!(array(1000).described_otherwise(&array(30)), None);
        assert_eq!(array(30).described_otherwise(&array(45)), None);
    }

    #[test]
    fn a_changed_member_is_a_contradiction() {
        let zeros = "0".repeat(64);
        let values = |every: usize, data: &str| Some(Values { every, data: data.into() });
        let all = outputs();
        let changed: Vec<(usize, &str, RunOutput)> = vec![
            (0, "digest", RunOutput { blake3: zeros.clone(), ..all[0].clone() }),
            (1, "hexadecimal", RunOutput { blake3: "../../../etc/passwd".into(), ..all[1].clone() }),
            (1, "hexadecimal", RunOutput { blake3: "A".repeat(64), ..all[1].clone() }),
            (1, "every 10000th", RunOutput { values: values(10000, ""), ..all[1].clone() }),
            (0, "every 0th", RunOutput { values: values(0, &all[0].values.as_ref().unwrap().data), ..all[0].clone() }),
            (0, "values", RunOutput { values: None, ..all[0].clone() }),
            (0, "does not fit in 5", RunOutput { bytes: 5, ..all[0].clone() }),
            (0, "shape", RunOutput { shape: Some(vec![usize::MAX, 3]), ..all[0].clone() }),
            (0, "type", RunOutput { dtype: Some("<U1000000000".into()), ..all[0].clone() }),
            (1, "blocks", RunOutput { blocks: Vec::new(), ..all[1].clone() }),
            (4, "text", RunOutput { text: Some("a lime\n".into()), ..all[4].clone() }),
            (4, "digest", RunOutput { blake3: zeros.clone(), ..all[4].clone() }),
            (4, "short", RunOutput { text: None, ..all[4].clone() }),
            (6, "digest", RunOutput { blake3: zeros, ..all[6].clone() }),
            (7, "image", RunOutput { values: values(0, "AAAA"), ..all[7].clone() }),
            (8, "kind", RunOutput { kind: "nothing".into(), ..all[8].clone() }),
            (8, "no output of the kind", RunOutput { text: Some(String::new()), ..all[8].clone() }),
        ];
        for (i, part, entry) in changed {
            let how = entry.contradiction().unwrap_or_else(|| panic!("{part}: {entry:?}"));
            assert!(how.contains(part), "{part}: {how}");
            let mut outputs = all.clone();
            outputs[i] = entry;
            let lock = Record { outputs, ..Record::default() };
            assert_eq!(lock.contradiction().unwrap().0, all[i].name);
        }
        let twice = Record { outputs: [all.clone(), vec![all[3].clone()]].concat(), ..Record::default() };
        assert!(twice.contradiction().unwrap().1.contains("twice"));
    }

    #[test]
    fn statistics_that_no_values_have_are_a_contradiction() {
        for kept in [1000, 30] {
            let entry = array(kept);
            let stats = entry.stats.clone().unwrap();
            for forged in [
                Stats { max: Some(1.0), ..stats.clone() },
                Stats { min: None, ..stats.clone() },
                Stats { mean: Some(1e30), ..stats.clone() },
                Stats { std: Some(1e30), ..stats.clone() },
                Stats { not_finite: 199, ..stats.clone() },
            ] {
                let entry = RunOutput { stats: Some(forged), ..entry.clone() };
                assert!(entry.contradiction().is_some_and(|how| how.contains("statistics")), "{entry:?}");
            }
            // Of an array that is kept in part only a new run tells.
            let entry = RunOutput { stats: Some(Stats { max: Some(1e30), ..stats }), ..entry };
            assert_eq!(entry.described_otherwise(&array(kept)), Some("its statistics"));
        }
    }

    #[test]
    fn the_copies_of_an_output_are_compared_with_the_new_one() {
        let all = outputs();
        let other = |entry: RunOutput, i: usize| entry.described_otherwise(&all[i]).unwrap();
        assert!(other(RunOutput { bytes: 5, ..all[5].clone() }, 5).contains("bytes"));
        assert!(other(RunOutput { shape: Some(vec![1, 1, 3]), ..all[7].clone() }, 7).contains("shape"));
        let mut entry = array(30);
        let mut raw = entry.raw().unwrap();
        raw[1] ^= 1;
        entry.values.as_mut().unwrap().data = base64::engine::general_purpose::STANDARD.encode(&raw);
        assert_eq!(entry.described_otherwise(&array(30)), Some("its values"));
        assert_eq!(entry.described_otherwise(&array(1000)), Some("its values"));
        let mut entry = array(30);
        entry.blocks[3] = "0".repeat(16);
        assert_eq!(entry.described_otherwise(&array(30)), Some("the digests of its blocks"));
    }
}
