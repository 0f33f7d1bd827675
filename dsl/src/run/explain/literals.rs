//! Values as literals in script syntax.

use convscope_engine::{Error, Result};
use serde_json::Value;

/// JSON as a literal in script syntax.
///
/// # Errors
/// Never for JSON that was read.
pub fn literal(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Object(map) => {
            let entries = map.iter().map(|(k, v)| Ok(format!("{k}: {}", literal(v)?))).collect::<Result<Vec<_>>>()?;
            format!("#{{ {} }}", entries.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(literal).collect::<Result<Vec<_>>>()?.join(", ")),
        Value::String(text) => quoted(text)?,
        other => other.to_string(),
    })
}

/// A text as a literal in script syntax.
pub(super) fn quoted(text: &str) -> Result<String> {
    serde_json::to_string(text).map_err(|e| Error::internal(e.to_string()))
}
