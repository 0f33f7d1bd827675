//! Canonical JSON (RFC 8785, the JSON Canonicalization Scheme): one value, one text, so that a digest can be part of
//! the document that it covers.

use crate::digest::digest;
use crate::error::{Error, Result};
use serde_json::Value;

/// The member of an object that holds the digest of the others.
const SEAL: &str = "digest";

/// The value as canonical JSON: members sorted by their UTF-16 code units, no white space, numbers as ECMAScript
/// prints them. Whole numbers beyond 2^53 are printed in full.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push('{');
            for (i, (name, member)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                text(name, out);
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::String(s) => text(s, out),
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(f) => out.push_str(&number(f)),
            None => out.push_str(&n.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

fn text(s: &str, out: &mut String) {
    out.push_str(&Value::from(s).to_string());
}

/// A finite number as ECMAScript's `Number::toString` prints it: the shortest digits that read back as the same number.
fn number(f: f64) -> String {
    if f == 0.0 {
        return "0".into();
    }
    let scientific = format!("{:e}", f.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (k, n) = (digits.len() as i32, exponent + 1);
    let zeros = |count: i32| "0".repeat(count.max(0) as usize);
    let body = if k <= n && n <= 21 {
        format!("{digits}{}", zeros(n - k))
    } else if 0 < n && n <= 21 {
        format!("{}.{}", &digits[..n as usize], &digits[n as usize..])
    } else if -6 < n && n <= 0 {
        format!("0.{}{digits}", zeros(-n))
    } else {
        let sign = if n > 0 { "+" } else { "-" };
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}e{sign}{}", (n - 1).abs())
    };
    if f < 0.0 { format!("-{body}") } else { body }
}

/// The canonical text of an object with its digest put in as the member `digest`.
pub fn sealed(mut value: Value) -> String {
    let seal = seal(&value);
    if let Some(members) = value.as_object_mut() {
        members.insert(SEAL.into(), seal.into());
    }
    canonical(&value)
}

/// `blake3:` and the digest of the object's canonical text without its member `digest`.
pub fn seal(value: &Value) -> String {
    let mut open = value.clone();
    if let Some(members) = open.as_object_mut() {
        members.shift_remove(SEAL);
    }
    format!("blake3:{}", digest(canonical(&open).as_bytes()))
}

/// The object in a text that [`sealed`] wrote, without its digest.
///
/// # Errors
/// Where a byte of it is not as it was written.
pub fn unsealed(text: &[u8]) -> Result<Value> {
    let damaged = |what: &str| Error::format(format!("{what}; it was changed after it was written"));
    let read = std::str::from_utf8(text).map_err(|_| damaged("it is not UTF-8"))?;
    let value: Value = serde_json::from_str(read).map_err(|e| damaged(&format!("it is no JSON ({e})")))?;
    match value.get(SEAL).and_then(Value::as_str) {
        None => Err(damaged("it has no digest of its own")),
        Some(said) if said != seal(&value) => Err(damaged("its own digest does not fit what it says")),
        Some(_) if canonical(&value) != read.trim_end_matches(['\n', '\r']) => {
            Err(damaged("it is not in canonical form"))
        }
        Some(_) => {
            let mut open = value.clone();
            if let Some(members) = open.as_object_mut() {
                members.shift_remove(SEAL);
            }
            Ok(open)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn the_rfc_s_own_examples() {
        // RFC 8785, section 3.2.2 and appendix B.
        let value: Value = serde_json::from_str(
            "{\"numbers\":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],\"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\"literals\":[null,true,false]}",
        )
        .unwrap();
        assert_eq!(
            canonical(&value),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        for (bits, text) in [
            (0x8000_0000_0000_0000_u64, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            assert_eq!(number(f64::from_bits(bits)), text);
        }
        let keys = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        assert_eq!(canonical(&keys).matches(|c: char| c.is_ascii_digit()).collect::<String>(), "21467153");
    }

    #[test]
    fn a_seal_covers_every_byte() {
        let text = sealed(json!({"b": [1, 2.5], "a": "é\n", "digest": "old"}));
        assert!(unsealed(text.as_bytes()).is_ok());
        for i in 0..text.len() {
            let mut flipped = text.clone().into_bytes();
            flipped[i] ^= 1;
            assert!(unsealed(&flipped).is_err(), "byte {i} of {text}");
        }
        assert!(unsealed(b"{}").is_err());
    }
}
