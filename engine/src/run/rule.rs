//! How an output is compared with the locked one: `bits`, `ulp:N`, `atol:A,rtol:R` or `ignore`. A pattern over names says which
//! outputs a rule is for.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How an output is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CompareRule {
    /// The same bits.
    #[default]
    Bits,
    /// At most so many representable numbers between two values.
    Ulp(u64),
    /// |found - locked| <= absolute + relative |locked|, as NumPy's `allclose`.
    Close {
        /// atol.
        absolute: f64,
        /// rtol.
        relative: f64,
    },
    /// Not compared.
    Ignore,
}

impl CompareRule {
    /// The tolerance that replaces `bits` on another engine or kind of processor than the lock's, for numbers of at most this
    /// magnitude: sums in another order and fused operations change values by a few units in the last place, which propagates
    /// to a net's outputs.
    pub fn elsewhere(magnitude: f64) -> CompareRule {
        CompareRule::Close { absolute: 1e-3 * magnitude, relative: 1e-2 }
    }
}

impl FromStr for CompareRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::value(format!("`{text}` is no way to compare outputs")).hint(
                "\"bits\", \"ulp:4\", \"atol:1e-6\", \"rtol:1e-5\", \"atol:1e-6,rtol:1e-5\" and \"ignore\" are known",
            )
        };
        match text.trim() {
            "bits" => return Ok(CompareRule::Bits),
            "ignore" => return Ok(CompareRule::Ignore),
            _ => {}
        }
        let (mut absolute, mut relative) = (0.0, 0.0);
        for part in text.split(',') {
            let (name, value) = part.split_once([':', '=']).ok_or_else(wrong)?;
            let tolerance =
                || value.trim().parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0).ok_or_else(wrong);
            match name.trim() {
                "ulp" if !text.contains(',') => return value.trim().parse().map(CompareRule::Ulp).map_err(|_| wrong()),
                "atol" => absolute = tolerance()?,
                "rtol" => relative = tolerance()?,
                _ => return Err(wrong()),
            }
        }
        Ok(CompareRule::Close { absolute, relative })
    }
}

impl fmt::Display for CompareRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompareRule::Bits => f.write_str("bits"),
            CompareRule::Ulp(n) => write!(f, "ulp:{n}"),
            CompareRule::Close { absolute, relative } => write!(f, "atol:{absolute:e},rtol:{relative:e}"),
            CompareRule::Ignore => f.write_str("ignore"),
        }
    }
}

impl TryFrom<String> for CompareRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<CompareRule> for String {
    fn from(rule: CompareRule) -> String {
        rule.to_string()
    }
}

/// How outputs are compared, by patterns over their names; the first pattern that matches is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompareRules(pub Vec<(String, Choice)>);

/// How an output is compared here, and on another engine or kind of processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Choice {
    /// With the same engine and numerics.
    pub here: CompareRule,
    /// With others; where absent, the tolerance that replaces `here`.
    pub elsewhere: Option<CompareRule>,
}

impl CompareRules {
    /// How the output called `name` is compared; `bits` where nothing is said.
    pub fn of(&self, name: &str) -> Choice {
        self.0.iter().find(|(pattern, _)| fits(pattern, name)).map(|(_, choice)| *choice).unwrap_or_default()
    }
}

/// Whether a pattern fits a name: `*` stands for any letters. A pattern without a slash also fits the last part of a name.
pub fn fits(pattern: &str, name: &str) -> bool {
    // What an earlier star stands for can stay as short as possible, so that only the last one is ever made longer.
    fn whole(pattern: &[u8], name: &[u8]) -> bool {
        let (mut p, mut n, mut last_star) = (0, 0, None);
        while n < name.len() {
            match (pattern.get(p), last_star) {
                (Some(b'*'), _) => {
                    last_star = Some((p, n));
                    p += 1;
                }
                (Some(c), _) if *c == name[n] => (p, n) = (p + 1, n + 1),
                (_, Some((star, end))) => {
                    last_star = Some((star, end + 1));
                    (p, n) = (star + 1, end + 1);
                }
                (_, None) => return false,
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    whole(pattern.as_bytes(), name.as_bytes()) || (!pattern.contains('/') && whole(pattern.as_bytes(), last.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_read_what_they_print() {
        for text in ["bits", "ignore", "ulp:4", "atol:1e-6,rtol:1e-5"] {
            assert_eq!(text.parse::<CompareRule>().unwrap().to_string(), text);
        }
        assert_eq!("rtol = 0.5".parse::<CompareRule>().unwrap(), CompareRule::Close { absolute: 0.0, relative: 0.5 });
        for wrong in ["", "bit", "ulp:x", "ulp:-1", "atol:inf", "ulp:1,rtol:2", "rtol:-1"] {
            let error = wrong.parse::<CompareRule>().unwrap_err();
            assert!(error.hint.is_some(), "{wrong}");
        }
    }

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let rules = CompareRules(vec![
            ("*.npy".into(), Choice { here: CompareRule::Ulp(2), elsewhere: None }),
            ("show/*/map".into(), Choice { here: CompareRule::Ignore, elsewhere: None }),
        ]);
        assert_eq!(rules.of("deep/a.npy").here, CompareRule::Ulp(2));
        assert_eq!(rules.of("show/01-x/map").here, CompareRule::Ignore);
        assert_eq!(rules.of("show/01-x/maps").here, CompareRule::Bits);
        assert_eq!(rules.of("print").here, CompareRule::Bits);
    }

    #[test]
    fn stars_stand_for_any_letters_and_take_no_time() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("a*b", "ab", true),
            ("a*b", "a-b-b", true),
            ("a*b*c", "a-b-c-b", false),
            ("*ab", "aab", true),
            ("**b*", "abc", true),
            ("a", "ab", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
        assert!(!fits(&("*a".repeat(40) + "*b"), &"a".repeat(100_000)));
    }
}
