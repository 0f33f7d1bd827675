//! A script's parameters: their types, defaults and ranges, as front matter declares them.

use convscope_engine::{Error, Result};

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// The default; its type is the parameter's.
    pub default: Value,
    /// The least value.
    pub min: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
    /// The allowed values, where they are listed.
    pub choices: Vec<Value>,
    /// The description.
    pub doc: String,
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Param {
    pub(super) fn of(value: &toml::Value) -> Result<Self> {
        let toml::Value::Table(table) = value else {
            let default = Value::of(value)?;
            return Ok(Param { default, min: None, max: None, choices: Vec::new(), doc: String::new() });
        };
        const KNOWN: [&str; 6] = ["default", "type", "min", "max", "choices", "doc"];
        if let Some(other) = table.keys().find(|k| !KNOWN.contains(&k.as_str())) {
            return Err(convscope_engine::params::unknown_option("a parameter", other, &KNOWN));
        }
        let default = table.get("default").ok_or_else(|| Error::value("it has no `default`"))?;
        let mut default = Value::of(default)?;
        if let Some(said) = table.get("type") {
            default = default.typed(said.as_str().unwrap_or_default())?;
        }
        let number = |key: &str| -> Result<Option<f64>> {
            let Some(value) = table.get(key) else { return Ok(None) };
            let number = value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
            number.map(Some).ok_or_else(|| Error::value(format!("`{key}` is no number")))
        };
        let choices = table.get("choices").and_then(toml::Value::as_array).into_iter().flatten();
        let param = Param {
            min: number("min")?,
            max: number("max")?,
            choices: choices.map(Value::of).collect::<Result<_>>()?,
            doc: table.get("doc").and_then(toml::Value::as_str).unwrap_or_default().to_string(),
            default,
        };
        param.allows("default", &param.default)?;
        Ok(param)
    }

    pub(super) fn allows(&self, name: &str, value: &Value) -> Result<()> {
        let number = match value {
            Value::Int(i) => Some(*i as f64),
            Value::Float(f) => Some(*f),
            _ => None,
        };
        let (min, max) = (self.min.unwrap_or(f64::NEG_INFINITY), self.max.unwrap_or(f64::INFINITY));
        if number.is_some_and(|n| n < min || n > max) {
            return Err(Error::value(format!("parameter `{name}` lies in {min} to {max}, got {}", value.text())));
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            let all = self.choices.iter().map(|c| format!("`{}`", c.text())).collect::<Vec<_>>().join(", ");
            return Err(Error::value(format!("parameter `{name}` is one of {all}, got `{}`", value.text())));
        }
        Ok(())
    }
}

impl Value {
    fn of(value: &toml::Value) -> Result<Self> {
        match value {
            toml::Value::Boolean(b) => Ok(Value::Bool(*b)),
            toml::Value::Integer(i) => Ok(Value::Int(*i)),
            toml::Value::Float(f) => Ok(Value::Float(*f)),
            toml::Value::String(s) => Ok(Value::Text(s.clone())),
            other => Err(Error::value(format!("{other} is neither a text, a number, true nor false"))),
        }
    }

    fn typed(self, name: &str) -> Result<Self> {
        match (name, self) {
            ("bool", v @ Value::Bool(_))
            | ("int", v @ Value::Int(_))
            | ("float", v @ Value::Float(_))
            | ("text" | "string", v @ Value::Text(_)) => Ok(v),
            ("float", Value::Int(i)) => Ok(Value::Float(i as f64)),
            ("bool" | "int" | "float" | "text" | "string", v) => {
                Err(Error::value(format!("its default is {}, not of type `{name}`", v.kind())))
            }
            _ => Err(Error::value(format!("no type `{name}`")).hint("types are bool, int, float and text")),
        }
    }

    /// Parses the text as a value of the same type.
    pub(super) fn like(&self, text: &str) -> Option<Value> {
        match self {
            Value::Bool(_) => match text {
                "true" | "yes" | "1" => Some(Value::Bool(true)),
                "false" | "no" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            Value::Int(_) => text.parse().ok().map(Value::Int),
            Value::Float(_) => text.parse().ok().map(Value::Float),
            Value::Text(_) => Some(Value::Text(text.to_string())),
        }
    }

    /// The value in the form that `--param` takes.
    pub fn text(&self) -> String {
        match self {
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => format!("{f:?}"),
            Value::Text(t) => t.clone(),
        }
    }

    /// The type in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
        }
    }
}
