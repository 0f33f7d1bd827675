//! Maps as JSON, in place of rhai's own: a closure may capture the map that contains it, whose text would have no end.

use crate::library::Library;
use convscope_engine::{Error, Result};
use rhai::{Array, Dynamic, FnPtr, Map, NativeCallContext};
use std::fmt::Write as _;

/// The most levels of a JSON text; JSON readers have this limit.
const MAX_LEVELS: usize = 120;

/// Binds `to_json`.
pub fn bind(library: &mut Library<'_>) {
    library.engine.register_fn("to_json", |context: NativeCallContext, map: Map| {
        let mut json = Json { text: String::new(), most: context.engine().max_string_size() };
        json.map(&map, 0).map(|()| json.text).map_err(crate::fault::raise)
    });
}

struct Json {
    text: String,
    most: usize,
}

impl Json {
    fn value(&mut self, value: &Dynamic, level: usize) -> Result<()> {
        if level > MAX_LEVELS {
            return Err(Error::value(format!("a map more than {MAX_LEVELS} levels deep is no JSON")));
        }
        if self.most > 0 && self.text.len() > self.most {
            return Err(Error::value(format!("the JSON text is longer than {} bytes", self.most)));
        }
        if let Some(map) = value.read_lock::<Map>() {
            self.map(&map, level)
        } else if let Some(list) = value.read_lock::<Array>() {
            self.list(list.iter(), level)
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            let name = Dynamic::from(function.fn_name().to_string());
            match function.curry() {
                [] => self.value(&name, level),
                held => self.list(std::iter::once(&name).chain(held), level),
            }
        } else if value.is_locked() {
            // `m.to_json()` locks `m`, and a closure in `m` captures `m`: waiting for the lock would never end.
            Err(Error::value("a map that is held by a closure in it is no JSON"))
        } else {
            // A single value is written as rhai writes it; a value without JSON form is written as its type's name.
            let one = serde_json::to_string(value).unwrap_or_else(|_| "null".into());
            self.text.push_str(&one);
            Ok(())
        }
    }

    fn map(&mut self, map: &Map, level: usize) -> Result<()> {
        self.text.push('{');
        for (i, (key, value)) in map.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(self.text, "{comma}{}:", serde_json::Value::from(key.as_str()));
            self.value(value, level + 1)?;
        }
        self.text.push('}');
        Ok(())
    }

    fn list<'v>(&mut self, values: impl Iterator<Item = &'v Dynamic>, level: usize) -> Result<()> {
        self.text.push('[');
        for (i, value) in values.enumerate() {
            if i > 0 {
                self.text.push(',');
            }
            self.value(value, level + 1)?;
        }
        self.text.push(']');
        Ok(())
    }
}
