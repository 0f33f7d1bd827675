//! The first line of a cell in Rust: `%%rust [-i NAME,..] [-o NAME,..] [--fn]`.

use convscope_dsl::diag::Spot;
use convscope_engine::Error;

const MARK: &str = "%%rust";
const USE: &str = "%%rust -i map,n -o mask: `-i` brings variables of rhai in, `-o` takes variables of Rust back, `--fn` lets \
                   rhai call the cell's functions";

/// The options of the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magic {
    /// Variables to import from rhai.
    pub inputs: Vec<String>,
    /// Variables to export to rhai.
    pub outputs: Vec<String>,
    /// Whether rhai may call the cell's functions.
    pub functions: bool,
    /// The number of lines up to and including this one.
    pub lines: usize,
}

/// Whether a cell is in Rust.
pub fn is_rust(code: &str) -> bool {
    code.trim_start().strip_prefix(MARK).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

impl Magic {
    /// Reads the first line of a Rust cell; messages call the cell `file`.
    ///
    /// # Errors
    /// Where the line has an unknown option or a missing or invalid name; the error has its place.
    pub fn of(file: &str, code: &str) -> Result<Self, Box<(Error, Spot)>> {
        let blank = code.len() - code.trim_start().len();
        let before = code[..blank].matches('\n').count();
        let line = code.lines().nth(before).unwrap_or("");
        let mut magic = Magic { lines: before + 1, ..Magic::default() };
        let mut words = words(line).into_iter();
        words.next();
        while let Some((at, word)) = words.next() {
            let wrong = |at: usize, length: usize, message: String| {
                let column = line[..at].chars().count() + 1;
                let spot =
                    Spot { file: file.into(), line: before + 1, column, text: line.into(), length: length.max(1) };
                Err(Box::new((Error::value(message).hint(USE), spot)))
            };
            let names = match word {
                "--fn" => {
                    magic.functions = true;
                    continue;
                }
                "-i" => &mut magic.inputs,
                "-o" => &mut magic.outputs,
                other => return wrong(at, other.chars().count(), format!("`%%rust` knows no `{other}`")),
            };
            let Some((from, list)) = words.next() else {
                return wrong(at, 2, format!("`{word}` needs the name of a variable"));
            };
            for name in list.split(',') {
                if !is_name(name) {
                    return wrong(from, list.chars().count(), format!("`{name}` is not the name of a variable"));
                }
                names.push(name.to_string());
            }
        }
        Ok(magic)
    }
}

/// The words of a line with their positions.
fn words(line: &str) -> Vec<(usize, &str)> {
    line.split_whitespace().map(|word| (word.as_ptr() as usize - line.as_ptr() as usize, word)).collect()
}

fn is_name(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_line_says_what_crosses() {
        assert!(is_rust("%%rust") && is_rust("\n  %%rust -i a\nx") && !is_rust("%%rusty") && !is_rust("x\n%%rust"));
        let magic = Magic::of("cell", "\n%%rust  -i a,b -o c -i d --fn\nlet c = 1;").unwrap();
        let names = |n: &[&str]| n.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let expected = Magic { inputs: names(&["a", "b", "d"]), outputs: names(&["c"]), functions: true, lines: 2 };
        assert_eq!(magic, expected);
    }

    #[test]
    fn what_it_does_not_know_is_pointed_at() {
        for (line, says, column, length) in [
            ("%%rust -x a", "knows no `-x`", 8, 2),
            ("%%rust -i", "needs the name", 8, 2),
            ("%%rust -i a,2b", "`2b` is not", 11, 4),
        ] {
            let (error, spot) = *Magic::of("cell", line).unwrap_err();
            assert!(error.message.contains(says), "{error}");
            assert_eq!((spot.column, spot.length), (column, length), "{line}");
        }
    }
}
