//! Options of probes as data: name, type, default, range and doc stand once, in a [`params!`](crate::params!) block next to the
//! code that uses them; the Rust setters, the script's option maps, the reference, completion and manifests read
//! them from there.

use crate::data::files::Dataset;
use crate::data::image::Image;
use crate::error::{Error, Result, did_you_mean};
use crate::model::Model;
use crate::probe::ProbeArg;
use crate::subject::Subject;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// A value as scripts hold it.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing (`()`).
    Nothing,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(BTreeMap<String, Value>),
    /// An image.
    Image(Image),
    /// A tensor.
    Tensor(Tensor),
    /// A data set.
    Data(Dataset),
    /// A net.
    Model(Model),
    /// What is asked about.
    Subject(Subject),
    /// A probe.
    Probe(ProbeArg),
}

impl Value {
    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Image(_) => "an image",
            Value::Tensor(_) => "a tensor",
            Value::Data(_) => "a data set",
            Value::Model(_) => "a net",
            Value::Subject(_) => "a subject",
            Value::Probe(_) => "a probe",
        }
    }

    /// The value as JSON, for manifests; large things by what identifies them.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::json;
        match self {
            Value::Nothing => json!(null),
            Value::Bool(b) => json!(b),
            Value::Int(i) => json!(i),
            Value::Float(f) => json!(f),
            Value::Text(s) => json!(s),
            Value::List(l) => l.iter().map(Value::json).collect(),
            Value::Map(m) => m.iter().map(|(k, v)| (k.clone(), v.json())).collect::<serde_json::Map<_, _>>().into(),
            Value::Image(i) => json!(format!("image {} x {}", i.width(), i.height())),
            Value::Tensor(t) => json!(format!("tensor {:?}", t.dims())),
            Value::Data(d) => json!(format!("data set of {}", d.len())),
            Value::Model(m) => json!(m.card().name),
            Value::Subject(s) => json!(s.to_string()),
            Value::Probe(p) => p.0.settings(),
        }
    }
}

/// What a person may give for an option.
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

    /// What a person may give.
    fn form() -> Form;

    /// Reads a script's value.
    ///
    /// # Errors
    /// Where it is of another kind; the message says which.
    fn read(value: &Value) -> Result<Self>;

    /// The script's value, for the reference and manifests.
    fn write(&self) -> Value;
}

/// The error for a value of the wrong kind.
pub fn wrong_kind<T: Param>(value: &Value) -> Error {
    Error::value(format!("takes {}, got {}", T::form().words, value.kind()))
}

macro_rules! plain {
    ($t:ty, $words:literal, $($pattern:pat $(if $guard:expr)? => $read:expr),+; $self:ident => $write:expr) => {
        impl Param for $t {
            fn form() -> Form {
                Form::words($words)
            }
            fn read(value: &Value) -> Result<Self> {
                match value {
                    $($pattern $(if $guard)? => Ok($read),)+
                    other => Err(wrong_kind::<Self>(other)),
                }
            }
            fn write(&self) -> Value {
                let $self = self;
                $write
            }
        }
    };
}

plain!(bool, "true or false", Value::Bool(b) => *b; s => Value::Bool(*s));
plain!(i64, "a whole number", Value::Int(i) => *i; s => Value::Int(*s));
plain!(u64, "a whole number from 0", Value::Int(i) if *i >= 0 => *i as u64; s => Value::Int(*s as i64));
plain!(usize, "a whole number from 0", Value::Int(i) if *i >= 0 => *i as usize; s => Value::Int(*s as i64));
plain!(f64, "a number", Value::Float(f) => *f, Value::Int(i) => *i as f64; s => Value::Float(*s));
plain!(String, "a text", Value::Text(t) => t.clone(); s => Value::Text(s.clone()));
plain!(Image, "an image", Value::Image(i) => i.clone(); s => Value::Image(s.clone()));
plain!(Tensor, "a tensor", Value::Tensor(t) => t.clone(); s => Value::Tensor(s.clone()));

impl Param for Dataset {
    fn form() -> Form {
        Form::words("a data set or a list of images")
    }
    fn read(value: &Value) -> Result<Self> {
        let image = |v: &Value| if let Value::Image(image) = v { Some(image.clone()) } else { None };
        match value {
            Value::Data(data) => Ok(data.clone()),
            Value::List(list) if !list.is_empty() => match list.iter().map(image).collect::<Option<Vec<_>>>() {
                Some(images) => Ok(Dataset::from_images("images", images)),
                None => Err(wrong_kind::<Self>(value)),
            },
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::Data(self.clone())
    }
}

impl<T: Param> Param for Option<T> {
    const FILE: bool = T::FILE;

