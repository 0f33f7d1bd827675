//! Class labels from files: a JSON list, an object from index to name or from name to index, in JSON or Python, a table, or a
//! name a line.

use serde_json::Value;
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::limits::LABELS;
use crate::regular;

/// The labels in a file, one an output in order. By its ending: `.json` is a list of names, an object from index to
/// name (or to a list of names) or from name to index, or one that holds such as `id2label`, `labels` or `names`; `.csv` a
/// table whose column `label`, `name` or `class` (else its last) holds names, in the order of its column `index` or `id` if
/// there is one; anything else is a name a line, or a list or object as above. Lines that are numbered from 0 are put in that
/// order; a WordNet id before a name (n01440764) becomes its last synonym.
///
/// # Errors
/// Where it cannot be read, indexes are missing or doubled, or a line between names is empty.
pub fn read_labels(path: &Path) -> Result<Vec<String>> {
    let text = regular::read_text(path, |bytes| LABELS.check(bytes))?;
    let text = text.as_str();
    let labels = match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("json") => from_json(text).or_else(|json| from_python(text).map_err(|_| json)),
        Some("csv") => from_csv(text),
        _ if text.trim_start().starts_with(['{', '[']) => from_json(text).or_else(|_| from_python(text)),
        _ => from_lines(text),
    };
    let labels = labels.context(|| format!("labels `{}`", path.display()))?;
    if labels.is_empty() {
        return Err(Error::format(format!("labels `{}`: no names in it", path.display())));
    }
    Ok(labels)
}

/// Labels in a text: JSON, Python's list or dict, names between commas, or a name a line.
///
/// # Errors
/// Where indexes are missing or doubled, or a line between names is empty.
pub fn read_text(text: &str) -> Result<Vec<String>> {
    match text.trim() {
        listed if listed.starts_with(['{', '[']) => from_json(listed).or_else(|_| from_python(listed)),
        line if !line.contains('\n') && line.contains(',') => {
            Ok(line.split(',').map(|n| n.trim().to_string()).collect())
        }
        lines => from_lines(lines),
    }
}

/// Labels from JSON: a list, or an object from index to name.
///
/// # Errors
/// Where it is neither.
pub fn from_json(text: &str) -> Result<Vec<String>> {
    let wrong = || {
        Error::format("neither a list of names nor an object from index to name")
            .hint("such as [\"cat\", \"dog\"] or {\"0\": \"cat\", \"1\": \"dog\"}")
    };
    match serde_json::from_str(text).map_err(|e| Error::format(format!("not JSON: {e}")))? {
        Value::Array(items) => items.iter().map(|i| name(i).ok_or_else(wrong)).collect(),
        Value::Object(entries) => {
            if let Some(held) = ["id2label", "labels", "names", "classes"].iter().find_map(|key| entries.get(*key))
                && (held.is_array() || held.is_object())
            {
                return from_json(&held.to_string());
            }
            let pairs = entries.iter().map(|(k, v)| match (k.trim().parse(), name(v), v.as_u64()) {
                (Ok(index), Some(name), _) => Ok((index, name)),
                (_, None, Some(index)) => Ok((index as usize, k.clone())),
                _ => Err(wrong()),
            });
            in_order(pairs.collect::<Result<_>>()?)
        }
        _ => Err(wrong()),
    }
}

/// A name a line; empty lines may only follow the last name.
fn from_lines(text: &str) -> Result<Vec<String>> {
    // A lone return ends lines too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    if let Some(empty) = lines.iter().position(|l| l.is_empty()) {
        return Err(Error::format(format!("line {} is empty", empty + 1))
            .hint("one name an output, a line each: an empty line would move all names behind it by one"));
    }
    if let Some(named) = numbered(&lines)? {
        return Ok(named);
    }
    let ids: Option<Vec<(&str, &str)>> = lines.iter().map(|l| wordnet(l)).collect();
    Ok(match ids {
        Some(ids) => ids.into_iter().map(|(id, name)| format!("{name}, {id}")).collect(),
        None => lines.into_iter().map(str::to_string).collect(),
    })
}

