//! Limits the nesting of values, so that a script that nests them without end stops with an error: freeing, copying and printing
//! need stack for each level.

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, Map, Position, Scope};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most levels of nesting: lists in lists, maps in maps, closures in closures.
pub const MAX_DEPTH: usize = 20_000;
/// The beginning of the error.
pub const TOO_DEEP: &str = "values are nested";
/// The most levels that one step of a script can add, by literals of nested lists.
const LEVELS_A_STEP: usize = 4;
/// The fraction of a script's time, one in so many, that measuring the depth may take.
const TIME_SHARE: u32 = 10;

/// Whether an error ended a script because its values were nested too deep.
pub fn is_too_deep(error: &EvalAltResult) -> bool {
    match error {
        EvalAltResult::ErrorDataTooLarge(what, _) => what.starts_with(TOO_DEEP),
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => is_too_deep(inner),
        _ => false,
    }
}

/// Measures the nesting of a script's variables from time to time.
#[derive(Debug)]
pub struct DepthCheck {
    /// The step at which the next measurement is due.
    due: u64,
    /// The earliest time of the next measurement.
    rested: Instant,
}

impl DepthCheck {
    /// A state for the next cell.
    pub fn new() -> Self {
        DepthCheck { due: (MAX_DEPTH / LEVELS_A_STEP) as u64, rested: Instant::now() }
    }

    /// An error where the values of `scope` are nested too deep; measures only where that is possible by step `step`.
    ///
    /// # Errors
    /// Where they are nested deeper than [`MAX_DEPTH`].
    pub fn look(&mut self, step: u64, scope: &Scope<'_>) -> Result<(), Box<EvalAltResult>> {
        if step < self.due || Instant::now() < self.rested {
            return Ok(());
        }
        let begun = Instant::now();
        let mut seen = BTreeMap::new();
        let deepest = scope.iter_raw().map(|(_, _, value)| levels(value, 0, &mut seen)).max().unwrap_or(0);
        self.rested = Instant::now() + TIME_SHARE * begun.elapsed().min(Duration::from_secs(1));
        self.due = step + ((MAX_DEPTH.saturating_sub(deepest)) / LEVELS_A_STEP).max(64) as u64;
        if deepest <= MAX_DEPTH {
            return Ok(());
        }
        let what = format!("{TOO_DEEP} more than {MAX_DEPTH} deep");
        Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)))
    }
}

/// The deepest level in `value`, which lies `above` levels deep; stops soon after [`MAX_DEPTH`]. `seen` holds the levels at which
/// shared values were met.
fn levels(value: &Dynamic, above: usize, seen: &mut BTreeMap<usize, usize>) -> usize {
    if above > MAX_DEPTH {
        return above;
    }
    let first = |at: usize, seen: &mut BTreeMap<usize, usize>| {
        let known = seen.entry(at).or_insert(usize::MAX);
        let is = *known == usize::MAX || *known < above;
        if is {
            *known = above;
        }
        is
    };
    let shared = value.is_shared();
    let mut deepest = above;
    if let Some(list) = value.read_lock::<Array>() {
        if !shared || first(&raw const *list as usize, seen) {
            for item in list.iter().filter(|v| holds(v)) {
                deepest = deepest.max(levels(item, above + 1, seen));
            }
        }
    } else if let Some(map) = value.read_lock::<Map>() {
        if !shared || first(&raw const *map as usize, seen) {
            for item in map.values().filter(|v| holds(v)) {
                deepest = deepest.max(levels(item, above + 1, seen));
            }
        }
    } else if let Some(function) = value.read_lock::<FnPtr>()
        && (!shared || first(&raw const *function as usize, seen))
    {
        for item in function.curry().iter().filter(|v| holds(v)) {
            deepest = deepest.max(levels(item, above + 1, seen));
        }
    }
    deepest
}

/// Whether a value can contain others.
fn holds(value: &Dynamic) -> bool {
    value.is_array() || value.is_map() || value.is_fnptr()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn levels_are_counted_through_lists_maps_and_closures_once() {
        let mut value = Dynamic::from(1_i64);
        for i in 0..100 {
            value = match i % 2 {
                0 => Dynamic::from_array(vec![value]),
                _ => Dynamic::from_map([("a".into(), value)].into_iter().collect()),
            };
        }
        assert_eq!(levels(&value, 0, &mut BTreeMap::new()), 99);
        // Two references in each level: 2^60 paths.
        let mut value = Dynamic::from_array(vec![]);
        for _ in 0..60 {
            value = Dynamic::from_array(vec![value.into_shared(), Dynamic::UNIT]);
            let Some(list) = value.clone().try_cast::<Array>() else { panic!("a list") };
            value = Dynamic::from_array(vec![list[0].clone(), list[0].clone()]);
        }
        assert_eq!(levels(&value, 0, &mut BTreeMap::new()), 60);
    }
}
