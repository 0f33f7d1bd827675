//! Options of probes as data: name, type, default, range and doc are written once, in a [`params!`](crate::params!) block
//! next to the code that uses them. The Rust setters, the option maps of scripts, the reference, completion and the
//! settings recorded with artifacts are made from that block.

mod types;
mod value;

use crate::error::{Error, Result, did_you_mean};

pub use types::LayerName;
pub use value::{AnyProbe, Value};

/// The values that an option accepts, for messages and completion.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// In words: "a whole number", "\"zero\", \"mean\" or [r, g, b]".
    pub words: String,
    /// Words that can be completed.
    pub choices: Vec<&'static str>,
}

impl Form {
    /// A form described in words only.
    pub fn words(words: &str) -> Self {
        Form { words: words.to_string(), choices: Vec::new() }
    }
}

/// A type that options have.
pub trait Param: Sized + Clone {
    /// Whether the option is given by its place before the option map: probes around probes.
    const POSITIONAL: bool = false;

    /// Whether a text is a file's path, which scripts resolve against their own folder.
    const FILE: bool = false;

    /// The values that an option of this type accepts.
    fn form() -> Form;

    /// The option's value from a script's value.
    ///
    /// # Errors
    /// Where it is of another kind; the message says which.
    fn read(value: &Value) -> Result<Self>;

    /// The script's value, for the reference and recorded settings.
    fn write(&self) -> Value;
}

/// The error for a value of the wrong kind.
pub fn wrong_kind<T: Param>(value: &Value) -> Error {
    Error::value(format!("takes {}, got {}", T::form().words, value.kind()))
}

/// One option as the reference prints it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// What it does, from its doc comment.
    pub doc: &'static str,
    /// The values that it accepts.
    pub form: Form,
    /// Its default.
    pub default: Value,
    /// The allowed range, in words.
    pub range: Option<&'static str>,
    /// Whether it stands before the option map.
    pub positional: bool,
    /// Whether a text is a file's path.
    pub file: bool,
}

/// A thing with options.
pub trait Params {
    /// Its name in scripts.
    fn name(&self) -> &'static str;

    /// What it does, from its doc comment.
    fn doc(&self) -> &'static str;

    /// Its options, with this value's settings as defaults.
    fn specs(&self) -> Vec<Spec>;

    /// Sets one option.
    ///
    /// # Errors
    /// Where the option is unknown, or the value of the wrong kind or out of range.
    fn set(&mut self, name: &str, value: &Value) -> Result<()>;

    /// Name and settings, as recorded with artifacts.
    fn settings(&self) -> serde_json::Value {
        let options: serde_json::Map<_, _> =
            self.specs().iter().map(|s| (s.name.to_string(), s.default.json())).collect();
        serde_json::json!({ "name": self.name(), "options": options })
    }
}

/// The error for an option that does not exist.
pub fn unknown_option(what: &str, name: &str, known: &[&str]) -> Error {
    let list = known.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let all = if known.is_empty() { format!("`{what}` has no options") } else { format!("the options are {list}") };
    let hint = match did_you_mean(name, known.iter().copied()) {
        Some(close) => format!("{close} {all}"),
        None => all,
    };
    Error::not_found(format!("`{what}` has no option `{name}`")).hint(hint)
}

/// Defines an option type that is one of a few words.
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        impl $crate::params::Param for $name {
            fn form() -> $crate::params::Form {
                let choices = vec![$($word),+];
                let words = choices.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(" or ");
                $crate::params::Form { words, choices }
            }
            fn read(value: &$crate::params::Value) -> $crate::Result<Self> {
                match value {
                    $($crate::params::Value::Text(t) if t == $word => Ok($name::$variant),)+
                    $crate::params::Value::Text(t) => {
                        let form = Self::form();
                        let error = $crate::Error::value(format!("takes {}, got {t:?}", form.words));
                        Err(match $crate::error::did_you_mean(t, form.choices) {
                            Some(close) => error.hint(close),
                            None => error,
                        })
                    }
                    other => Err($crate::params::wrong_kind::<Self>(other)),
                }
            }
            fn write(&self) -> $crate::params::Value {
                $crate::params::Value::Text(match self { $($name::$variant => $word),+ }.to_string())
            }
        }
    };
}
