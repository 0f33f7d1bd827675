//! `convscope bundle`: one archive with a locked script, its modules, inputs, outputs and report, the same bytes each time.
//! Inputs that are large, or whose licence does not let them be passed on, are named by their digests instead.

use super::INTERRUPTED;
use super::lock::{LockScript, Made, file as lock_file, report};
use super::opened::{BUNDLE, Opened};
use super::record::ARRAYS;
use super::rerun::{Ended, Finished};
use super::terminal::{complain, say};
use super::verify::{Status, judged, refused};
use clap::Args;
use convscope_dsl::front::Declared;
use convscope_engine::digest::digest;
use convscope_engine::lock::archive::{self, Files};
use convscope_engine::lock::rocrate::{self, About, Entry, Role};
use convscope_engine::lock::{Input, Pinned, canonical, content};
use convscope_engine::{Error, Result, atomic};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Licences that let a file be passed on, by how their SPDX identifiers begin.
const FREE: [&str; 10] =
    ["CC0", "CC-BY-4", "CC-BY-3", "CC-BY-SA", "MIT", "Apache", "BSD", "ISC", "Unlicense", "LicenseRef-public-domain"];

/// Put a locked script with its inputs, outputs and report into one archive.
#[derive(Args)]
pub struct Bundle {
    /// The script, or its lock. A script without a lock is locked first.
    what: PathBuf,
    /// The archive [default: SCRIPT.zip].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Inputs above this size are named by their digests instead of held, MB.
    #[arg(long, default_value_t = 64, value_name = "MB")]
    max_input: u64,
    /// Report no progress.
    #[arg(long, short)]
    quiet: bool,
}

impl Bundle {
    /// Writes the archive; the exit code.
    pub fn main(self) -> Result<u8> {
        let _ = ctrlc::set_handler(|| {});
        let script = matches!(self.what.extension().and_then(|e| e.to_str()), Some("rhai" | "ipynb"));
        if script && !lock_file(&self.what).is_file() {
            complain(&format!("`{}` has no lock yet: locking it", self.what.display()));
            if let Made::Code(code) = LockScript::of(&self.what, self.quiet).make()? {
                return Ok(code);
            }
        }
        let opened = match Opened::at(&self.what, None) {
            Ok(opened) => opened,
            Err(refusal) => return refused(refusal),
        };
        let finished = match opened.rerun(None, !self.quiet).run()? {
            Ended::Done(finished) => finished,
            Ended::Interrupted => return Ok(INTERRUPTED),
            Ended::Failed(said) => {
                return Err(Error::value(format!("the script ended with an error\n{}", said.trim_end())));
            }
        };
        let verdict = judged(&opened, &finished)?;
        if verdict.status != Status::Same {
            let culprit = verdict.culprit.map_or(String::new(), |c| format!("`{c}`: "));
            return Err(Error::value(format!(
                "the lock is not of what the script does here: {culprit}{}",
                verdict.message
            ))
            .hint("lock it again: convscope lock SCRIPT"));
        }
        let files = self.files(&opened, &finished)?;
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.zip", opened.source.name)));
        let bytes = archive::write(&files)?;
        atomic::write(&out, &bytes)?;
        if !self.quiet {
            say(&format!("{}: {} files, {} bytes\n", out.display(), files.len(), bytes.len()));
        }
        Ok(0)
    }

    fn files(&self, opened: &Opened, finished: &Finished) -> Result<Files> {
        let lock = &opened.lock;
        let inside = Inside::new(lock.inputs.iter().map(|i| &i.path).chain(lock.modules.iter().map(|m| &m.path)))?;
        let mut packed = Packed::default();
        let script = inside.place(&opened.source.digested().path)?;
        let read = |path: &Path| std::fs::read(path).map_err(|e| Error::io(path, &e));
        packed.add(&script, read(&opened.script)?, Role::Script, "the script", None);
        for module in &lock.modules {
            let bytes = read(&opened.base.join(&module.path))?;
            packed.add(&inside.place(&module.path)?, bytes, Role::Input, "a module that the script imports", None);
        }
        for (i, input) in lock.inputs.iter().enumerate() {
            let declared = opened.source.front.inputs.get(&input.path).cloned().unwrap_or_default();
            match self.reason(input, &declared) {
                None => {
                    let bytes = read(&opened.base.join(&input.path))?;
                    let license = input.license.clone();
                    packed.add(&inside.place(&input.path)?, bytes, Role::Input, "an input", license);
                }
                Some(why) => packed.point(i, input, &declared, &why)?,
            }
        }
        let by_name = |net: &Pinned| {
            net.spec != "shapes" && net.options.get("weights").is_none() && !opened.base.join(&net.spec).is_file()
        };
        for (i, net) in lock.nets.iter().enumerate().filter(|(_, net)| by_name(net)) {
            let about = serde_json::json!({
                "net": net.spec, "weights_blake3": net.weights, "license": net.license,
                "get": format!("convscope fetch {}", net.spec),
            });
            let text = serde_json::to_vec_pretty(&about).map_err(|e| Error::internal(e.to_string()))?;
            packed.add(&format!("pointers/net-{i}.json"), text, Role::Input, "a net, named by its digest", None);
        }
        let name = format!("{}.lock.json", opened.source.name);
        packed.add(&name, lock.text()?.into_bytes(), Role::About, "the lock", None);
        let out = finished.out();
        for file in &finished.record.files {
            packed.add(&format!("outputs/{file}"), read(&out.join(file))?, Role::Output, "an output", None);
        }
        let page = report(&opened.source, lock, finished)?;
        packed.add("outputs/report.html", page.into_bytes(), Role::Output, "the report", None);
        let arrays = content::pack(&finished.record.arrays)?;
        packed.add(&format!("outputs/{ARRAYS}"), arrays, Role::Output, "the arrays of what was shown", None);
        packed.closed(opened, &script, &name)
    }

