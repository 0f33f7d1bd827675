//! The lock: `S.lock.json`, the record of a run as canonical JSON with its own digest.

use super::record::Record;
use crate::canonical::{sealed, unsealed};
use crate::error::{Context, Error, Result};
use crate::limits::LOCK;
use crate::regular;
use std::path::Path;

/// The version of the lock's form.
const FORM_VERSION: u32 = 1;
/// The JSON member with the version.
const MEMBER: &str = "convscope_lock";

/// A record that says how each of its outputs is compared.
pub type Lock = Record;

impl Record {
    /// The text of a lock that holds this record: canonical JSON.
    ///
    /// # Errors
    /// Where it has no JSON form: a defect.
    pub fn text(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(|e| Error::internal(e.to_string()))?;
        if let Some(members) = value.as_object_mut() {
            members.insert(MEMBER.into(), FORM_VERSION.into());
        }
        Ok(sealed(value))
    }

    /// The record in a text that [`Record::text`] wrote.
    ///
    /// # Errors
    /// Where a byte was changed, or where a later version wrote it ([`crate::Kind::Unsupported`]).
    pub fn read(text: &[u8]) -> Result<Self> {
        let mut value = unsealed(text)?;
        let form = value.as_object_mut().and_then(|members| members.shift_remove(MEMBER)).and_then(|f| f.as_u64());
        if form != Some(u64::from(FORM_VERSION)) {
            let said = form.map_or("no lock".to_string(), |f| format!("a lock of form {f}"));
            return Err(Error::unsupported(format!("{said}; this version reads form {FORM_VERSION}")));
        }
        serde_json::from_value(value).map_err(|e| Error::format(format!("a lock with other members: {e}")))
    }

    /// The record in the lock at `path`.
    ///
    /// # Errors
    /// As [`Record::read`], and where it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let text = regular::read(path, |bytes| LOCK.check(bytes))?;
        Record::read(&text).context(|| format!("`{}`", path.display()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::record::Engine;
    use super::*;

    #[test]
    fn a_lock_reads_what_it_wrote_and_nothing_else() {
        let lock = Record { seed: 7, threads: vec![1, 2], ..Record::default() };
        let text = lock.text().unwrap();
        assert_eq!(Record::read(text.as_bytes()).unwrap(), lock);
        assert!(Record::read(text.replace("\"seed\":7", "\"seed\":8").as_bytes()).is_err());
        let later = sealed(serde_json::json!({"convscope_lock": 2}));
        assert_eq!(Record::read(later.as_bytes()).unwrap_err().kind, crate::Kind::Unsupported);
        let other = sealed(serde_json::json!({"convscope_lock": 1, "more": 1}));
        assert!(Record::read(other.as_bytes()).unwrap_err().message.contains("other members"));
        let engine = Engine { rhai: "2".into(), ..Engine::default() };
        assert_eq!(lock.other_engine(&lock.engine, &lock.numerics), Vec::<String>::new());
        assert_eq!(lock.other_engine(&engine, &lock.numerics).len(), 1);
    }
}