/// The names of lines such as "3 cat", "3: cat" or "3,cat", in the order of their numbers, where all lines are numbered from 0
/// and the names differ.
fn numbered(lines: &[&str]) -> Result<Option<Vec<String>>> {
    let split = |line: &&str| -> Option<(usize, String)> {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = line.split_at(digits);
        let name = rest.strip_prefix([' ', '\t', ':', ',', ';', '=']).map(str::trim)?;
        Some((number.parse().ok()?, name.to_string())).filter(|_| !name.is_empty())
    };
    let Some(mut pairs) = lines.iter().map(split).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let in_turn = pairs.is_sorted_by_key(|(n, _)| *n);
    let mut names: Vec<&String> = pairs.iter().map(|(_, name)| name).collect();
    names.sort();
    let differ = names.windows(2).all(|two| two[0] != two[1]);
    let mut numbers: Vec<usize> = pairs.iter().map(|(n, _)| *n).collect();
    numbers.sort_unstable();
    let from = |first: usize| numbers.iter().enumerate().all(|(i, n)| *n == first + i);
    if pairs.len() > 1 && from(0) && differ {
        pairs.sort_by_key(|(n, _)| *n);
        return Ok(Some(pairs.into_iter().map(|(_, name)| name).collect()));
    }
    match from(1) && !in_turn {
        true => Err(Error::format("its lines are numbered from 1, in another order than that of the outputs")
            .hint("sort them: the first line names output 0, or output 1 where output 0 is the background")),
        false => Ok(None),
    }
}

/// A WordNet id such as n01440764 and the name behind it.
fn wordnet(line: &str) -> Option<(&str, &str)> {
    let (id, name) = line.split_once([' ', '\t'])?;
    (is_wordnet(id) && !name.trim().is_empty()).then(|| (id, name.trim()))
}

fn is_wordnet(id: &str) -> bool {
    id.strip_prefix('n').is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A dict from index to name, or a list, as Python prints it: {0: 'tench', 1: "coho"}.
fn from_python(text: &str) -> Result<Vec<String>> {
    let wrong = || Error::format("neither a list of names nor an object from index to name");
    let mut rest = text.trim();
    let dict = rest.starts_with('{');
    rest = rest.strip_prefix(['{', '[']).ok_or_else(wrong)?.trim_start();
    let mut pairs = Vec::new();
    while !rest.starts_with(['}', ']']) {
        let mut index = pairs.len();
        if dict {
            let (key, after) = rest.split_once(':').ok_or_else(wrong)?;
            index = key.trim().trim_matches(['\'', '"']).parse().map_err(|_| wrong())?;
            rest = after.trim_start();
        }
        let quote = rest.chars().next().filter(|c| ['\'', '"'].contains(c)).ok_or_else(wrong)?;
        let (mut name, mut end, mut escaped) = (String::new(), None, false);
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => {
                    name.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                c if c == quote => {
                    end = Some(at + 1);
                    break;
                }
                c => name.push(c),
            }
        }
        pairs.push((index, name));
        rest = rest[end.ok_or_else(wrong)?..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        if rest.is_empty() {
            return Err(wrong());
        }
    }
    in_order(pairs)
}

/// A string, or strings one after another as synonyms.
fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Array(parts) => {
            let mut parts: Vec<&str> = parts.iter().map(Value::as_str).collect::<Option<_>>()?;
            if parts.len() > 1 && is_wordnet(parts[0]) {
                parts.rotate_left(1);
            }
            Some(parts.join(", ")).filter(|joined| !joined.is_empty())
        }
        _ => None,
    }
}

