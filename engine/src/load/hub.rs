//! Nets from the Hugging Face Hub (`hf:org/repo`, `hf:org/repo/path/to/file.onnx`, each with `@revision`), kept in the Hub's own
//! cache folder.
//!
//! A repository is accepted if it contains `model.safetensors` of an architecture of the zoo that its `config.json` names (as
//! timm's do), or else one ONNX file. HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_CACHE work as in Python's `huggingface_hub`.

mod cache;
mod client;
mod environment;

use serde_json::Value;
use std::path::PathBuf;

use cache::Cache;
use client::{Client, Failure, FileLookup};
pub use environment::Hub;

use super::zoo::{self, Architecture};
use super::{configs, photos};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::seal::broker::Want;
use crate::seal::{fetched_elsewhere, is_held};

/// What was fetched from a repository.
pub struct Fetched {
    /// The file of the net.
    pub file: PathBuf,
    /// The architecture whose weights the file holds; an ONNX file needs none.
    pub architecture: Option<&'static Architecture>,
    /// How photos become inputs, where `config.json` says so.
    pub reading: Option<configs::Reading>,
    /// The classes' names, where `config.json` lists them.
    pub labels: Option<Vec<String>>,
    /// The licence, where `config.json` names it.
    pub license: String,
}

/// Gets the net of a repository, named as `org/repo`, or one of its ONNX files, as `org/repo/path/to/file.onnx`; `@revision` may
/// stand behind either.
///
/// # Errors
/// Where the name is none, the repository does not exist or cannot be reached, or it holds no net that can be loaded.
pub fn fetch(hub: &Hub, id: &str, report: &dyn Fn(&str)) -> Result<Fetched> {
    let (place, revision) = id.split_once('@').map_or((id, None), |(place, revision)| (place, Some(revision)));
    let (repo, inside) = match place.match_indices('/').nth(1) {
        Some((at, _)) if place.ends_with(".onnx") => (&place[..at], Some(&place[at + 1..])),
        _ => (place, None),
    };
    let part = |p: &str| {
        !p.is_empty() && !p.starts_with('.') && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    if !repo.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name)) {
        return Err(Error::value(format!("`hf:{id}` is no repository of the Hub"))
            .hint("write it as hf:org/repo, such as hf:timm/resnet18.tv_in1k, or hf:org/repo/path/to/file.onnx"));
    }
    if let Some(file) = inside.filter(|file| !cache::is_inside(file)) {
        return Err(Error::value(format!("`hf:{id}`: `{file}` is no path of a file in a repository"))
            .hint("write it as the Hub's page shows it: hf:org/repo/path/to/file.onnx"));
    }
    let revision = revision.unwrap_or("main");
    if !cache::is_inside(revision) {
        return Err(Error::value(format!("`hf:{id}`: `{revision}` is no revision"))
            .hint("give the name of a branch or tag, or a commit: hf:org/repo@main"));
    }
    let elsewhere = fetched_elsewhere(&Want::Hub(id.to_string()));
    let unreachable = match elsewhere {
        Ok(false) => None,
        Ok(true) => Some("this process has no network".to_string()),
        // What is in the cache may be read where nothing is fetched.
        Err(e) if is_held() => return Err(e),
        Err(e) => Some(e.message),
    };
    let (client, cache) = (Client::new(hub)?, Cache::new(&hub.cache, repo));
    let mut files = Repository { client, cache, id, repo, revision, report, unreachable };
    if let Some(name) = inside {
        let file = files.named(name)?;
        return Ok(Fetched { file, architecture: None, reading: None, labels: None, license: String::new() });
    }
    let config = match files.file("config.json")? {
        Some(path) => {
            let text = std::fs::read(&path).map_err(|e| Error::io(&path, &e))?;
            serde_json::from_slice(&text)
                .map_err(|e| Error::format(format!("`hf:{id}`: config.json is not JSON: {e}")))?
        }
        None => Value::Null,
    };
    let named = config["architecture"].as_str().or(config["pretrained_cfg"]["architecture"].as_str());
    let architecture = named.and_then(|name| zoo::architecture(name).ok());
    let weights = if architecture.is_some() { files.file("model.safetensors")? } else { None };
    let (file, architecture) = match (weights, architecture) {
        (Some(file), architecture) => (file, architecture),
        (None, _) => (files.onnx(named)?, None),
    };
    Ok(Fetched {
        file,
        architecture,
        reading: configs::timm(&config, None)?,
        labels: photos::named(&config),
        license: config["pretrained_cfg"]["license"].as_str().unwrap_or_default().to_string(),
    })
}