    /// Why an input is named and not held, if it is.
    fn reason(&self, input: &Input, declared: &Declared) -> Option<String> {
        if input.path.starts_with("sample:") {
            return Some("a sample image, which convscope fetches by its name".into());
        }
        if let Some(pointer) = declared.pointer {
            return pointer.then(|| "the script says so".to_string());
        }
        let bound = input.license.as_deref().filter(|l| !FREE.iter().any(|free| l.starts_with(free)));
        if let Some(license) = bound {
            return Some(format!("its licence is {license}"));
        }
        (input.bytes > self.max_input << 20).then(|| format!("it has {} bytes", input.bytes))
    }
}

/// The files of an archive with what they are.
#[derive(Default)]
struct Packed {
    files: Files,
    about: BTreeMap<String, Entry>,
}

impl Packed {
    fn add(&mut self, path: &str, bytes: Vec<u8>, role: Role, what: &str, license: Option<String>) {
        let entry = Entry { role, what: what.into(), bytes: bytes.len() as u64, blake3: digest(&bytes), license };
        self.about.insert(path.into(), entry);
        self.files.insert(path.into(), bytes);
    }

    fn point(&mut self, i: usize, input: &Input, declared: &Declared, why: &str) -> Result<()> {
        let about = serde_json::json!({
            "path": input.path, "blake3": input.blake3, "bytes": input.bytes, "content": input.content,
            "license": input.license, "source": declared.source, "why": why,
        });
        let text = serde_json::to_vec_pretty(&about).map_err(|e| Error::internal(e.to_string()))?;
        let what = format!("an input, named by its digest: {why}");
        self.add(&format!("pointers/{i}.json"), text, Role::Input, &what, None);
        Ok(())
    }

    /// The files with the crate's metadata and the sealed list of all.
    fn closed(mut self, opened: &Opened, script: &str, lock: &str) -> Result<Files> {
        let front = &opened.source.front;
        let about = About {
            name: front.title.clone().unwrap_or_else(|| opened.source.name.clone()),
            description: front.description.clone(),
            authors: front.authors.clone(),
            license: front.license.clone(),
            date: front.date.clone(),
        };
        let metadata = rocrate::metadata(&about, &opened.lock, &self.about)?;
        self.files.insert(rocrate::NAME.into(), metadata.into_bytes());
        let digests: BTreeMap<&String, String> = self.files.iter().map(|(k, v)| (k, digest(v))).collect();
        let list = serde_json::json!({
            "convscope": env!("CARGO_PKG_VERSION"), "script": script, "lock": lock, "files": digests,
        });
        self.files.insert(BUNDLE.into(), canonical::sealed(list).into_bytes());
        Ok(self.files)
    }
}

/// Where files lie in the archive: as they lie around the script, in so many folders that no path leads out.
struct Inside {
    up: usize,
}

impl Inside {
    fn new<'a>(paths: impl Iterator<Item = &'a String>) -> Result<Self> {
        let mut up = 0;
        for path in paths.filter(|p| !p.starts_with("sample:")) {
            if Path::new(path).is_absolute() {
                return Err(Error::value(format!("the script reads `{path}`, a path that only this machine has"))
                    .hint("give paths relative to the script's folder"));
            }
            let leads = Path::new(path).components().take_while(|c| *c == Component::ParentDir).count();
            up = up.max(leads);
        }
        Ok(Inside { up })
    }

    fn place(&self, path: &str) -> Result<String> {
        let mut parts = vec!["files"];
        parts.extend(std::iter::repeat_n("folder", self.up));
        for part in Path::new(path).components() {
            match part {
                Component::ParentDir => {
                    parts.pop();
                }
                Component::Normal(name) => {
                    parts.push(name.to_str().ok_or_else(|| {
                        Error::value(format!("`{path}` is not Unicode, which a bundle's paths must be"))
                    })?)
                }
                _ => {}
            }
        }
        Ok(parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_lie_around_the_script_as_they_did() {
        let paths = ["cat.jpg".to_string(), "../../shared/net.onnx".to_string()];
        let inside = Inside::new(paths.iter()).unwrap();
        assert_eq!(inside.place("s.rhai").unwrap(), "files/folder/folder/s.rhai");
        assert_eq!(inside.place("../../shared/net.onnx").unwrap(), "files/shared/net.onnx");
        assert_eq!(Inside::new(paths[..1].iter()).unwrap().place("./d/cat.jpg").unwrap(), "files/d/cat.jpg");
        assert!(Inside::new(["/x/y".to_string()].iter()).is_err());
    }
}
