//! Finds the source range that an error is about: from rhai's position to the argument, option or call.

use crate::fault::carried;
use crate::source::{Class, Token, closing, tokens};
use rhai::EvalAltResult;
use std::ops::Range;

/// The byte range to underline for an error at byte `at`.
pub fn span(source: &str, at: usize, error: &EvalAltResult, message: &str) -> Range<usize> {
    let tokens = tokens(source);
    let Some(first) = tokens.iter().position(|t| t.at.end > at) else {
        let text = source.trim_end();
        return text.char_indices().next_back().map_or(0, |(last, _)| last)..text.len();
    };
    let start = &tokens[first];
    if start.class == Class::Mark && matches!(start.text(source), "." | "?.") && first + 1 < tokens.len() {
        return span(source, tokens[first + 1].at.start, error, message);
    }
    let call = call(source, &tokens, first);
    if carried(error).is_some()
        && let Some(call) = &call
        && let Some(found) = meant(source, &tokens[call.clone()], message)
    {
        return found;
    }
    if let EvalAltResult::ErrorVariableNotFound(name, _) = error
        && let Some(found) = interpolated(source, start, name)
    {
        return found;
    }
    let whole = match error {
        EvalAltResult::ErrorRuntime(..) => true,
        EvalAltResult::ErrorFunctionNotFound(..) => message.contains("does not take"),
        _ => false,
    };
    match call {
        Some(call) if whole => {
            let end = tokens[call.end - 1].at.end;
            let one_line = !source[start.at.start..end].contains('\n');
            if one_line { start.at.start..end } else { start.at.clone() }
        }
        _ if start.text(source) == "[" => {
            let end = closing(source, &tokens, first).map_or(start.at.end, |i| tokens[i].at.end);
            start.at.start..end
        }
        _ => start.at.clone(),
    }
}

/// The range of a name within an interpolating text; rhai gives only the position of the text.
fn interpolated(source: &str, text: &Token, name: &str) -> Option<Range<usize>> {
    let Class::Text { .. } = text.class else { return None };
    let inside = text.text(source);
    let mut from = inside.find("${")?;
    loop {
        let at = from + inside[from..].find(name)?;
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let end = at + name.len();
        if !inside[..at].ends_with(part) && !inside[end..].starts_with(part) {
            return Some(text.at.start + at..text.at.start + end);
        }
        from = end;
    }
}

/// The tokens of the call that begins at `first`, up to its closing parenthesis.
fn call(source: &str, tokens: &[Token], first: usize) -> Option<Range<usize>> {
    let open = first + 1;
    let called = tokens[first].class == Class::Word && tokens.get(open)?.text(source) == "(";
    let end = if called { closing(source, tokens, open)? } else { return None };
    Some(first..end + 1)
}

/// The argument or option of a call that the message names between back-quotes or as a quoted text.
fn meant(source: &str, call: &[Token], message: &str) -> Option<Range<usize>> {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).chain(message.split('"').skip(1).step_by(2)).collect();
    let inside = call.get(2..call.len() - 1)?;
    for name in names {
        let hit = inside.iter().find(|token| {
            let text = token.text(source);
            match token.class {
                Class::Text { .. } => text.trim_matches(['"', '\'', '`']) == name,
                Class::Word => text == name,
                _ => false,
            }
        });
        if let Some(token) = hit {
            return Some(token.at.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{Session, Silent};
    use convscope_engine::Job;
    use std::sync::Arc;

    #[test]
    fn an_error_behind_the_last_letter_names_that_letter_however_wide_it_is() {
        for source in ["fn twice(x) {\n  x * 2 // é🎉", "let x = [1, // 🎉\n\n", "if true { // é", "let 🎉"] {
            let error = Session::new(Job::new(), Arc::new(Silent)).compile("cell", source).unwrap_err();
            let spot = error.spot.unwrap();
            assert!(spot.line <= source.lines().count() && spot.column <= spot.text.chars().count(), "{spot:?}");
        }
    }
}