fn from_csv(text: &str) -> Result<Vec<String>> {
    let first = text.lines().next().unwrap_or("");
    let between = [b',', b';', b'\t'].into_iter().find(|b| first.bytes().any(|c| c == *b)).unwrap_or(b',');
    let mut table =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(between).from_reader(text.as_bytes());
    let rows: Vec<Vec<String>> = table
        .records()
        .map(|r| r.map(|r| r.iter().map(|f| f.trim().to_string()).collect()))
        .collect::<Result<_, _>>()
        .map_err(|e| Error::format(e.to_string()))?;
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let column = |names: &[&str]| first.iter().position(|f| names.contains(&f.to_ascii_lowercase().as_str()));
    let named = column(&["label", "name", "class"]);
    let index = column(&["index", "id"]).filter(|i| Some(*i) != named);
    let label = named.unwrap_or(first.len().saturating_sub(1));
    let body = &rows[usize::from(named.is_some() || index.is_some())..];
    let field = |row: &Vec<String>, at: usize| {
        row.get(at)
            .cloned()
            .ok_or_else(|| Error::format(format!("a row has {} columns, {} are needed", row.len(), at + 1)))
    };
    let Some(index) = index else { return body.iter().map(|row| field(row, label)).collect() };
    let pairs = body.iter().map(|row| {
        let text = field(row, index)?;
        let index = text.parse().map_err(|_| Error::format(format!("`{text}` is no index")))?;
        Ok((index, field(row, label)?))
    });
    in_order(pairs.collect::<Result<_>>()?)
}

fn in_order(mut pairs: Vec<(usize, String)>) -> Result<Vec<String>> {
    pairs.sort_by_key(|(index, _)| *index);
    match pairs.iter().enumerate().find(|(i, (index, _))| i != index) {
        Some((i, (index, _))) => {
            Err(Error::format(format!("index {i} is missing, or one before it is there twice (next is {index})"))
                .hint("indexes go from 0 without gaps"))
        }
        None => Ok(pairs.into_iter().map(|(_, name)| name).collect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(file: &str, text: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        read_labels(&path)
    }

    #[test]
    fn every_form_gives_the_same_names() {
        for (file, text) in [
            ("a.json", r#"["cat", "dog, hound"]"#),
            ("a.json", r#"{"1": "dog, hound", "0": "cat"}"#),
            ("a.json", r#"{"1": ["dog", "hound"], "0": ["cat"]}"#),
            ("a.txt", "\u{feff}cat\r\ndog, hound\n\n"),
            ("a.csv", "cat\n\"dog, hound\"\n"),
            ("a.csv", "index,name\n1,\"dog, hound\"\n0,cat\n"),
            ("a.csv", "label,colour\ncat,grey\n\"dog, hound\",brown\n"),
            ("a.csv", "index;name\n1;dog, hound\n0;cat\n"),
            ("a.csv", "index\tname\n1\tdog, hound\n0\tcat\n"),
            ("a.json", r#"{"dog, hound": 1, "cat": 0}"#),
            ("a.json", r#"{"id2label": {"0": "cat", "1": "dog, hound"}, "model_type": "vit"}"#),
            ("a.txt", "cat\rdog, hound\r"),
            ("a.txt", "0 cat\n1 dog, hound\n"),
            ("a.txt", "1: dog, hound\n0: cat\n"),
            ("a.txt", "0,cat\n1,dog, hound\n"),
        ] {
            assert_eq!(labels(file, text).unwrap(), ["cat", "dog, hound"], "{text}");
        }
    }

    #[test]
    fn numbers_that_belong_to_names_stay_and_ids_go_behind_them() {
        for text in ["1 star\n2 stars\n3 stars", "0 degrees\n90 degrees", "0 star\n1 star", "7", "0\n1\n2"] {
            assert_eq!(labels("a.txt", text).unwrap(), text.lines().collect::<Vec<_>>());
        }
        assert_eq!(
            labels("a.txt", "n01440764 tench, Tinca\nn01443537 goldfish").unwrap()[0],
            "tench, Tinca, n01440764"
        );
        let keras = r#"{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}"#;
        assert_eq!(labels("a.json", keras).unwrap(), ["tench, n01440764", "goldfish, n01443537"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (file, text, part) in [
            ("a.txt", "2 dog\n1 cat\n", "numbered from 1"),
            ("a.json", r#"{"0": "a", "2": "b"}"#, "index 1 is missing"),
            ("a.json", "3", "neither a list"),
            ("a.json", "[", "not JSON"),
            ("a.csv", "index,name\nx,cat\n", "`x` is no index"),
            ("a.txt", "\n", "no names"),
        ] {
            let error = labels(file, text).unwrap_err();
            assert!(error.message.contains(part) && error.message.contains(file), "{error}");
        }
        assert!(read_labels(Path::new("/nowhere/a.txt")).unwrap_err().message.contains("no such file"));
    }
}