    fn form() -> Form {
        T::form()
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Nothing => Ok(None),
            other => T::read(other).map(Some),
        }
    }
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Nothing, T::write)
    }
}

impl<T: Param> Param for Vec<T> {
    const POSITIONAL: bool = T::POSITIONAL;

    fn form() -> Form {
        Form::words(&format!("a list, each {}", T::form().words))
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::List(items) => items.iter().map(T::read).collect(),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::List(self.iter().map(T::write).collect())
    }
}

/// A layer named by an option: by its name or as a layer value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerName(pub String);

impl Param for LayerName {
    fn form() -> Form {
        Form::words("a layer or its name")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(name) => Ok(LayerName(name.clone())),
            Value::Subject(Subject::Layer { model, node }) => Ok(LayerName(model.graph().node(*node).name.clone())),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::Text(self.0.clone())
    }
}

/// One option as the reference prints it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// What it does, from its doc comment.
    pub doc: &'static str,
    /// What may be given.
    pub form: Form,
    /// What holds if nothing is given.
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

    /// Name and settings, for manifests.
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

/// Defines a probe's struct from its options: `name: Type = default, in range;` with docs.
///
/// A probe says what it is in a `#[probe(family, source, subjects, input, example)]` line: the fields of
/// [`About`](crate::probe::About).
///
/// It gets `Default`, [`Params`], a `new()`, and a setter for each option, for use as
/// `Occlusion::new().patch(16).stride(4)`.
#[macro_export]
macro_rules! params {
    ($(#[doc = $doc:literal])*
    $(#[probe(
        family = $family:ident, source = $source:expr, subjects = $subjects:expr, input = $input:ident, example = $example:expr
    )])?
    $vis:vis struct $name:ident as $script:literal {
        $($(#[doc = $fdoc:literal])* $field:ident : $ty:ty = $default:expr $(, in $range:expr)?;)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        $vis struct $name { $($(#[doc = $fdoc])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default),* }
            }
        }

        impl $name {
            /// The default settings.
            pub fn new() -> Self {
                Self::default()
            }
            $($(#[doc = $fdoc])*
            pub fn $field(mut self, $field: impl Into<$ty>) -> Self {
                self.$field = $field.into();
                self
            })*
        }

        $(impl $crate::probe::Described for $name {
            fn about(&self) -> $crate::probe::About {
                $crate::probe::About {
                    family: $crate::probe::Family::$family,
                    source: $source,
                    subjects: $subjects,
                    input: $crate::probe::Takes::$input,
                    example: $example,
                }
            }
        })?

        impl $crate::params::Params for $name {
            fn name(&self) -> &'static str {
                $script
            }
            fn doc(&self) -> &'static str {
                concat!($($doc, "\n"),*)
            }
            #[allow(unused_mut, unused_assignments)]
            fn specs(&self) -> Vec<$crate::params::Spec> {
                vec![$({
                    let mut range = None;
                    $(range = Some(stringify!($range));)?
                    $crate::params::Spec {
                        name: stringify!($field),
                        doc: concat!($($fdoc, "\n"),*),
                        form: <$ty as $crate::params::Param>::form(),
                        default: $crate::params::Param::write(&self.$field),
                        range,
                        positional: <$ty as $crate::params::Param>::POSITIONAL,
                        file: <$ty as $crate::params::Param>::FILE,
                    }
                }),*]
            }
            #[allow(unused_variables)]
            fn set(&mut self, name: &str, value: &$crate::params::Value) -> $crate::Result<()> {
                match name {
                    $(stringify!($field) => {
                        let read = <$ty as $crate::params::Param>::read(value)
                            .map_err(|e| e.context(concat!("option `", stringify!($field), "` of `", $script, "`")))?;
                        $(if !($range).contains(&read) {
                            return Err($crate::Error::value(format!(
                                "option `{}` of `{}` must lie in {}, got {}",
                                stringify!($field), $script, stringify!($range), value.json()
                            )));
                        })?
                        self.$field = read;
                        Ok(())
                    })*
                    other => Err($crate::params::unknown_option($script, other, &[$(stringify!($field)),*])),
                }
            }
        }
    };
}
