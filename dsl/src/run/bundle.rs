//! Bundles: one archive with a locked script, its modules, inputs, outputs and report, the same bytes each time. Large inputs,
//! and inputs whose licence forbids redistribution, are replaced by their digests.

use super::locked_run::{BUNDLE, LockedRun};
use super::locking::report;
use crate::front::Declared;
use convscope_engine::canonical;
use convscope_engine::digest::digest;
use convscope_engine::load::EMBEDDED;
use convscope_engine::run::archive::Files;
use convscope_engine::run::array::pack;
use convscope_engine::run::finished::ARRAYS;
use convscope_engine::run::rocrate::{self, CrateDescription, CrateEntry, Role};
use convscope_engine::run::{Finished, InputFile, Pinned};
use convscope_engine::{Error, Result, regular};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// The folder of an archive with the script and its inputs.
pub const FILES: &str = "files";

/// Licences that permit redistribution, by prefixes of their SPDX identifiers.
const REDISTRIBUTABLE: [&str; 10] =
    ["CC0", "CC-BY-4", "CC-BY-3", "CC-BY-SA", "MIT", "Apache", "BSD", "ISC", "Unlicense", "LicenseRef-public-domain"];

/// The files of a bundle, from a locked run and the results of a new one; inputs above `max_input` bytes are replaced by digests.
///
/// # Errors
/// Where a file cannot be read, or has a path outside of the script's folder.
pub fn files(opened: &LockedRun, finished: &Finished, max_input: u64) -> Result<Files> {
    let lock = &opened.lock;
    let inside = Inside::new(lock.inputs.iter().map(|i| &i.path).chain(lock.modules.iter().map(|m| &m.path)))?;
    let mut packed = Packed::default();
    let script = inside.place(&opened.source.digested().path)?;
    let read = |path: &Path| regular::read(path, |_| Ok(()));
    packed.add(&script, read(&opened.script)?, Role::Script, "the script", None);
    for module in &lock.modules {
        let bytes = read(&opened.base.join(&module.path))?;
        packed.add(&inside.place(&module.path)?, bytes, Role::Input, "a module that the script imports", None);
    }
    for (i, input) in lock.inputs.iter().enumerate() {
        let declared = opened.source.front.inputs.get(&input.path).cloned().unwrap_or_default();
        match reason(input, &declared, max_input) {
            None => {
                let bytes = read(&opened.base.join(&input.path))?;
                let license = input.license.clone();
                packed.add(&inside.place(&input.path)?, bytes, Role::Input, "an input", license);
            }
            Some(why) => packed.point(i, input, &declared, &why)?,
        }
    }
    let by_name = |net: &Pinned| {
        !EMBEDDED.iter().any(|(name, _)| *name == net.spec)
            && net.options.get("weights").is_none()
            && !opened.base.join(&net.spec).is_file()
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
    for file in finished.files() {
        packed.add(&format!("outputs/{file}"), read(&finished.out.join(file))?, Role::Output, "an output", None);
    }
    let page = report(&opened.source, lock, finished)?;
    packed.add("outputs/report.html", page.into_bytes(), Role::Output, "the report", None);
    let arrays = pack(&finished.arrays)?;
    packed.add(&format!("outputs/{ARRAYS}"), arrays, Role::Output, "the arrays of what was shown", None);
    packed.closed(opened, &script, &name)
}

/// Why an input is replaced by its digest, where it is.
fn reason(input: &InputFile, declared: &Declared, max_input: u64) -> Option<String> {
    if input.path.starts_with("sample:") {
        return Some("a sample image, which convscope fetches by its name".into());
    }
    if let Some(pointer) = declared.pointer {
        return pointer.then(|| "the script says so".to_string());
    }
    let bound = input.license.as_deref().filter(|l| !REDISTRIBUTABLE.iter().any(|free| l.starts_with(free)));
    if let Some(license) = bound {
        return Some(format!("its licence is {license}"));
    }
    (input.bytes > max_input).then(|| format!("it has {} bytes", input.bytes))
}
/// The files of an archive with their roles.
#[derive(Default)]
struct Packed {
    files: Files,
    about: BTreeMap<String, CrateEntry>,
}

impl Packed {
    fn add(&mut self, path: &str, bytes: Vec<u8>, role: Role, what: &str, license: Option<String>) {
        let entry = CrateEntry { role, what: what.into(), bytes: bytes.len() as u64, blake3: digest(&bytes), license };
        self.about.insert(path.into(), entry);
        self.files.insert(path.into(), bytes);
    }

    fn point(&mut self, i: usize, input: &InputFile, declared: &Declared, why: &str) -> Result<()> {
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
    fn closed(mut self, opened: &LockedRun, script: &str, lock: &str) -> Result<Files> {
        let front = &opened.source.front;
        let about = CrateDescription {
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

/// The places of files in the archive: as they lie around the script, within enough folders that no path leads out.
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
        let mut parts = vec![FILES];
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
