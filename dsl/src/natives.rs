//! Replacements of rhai's own functions: those that can make large values, which are checked before they run, because rhai checks
//! sizes only after a call; and those that would ignore errors of the functions that they call.

use crate::convert::kind;
use crate::fault::{Fallible, Raise, raise};
use convscope_engine::{Error, Result};
use rhai::{
    Array, Dynamic, Engine, EvalAltResult, FnPtr, FuncRegistration, ImmutableString, Map, NativeCallContext, Position,
};
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Order};

/// The memory of an entry in a list of texts, relative to one in a list of numbers: each text has its own allocation.
const TEXT_ENTRY_COST: usize = 4;

/// Whether a text would have grown too large where no error could be returned.
pub type TooLong = Arc<AtomicBool>;

/// Binds the functions; `too_long` is set where the script must end because a text would grow too large.
pub fn bind(engine: &mut Engine, too_long: &TooLong) {
    for (name, back) in [("split", false), ("split_rev", true)] {
        engine.register_fn(name, move |context: NativeCallContext, text: ImmutableString, by: &str| {
            split(&context, &text, by, usize::MAX, back)
        });
        engine.register_fn(name, move |context: NativeCallContext, text: ImmutableString, by: char| {
            split(&context, &text, by.encode_utf8(&mut [0; 4]), usize::MAX, back)
        });
        engine.register_fn(name, move |context: NativeCallContext, text: ImmutableString, by: &str, most: i64| {
            split(&context, &text, by, pieces(most), back)
        });
        engine.register_fn(name, move |context: NativeCallContext, text: ImmutableString, by: char, most: i64| {
            split(&context, &text, by.encode_utf8(&mut [0; 4]), pieces(most), back)
        });
    }
    engine.register_fn("split", |context: NativeCallContext, text: ImmutableString| -> Fallible<Array> {
        if text.is_empty() {
            return Ok(vec![text.into()]);
        }
        room(&context, text.split_whitespace().count().saturating_mul(TEXT_ENTRY_COST))?;
        Ok(text.split_whitespace().map(Into::into).collect())
    });
    engine.register_fn("to_chars", |context: NativeCallContext, text: &str| -> Fallible<Array> {
        room(&context, text.chars().count())?;
        Ok(text.chars().map(Into::into).collect())
    });
    engine.register_fn("pad", |context: NativeCallContext, text: &mut ImmutableString, length: i64, with: &str| {
        pad(&context, text, length, with)
    });
    engine.register_fn("pad", |context: NativeCallContext, text: &mut ImmutableString, length: i64, with: char| {
        pad(&context, text, length, with.encode_utf8(&mut [0; 4]))
    });
    for name in ["sort", "sort_by"] {
        engine.register_fn(name, |context: NativeCallContext, list: &mut Array, by: FnPtr| sort(&context, list, &by));
    }
    engine
        .register_fn("dedup", |context: NativeCallContext, list: &mut Array, same: FnPtr| dedup(&context, list, &same));
    for name in ["print", "debug", "to_string", "to_debug"] {
        let flag = too_long.clone();
        FuncRegistration::new(name)
            .with_purity(true)
            .register_into_engine(engine, move |context: NativeCallContext, list: &mut Array| {
                list_text(&context, list, &flag)
            });
        let flag = too_long.clone();
        FuncRegistration::new(name)
            .with_purity(true)
            .register_into_engine(engine, move |context: NativeCallContext, map: &mut Map| {
                map_text(&context, map, &flag)
            });
    }
}

fn too_large(what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_string(), Position::NONE).into()
}

/// An error unless a list may have so many entries.
fn room(context: &NativeCallContext<'_>, entries: usize) -> Fallible<()> {
    match context.engine().max_array_size() {
        most if most > 0 && entries > most => Err(too_large("Size of array")),
        _ => Ok(()),
    }
}

/// The number of pieces that a script requests, at least one.
fn pieces(most: i64) -> usize {
    usize::try_from(most.max(1)).unwrap_or(usize::MAX)
}

fn split(
    context: &NativeCallContext<'_>,
    text: &ImmutableString,
    by: &str,
    most: usize,
    back: bool,
) -> Fallible<Array> {
    if most == 1 || text.is_empty() || (!by.is_empty() && !text.contains(by)) {
        return Ok(vec![text.clone().into()]);
    }
    let count = text.matches(by).take(most - 1).count() + 1;
    room(context, count.saturating_mul(TEXT_ENTRY_COST))?;
    Ok(match back {
        false => text.splitn(most, by).map(Into::into).collect(),
        true => text.rsplitn(most, by).map(Into::into).collect(),
    })
}

