//! The names of people: no character of a name is invisible, so that names that look alike on the page are equal.

use convscope_engine::{Error, Result};

/// A valid name: trimmed, 1 to 60 letters, no invisible characters.
pub(super) fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        return Err(Error::value("a name has 1 to 60 letters"));
    }
    let letters: Vec<char> = name.chars().collect();
    if let Some(hidden) = (0..letters.len()).find(|i| is_hidden(&letters, *i)) {
        let code = letters[hidden] as u32;
        return Err(Error::value(format!(
            "the name has the character U+{code:04X}, which is not seen or turns the writing round"
        ))
        .hint("type the name anew, without characters that are not seen"));
    }
    Ok(name.to_string())
}

/// Whether letter `i` is invisible in its place. Joiners are used in Persian, in scripts of India and in emoji: they are allowed
/// between two letters beyond ASCII, as is a variation selector behind one.
fn is_hidden(letters: &[char], i: usize) -> bool {
    let seen = |c: Option<&char>| c.is_some_and(|c| !c.is_ascii() && !is_invisible(*c) && !c.is_whitespace());
    let before = i.checked_sub(1).and_then(|i| letters.get(i));
    match letters[i] {
        '\u{200c}' | '\u{200d}' => {
            let before = if before.is_some_and(|c| is_variation_selector(*c)) {
                i.checked_sub(2).and_then(|i| letters.get(i))
            } else {
                before
            };
            !(seen(before) && seen(letters.get(i + 1)))
        }
        c if is_variation_selector(c) => !seen(before),
        c => is_invisible(c),
    }
}

/// A variation selector: text or emoji.
fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// Invisible characters: Unicode's default ignorable ones, controls of the writing's direction, line separators, blanks other
/// than the space, and private-use characters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_seen_of_a_name_is_all_of_it() {
        for name in [
            "ann",
            "Ann-Marie O'Neil",
            "Zoë",
            "李小龍",
            "علی\u{200c}رضا",
            "👩\u{200d}🔬",
            "❤\u{fe0f}",
            "❤\u{fe0f}\u{200d}🔥",
            "ב",
        ] {
            assert_eq!(checked_name(&format!(" {name} ")).unwrap(), name);
        }
        for name in [
            "\u{200b}",
            "\u{200b}\u{200d}",
            "ann\u{200b}",
            "\u{202e}nna",
            "a\u{2066}nn\u{2069}",
            "an\u{200d}n",
            "\u{200d}ann",
            "ann\u{200d}",
            "ann\u{fe0f}",
            "\u{feff}ann",
            "\u{3164}",
            "\u{2800}",
            "a\u{ad}nn",
            "ann\u{e0041}",
            "a\u{2028}b",
            "\u{e000}",
            "a\nb",
            "",
            "  ",
            "é\u{200d}",
        ] {
            assert!(checked_name(name).is_err(), "{name:?}");
        }
        assert!(checked_name(&"x".repeat(60)).is_ok() && checked_name(&"x".repeat(61)).is_err());
    }
}
