//! The one error type of the engine: what was asked, what is there, what to do.
//!
//! Messages are lower case and end without a full stop. Context is added on the way up
//! ([`Context::context`]), so that an inner error gains the node, file or option it concerns.

use std::fmt;

/// What went wrong, as a script sees it in `.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name (layer, class, option, net, file entry) that does not exist.
    NotFound,
    /// A value out of range or of the wrong form.
    Value,
    /// Shapes that do not fit each other.
    Shape,
    /// A subject or input that this probe cannot take.
    Subject,
    /// A file that cannot be read or written.
    Io,
    /// A file whose content is damaged or not what its name says.
    Format,
    /// A well-formed request that this version cannot carry out.
    Unsupported,
    /// A store or server that cannot be reached, or no longer takes the credentials: of what lies there nothing is known.
    Unreachable,
    /// Stopped by the user.
    Interrupted,
    /// A defect of convscope itself.
    Internal,
}

impl Kind {
    /// The lower-case name that scripts compare with.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotFound => "not_found",
            Kind::Value => "value",
            Kind::Shape => "shape",
            Kind::Subject => "subject",
            Kind::Io => "io",
            Kind::Format => "format",
            Kind::Unsupported => "unsupported",
            Kind::Unreachable => "unreachable",
            Kind::Interrupted => "interrupted",
            Kind::Internal => "internal",
        }
    }

    /// Whether an error of this kind ends work over many inputs: it is not about the input at which it occurred.
    pub fn ends_work(self) -> bool {
        matches!(self, Kind::Unreachable | Kind::Interrupted)
    }
}

/// An error with its kind, message and, where there is one, a hint that says what to do.
#[derive(Clone, Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// What was asked and what is there.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None }
    }

    /// A name that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// A value out of range or of the wrong form.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(Kind::Value, message)
    }

    /// Shapes that do not fit.
    pub fn shape(message: impl Into<String>) -> Self {
        Self::new(Kind::Shape, message)
    }

    /// A subject or input that a probe cannot take.
    pub fn subject(message: impl Into<String>) -> Self {
        Self::new(Kind::Subject, message)
    }

    /// A damaged or unexpected file.
    pub fn format(message: impl Into<String>) -> Self {
        Self::new(Kind::Format, message)
    }

    /// A request that this version cannot carry out.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// A defect of convscope itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// A file operation that went wrong at `path`.
    pub fn io(path: impl AsRef<std::path::Path>, source: &std::io::Error) -> Self {
        let what = match source.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_string(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_string(),
            std::io::ErrorKind::IsADirectory => "is a directory, not a file".to_string(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                let folder = path.as_ref().parent().filter(|f| !f.as_os_str().is_empty());
                format!("no space is left on the disk of the folder `{}`", folder.unwrap_or(".".as_ref()).display())
            }
            _ => source.to_string(),
        };
        Self::new(Kind::Io, format!("`{}`: {what}", path.as_ref().display()))
    }

    /// The same error with a hint (kept as it is if it already has one).
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same error with `place` put before its message.
    pub fn context(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        // Only what went wrong: candle appends where in its code.
        Error::internal(e.to_string().lines().next().unwrap_or_default())
    }
}

/// Adds where an error happened on its way up.
pub trait Context<T> {
    /// Puts `place()` before the message of an error.
    fn context<D: fmt::Display>(self, place: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context<D: fmt::Display>(self, place: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|e| e.into().context(place()))
    }
}

/// The longest name, in bytes, that is compared with others: names are written by hand, and the time grows with both lengths.
const MAX_COMPARED: usize = 64;

/// The candidates closest to `asked`, best first, for "did you mean": equal but for case or
/// separators, then a prefix, then at most a third of the letters apart. Names of more than 64 bytes are not compared.
pub fn suggestions<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let plain = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    if asked.len() > MAX_COMPARED {
        return Vec::new();
    }
    let want = plain(asked);
    let mut scored: Vec<(usize, usize, &str)> = known
        .into_iter()
        .enumerate()
        .filter(|(_, name)| name.len() <= MAX_COMPARED)
        .filter_map(|(i, name)| {
            let have = plain(name);
            let distance = match strsim::osa_distance(&want, &have) {
                0 => 0,
                d if !want.is_empty() && have.starts_with(&want) => 1.min(d),
                d => d,
            };
            (distance <= 1.max(want.len() / 3)).then_some((distance, i, name))
        })
        .collect();
    scored.sort();
    let mut names: Vec<&str> = scored.into_iter().map(|(_, _, name)| name).collect();
    names.dedup();
    names.truncate(3);
    names
}

/// "did you mean `a` or `b`?", or nothing when no candidate is close.
pub fn did_you_mean<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names = suggestions(asked, known);
    (!names.is_empty())
        .then(|| format!("did you mean {}?", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")))
}