/// Pads a text to `length` characters with repetitions of `with`.
fn pad(context: &NativeCallContext<'_>, text: &mut ImmutableString, length: i64, with: &str) -> Fallible<()> {
    let has = text.chars().count();
    let missing = usize::try_from(length).unwrap_or(if length < 0 { 0 } else { usize::MAX }).saturating_sub(has);
    if missing == 0 || with.is_empty() {
        return Ok(());
    }
    let rounds = missing / with.chars().count() + 1;
    let most = context.engine().max_string_size();
    if most > 0 && rounds.saturating_mul(with.len()).saturating_add(text.len()) > most.saturating_add(with.len()) {
        return Err(too_large("Length of string"));
    }
    let padding: String = with.chars().cycle().take(missing).collect();
    *text = format!("{text}{padding}").into();
    Ok(())
}

/// The error of a comparing function.
type Failed = Cell<Option<Box<EvalAltResult>>>;

/// Does `work`, which compares by a script function; that function's error ends the work at once ([`end`]).
fn compared(work: impl FnOnce(&Failed)) -> Fallible<()> {
    let failed = Failed::new(None);
    let done = catch_unwind(AssertUnwindSafe(|| work(&failed)));
    match (failed.take(), done) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) => Err(raise(Error::value("the function of `sort` gives no consistent order").hint(
            "it must give one answer for the same two values; where a is before b and b before c, a must be before c",
        ))),
    }
}

/// Leaves the work of [`compared`] with an error. The list keeps its values; nothing is printed.
fn end<T>(failed: &Failed, error: Box<EvalAltResult>) -> T {
    failed.set(Some(error));
    resume_unwind(Box::new(()))
}

/// Sorts a list by a function that returns a number below, at or above 0 for before, equal or behind; or true for before.
fn sort(context: &NativeCallContext<'_>, list: &mut Array, by: &FnPtr) -> Fallible<()> {
    compared(|failed| {
        list.sort_by(|a, b| order(context, by, a, b).unwrap_or_else(|error| end(failed, error)));
    })
}

fn order(context: &NativeCallContext<'_>, by: &FnPtr, a: &Dynamic, b: &Dynamic) -> Fallible<Ordering> {
    let said = by.call_raw(context, None, [a.clone(), b.clone()])?;
    match (said.as_int(), said.as_bool()) {
        (Ok(n), _) => Ok(n.cmp(&0)),
        (_, Ok(true)) => Ok(Ordering::Less),
        (_, Ok(false)) => Ok(Ordering::Greater),
        _ => unsorted(&said).raise(),
    }
}

fn unsorted(said: &Dynamic) -> Result<Ordering> {
    Err(Error::value(format!("the function of `sort` gives a whole number, or true or false, got {}", kind(said)))
        .hint("for numbers with a fraction: sort(|a, b| a < b)"))
}

/// Removes elements that a function calls equal to the one before.
fn dedup(context: &NativeCallContext<'_>, list: &mut Array, same: &FnPtr) -> Fallible<()> {
    compared(|failed| {
        list.dedup_by(|a, b| match same.call_raw(context, None, [b.clone(), a.clone()]) {
            Ok(said) => said.as_bool().unwrap_or(false),
            Err(error) => end(failed, error),
        });
    })
}

/// A text that is built in pieces, up to the limit for texts.
struct Text<'f> {
    text: String,
    most: usize,
    too_long: &'f TooLong,
}

impl<'f> Text<'f> {
    fn new(context: &NativeCallContext<'_>, too_long: &'f TooLong) -> Self {
        let most = context.engine().max_string_size();
        Text { text: String::new(), most: if most == 0 { usize::MAX } else { most }, too_long }
    }

    /// Appends a value as rhai writes it within a list; returns whether there is room for more.
    fn value(&mut self, context: &NativeCallContext<'_>, value: &mut Dynamic) -> bool {
        let made = context.call_native_fn_raw("to_debug", true, &mut [value]);
        match made.map(Dynamic::into_immutable_string) {
            Ok(Ok(text)) => self.text.push_str(&text),
            Ok(Err(name)) => self.text.push_str(name),
            Err(_) => self.text.push_str(context.engine().map_type_name(value.type_name())),
        }
        self.has_room()
    }

    fn has_room(&self) -> bool {
        let has = self.text.len() <= self.most && !self.too_long.load(Order::Relaxed);
        if !has {
            self.too_long.store(true, Order::Relaxed);
        }
        has
    }
}

fn list_text(context: &NativeCallContext<'_>, list: &mut Array, too_long: &TooLong) -> ImmutableString {
    let mut made = Text::new(context, too_long);
    made.text.push('[');
    for (i, value) in list.iter_mut().enumerate() {
        if i > 0 {
            made.text.push_str(", ");
        }
        if !made.value(context, value) {
            break;
        }
    }
    made.text.push(']');
    made.text.into()
}

fn map_text(context: &NativeCallContext<'_>, map: &mut Map, too_long: &TooLong) -> ImmutableString {
    let mut made = Text::new(context, too_long);
    made.text.push_str("#{");
    for (i, (key, value)) in map.iter_mut().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let _ = write!(made.text, "{comma}{key:?}: ");
        if !made.value(context, value) {
            break;
        }
    }
    made.text.push('}');
    made.text.into()
}
