//! The Hub's address, the user's token and the cache, by the variables of Python's `huggingface_hub`.

use std::path::PathBuf;

use crate::error::{Error, Kind, Result};

/// A Hub, its user and the cache of its files.
#[derive(Clone)]
pub struct Hub {
    /// The address that all others begin with.
    pub endpoint: String,
    /// The user's access token.
    pub token: Option<String>,
    /// The folder of the cache.
    pub cache: PathBuf,
}

impl Hub {
    /// The Hub that HF_ENDPOINT names; its token is HF_TOKEN or stands in the file HF_TOKEN_PATH or that of `hf auth login`
    /// (none with HF_HUB_DISABLE_IMPLICIT_TOKEN); its cache is HF_HUB_CACHE or a folder of HF_HOME.
    ///
    /// # Errors
    /// Where neither a variable nor a home folder says where the cache is.
    pub fn from_environment() -> Result<Self> {
        let named = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let cache = named.or_else(|| Some(home()?.join("hub"))).ok_or_else(|| {
            Error::new(Kind::Io, "there is no home folder to keep files of the Hub in")
                .hint("name a folder in the environment variable HF_HOME")
        })?;
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_string());
        Ok(Hub { endpoint, token: token(), cache })
    }
}

fn token() -> Option<String> {
    if variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    let files = [variable("HF_TOKEN_PATH").map(PathBuf::from), home().map(|h| h.join("token"))];
    variable("HF_TOKEN")
        .into_iter()
        .chain(files.into_iter().flatten().filter_map(read))
        .map(|t| t.trim().to_string())
        .find(|t| !t.is_empty())
}

/// Hugging Face's folder: HF_HOME, or `huggingface/` among the user's caches.
fn home() -> Option<PathBuf> {
    let beside = |caches: PathBuf| caches.join("huggingface");
    variable("HF_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|caches| beside(caches.into())))
        .or_else(|| Some(beside(etcetera::home_dir().ok()?.join(".cache"))))
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}