struct Repository<'a> {
    client: Client,
    cache: Cache,
    /// As it was asked for, with the revision where one was given.
    id: &'a str,
    repo: &'a str,
    revision: &'a str,
    report: &'a dyn Fn(&str),
    /// Why the Hub could not be asked, where files have to come from the cache alone.
    unreachable: Option<String>,
}

impl Repository<'_> {
    /// A file of the repository in the cache, or nothing where it has none of that name.
    fn file(&mut self, name: &str) -> Result<Option<PathBuf>> {
        (self.report)(&format!("getting {name} of hf:{}", self.id));
        let kept = || self.cache.kept(self.revision, name);
        if let Some(path) = kept().filter(|_| cache::is_commit(self.revision)) {
            return Ok(Some(path));
        }
        if self.unreachable.is_some() {
            return Ok(kept());
        }
        match self.newest(name) {
            Ok(path) => Ok(path),
            Err(Failure::Unreachable(why)) => {
                let path = kept();
                self.unreachable = Some(why);
                Ok(path)
            }
            Err(failure) => Err(self.refused(failure)),
        }
    }

    /// A file as the Hub has it now.
    fn newest(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        match self.client.look(&self.client.address(self.repo, self.revision, name))? {
            FileLookup::Nothing(commit) => {
                if let Some(commit) = commit {
                    self.cache.mark_absent([self.revision, &commit, name])?;
                }
                Ok(None)
            }
            FileLookup::File(version) => {
                let of = [self.revision, &version.commit, name, &version.etag];
                self.cache.keep(of, |to| self.client.download(&version, to)).map(Some)
            }
        }
    }

    /// The file called `name`.
    fn named(&mut self, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.file(name)? {
            return Ok(path);
        }
        if let Some(e) = self.unreachable.take() {
            return Err(self.unseen(&e));
        }
        let mut others = self.client.list(self.repo, self.revision).map_err(|e| self.refused(e))?;
        others.retain(|path| path.ends_with(".onnx"));
        let hint = match did_you_mean(name, others.iter().map(String::as_str)) {
            Some(close) => close,
            None if others.is_empty() => "it has no ONNX file".to_string(),
            None => format!("it has {}", others[..others.len().min(8)].join(", ")),
        };
        Err(Error::not_found(format!("`hf:{}` has no file `{name}`", self.repo)).hint(hint))
    }

    /// The error where neither the Hub nor the cache has what is asked for.
    fn unseen(&self, why: &str) -> Error {
        Error::new(Kind::Io, format!("`hf:{}` cannot be reached and is not in the cache: {why}", self.id))
            .hint("the network is needed once; HF_ENDPOINT can name a mirror")
    }

    /// The repository's ONNX file.
    fn onnx(&mut self, architecture: Option<&str>) -> Result<PathBuf> {
        for name in ["model.onnx", "onnx/model.onnx"] {
            if let Some(path) = self.file(name)? {
                return Ok(path);
            }
        }
        if let Some(e) = self.unreachable.take() {
            let mut kept = self.cache.kept_files(self.revision);
            kept.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
            if let [only] = &kept[..] {
                return Ok(only.clone());
            }
            return Err(self.unseen(&e));
        }
        let mut files = self.client.list(self.repo, self.revision).map_err(|e| self.refused(e))?;
        files.retain(|path| path.ends_with(".onnx") && cache::is_inside(path));
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
        Err(Error::unsupported(format!("`hf:{}` holds no net that can be loaded: {what}", self.id)).hint(
            "one of several files is hf:org/repo/path/to/file.onnx; `convscope models` lists the architectures that are known",
        ))
    }

    fn refused(&self, failure: Failure) -> Error {
        let id = self.id;
        match failure {
            Failure::Repository => Error::not_found(format!("no repository `hf:{id}`, or a private one"))
                .hint("look at its name; for a private one set HF_TOKEN"),
            Failure::Revision => Error::not_found(format!("no revision `{}` of `hf:{id}`", self.revision)),
            Failure::Gated(why) => Error::new(Kind::Io, format!("access to `hf:{id}` is restricted: {why}"))
                .hint("accept its terms on the Hub's page, then set HF_TOKEN"),
            Failure::Unreachable(why) | Failure::Answer(why) => Error::new(Kind::Io, format!("`hf:{id}`: {why}")),
            Failure::Local(e) => e,
        }
    }
}
