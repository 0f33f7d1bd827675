//! Nets from the Hugging Face Hub (`hf:org/repo`, `hf:org/repo@revision`), kept in the Hub's own cache folder.
//!
//! A repository is taken if it holds `model.safetensors` of an architecture of the zoo and says so in `config.json` (as
//! timm's do), or else one ONNX file. HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_CACHE work as in Python's `huggingface_hub`.

use hf_hub::repository::{RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync};
use serde_json::Value;
use std::path::PathBuf;

use super::photos;
use super::zoo::{self, Architecture};
use crate::data::preprocess::Preprocess;
use crate::error::{Error, Kind, Result};

/// What a repository gave.
pub struct Fetched {
    /// The file of the net.
    pub file: PathBuf,
    /// The architecture whose weights the file holds; an ONNX file needs none.
    pub architecture: Option<&'static Architecture>,
    /// How photos become inputs, where `config.json` says so.
    pub preprocess: Option<Preprocess>,
    /// The classes' names, where `config.json` lists them.
    pub labels: Option<Vec<String>>,
    /// The licence, where `config.json` names it.
    pub license: String,
}

/// Gets the net of a repository, named as `org/repo` or `org/repo@revision`.
///
/// # Errors
/// Where the name is none, the repository does not exist or cannot be reached, or it holds no net that can be loaded.
pub fn fetch(id: &str, report: &dyn Fn(&str)) -> Result<Fetched> {
    let (repo, revision) = id.split_once('@').map_or((id, None), |(repo, rev)| (repo, Some(rev.to_string())));
    let (owner, name) = match repo.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => (owner, name),
        _ => {
            return Err(Error::value(format!("`hf:{id}` is no repository of the Hub"))
                .hint("write it as hf:org/repo, such as hf:timm/resnet18.tv_in1k"));
        }
    };
    let client = HFClient::builder().retry_max_attempts(2).build().and_then(HFClientSync::from_inner);
    let client = client.map_err(|e| Error::new(Kind::Io, format!("the Hub's client cannot start: {e}")))?;
    let mut hub = Repository { repo: client.model(owner, name), id, revision, report, unreachable: None };
    let config = match hub.file("config.json")? {
        Some(path) => {
            let text = std::fs::read(&path).map_err(|e| Error::io(&path, &e))?;
            serde_json::from_slice(&text)
                .map_err(|e| Error::format(format!("`hf:{id}`: config.json is not JSON: {e}")))?
        }
        None => Value::Null,
    };
    let named = config["architecture"].as_str().or(config["pretrained_cfg"]["architecture"].as_str());
    let architecture = named.and_then(|name| zoo::architecture(name).ok());
    let weights = if architecture.is_some() { hub.file("model.safetensors")? } else { None };
    let (file, architecture) = match (weights, architecture) {
        (Some(file), architecture) => (file, architecture),
        (None, _) => (hub.onnx(named)?, None),
    };
    Ok(Fetched {
        file,
        architecture,
        preprocess: photos::timm(&config)?,
        labels: photos::named(&config),
        license: config["pretrained_cfg"]["license"].as_str().unwrap_or_default().to_string(),
    })
}

struct Repository<'a> {
    repo: HFRepositorySync<RepoTypeModel>,
    id: &'a str,
    revision: Option<String>,
    report: &'a dyn Fn(&str),
    /// Why the Hub could not be asked, where files had to come from the cache alone.
    unreachable: Option<HFError>,
}

impl Repository<'_> {
    /// A file of the repository in the cache, or nothing where it has none of that name.
    fn file(&mut self, name: &str) -> Result<Option<PathBuf>> {
        (self.report)(&format!("getting {name} of hf:{}", self.id));
        let local = self.unreachable.is_some();
        let asked = self.repo.download_file().filename(name).maybe_revision(self.revision.clone());
        match asked.local_files_only(local).send() {
            Ok(path) => Ok(Some(path)),
            Err(HFError::EntryNotFound { .. } | HFError::LocalEntryNotFound { .. }) => Ok(None),
            Err(e) if matches!(&e, HFError::Request { .. }) || status(&e).is_some_and(|s| s >= 500) => {
                self.unreachable = Some(e);
                Ok(None)
            }
            Err(e) => Err(self.refused(&e)),
        }
    }

    /// The repository's ONNX file.
    fn onnx(&mut self, architecture: Option<&str>) -> Result<PathBuf> {
        for name in ["model.onnx", "onnx/model.onnx"] {
            if let Some(path) = self.file(name)? {
                return Ok(path);
            }
        }
        if let Some(e) = self.unreachable.take() {
            return Err(Error::new(
                Kind::Io,
                format!("`hf:{}` cannot be reached and is not in the cache: {e}", self.id),
            )
            .hint("the network is needed once; HF_ENDPOINT can name a mirror"));
        }
        let tree = self.repo.list_tree().recursive(true).maybe_revision(self.revision.clone()).send();
        let files: Vec<String> = tree
            .map_err(|e| self.refused(&e))?
            .into_iter()
            .filter_map(|entry| match entry {
                RepoTreeEntry::File { path, .. } if path.ends_with(".onnx") => Some(path),
                _ => None,
            })
            .collect();
        if let [only] = &files[..]
            && let Some(path) = self.file(only)?
        {
            return Ok(path);
        }
        let what = match (architecture, files.len()) {
            (Some(name), 0) => format!("its architecture `{name}` is not known, and there is no ONNX file"),
            (None, 0) => "there is no config.json that names an architecture, and no ONNX file".to_string(),
            (_, n) => format!("there are {n} ONNX files: {}", files[..n.min(8)].join(", ")),
        };
        let known: Vec<&str> = zoo::ARCHITECTURES.iter().map(|a| a.name).collect();
        Err(Error::unsupported(format!("`hf:{}` holds no net that can be loaded: {what}", self.id)).hint(format!(
            "download a file and give load_model its path; architectures that are known: {}",
            known.join(", ")
        )))
    }

    fn refused(&self, e: &HFError) -> Error {
        match e {
            _ if matches!(e, HFError::RepoNotFound { .. } | HFError::AuthRequired { .. }) || status(e) == Some(404) => {
                Error::not_found(format!("no repository `hf:{}`, or a private one", self.id))
                    .hint("look at its name; for a private one set HF_TOKEN")
            }
            HFError::RevisionNotFound { revision, .. } => {
                Error::not_found(format!("no revision `{revision}` of `hf:{}`", self.id))
            }
            other => Error::new(Kind::Io, format!("`hf:{}`: {other}", self.id)),
        }
    }
}

/// The status of an answer that is no success.
fn status(e: &HFError) -> Option<u16> {
    match e {
        HFError::Http { context } => Some(context.status.as_u16()),
        _ => None,
    }
}
