//! Registers the kernel with Jupyter: a folder `kernels/NAME` with kernel.json and logos on Jupyter's search path.

use convscope_engine::{Error, Result, atomic, error};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The files of a kernel's folder.
const FILES: [&str; 6] = [
    "kernel.json",
    "logo-32x32.png",
    "logo-64x64.png",
    "logo-svg.svg",
    // Quarto runs these before and after a document's cells. It keeps the kernel of a document that is rendered repeatedly; the
    // reset makes each rendering start without the variables of an earlier one.
    "quarto_setup_cell",
    "quarto_cleanup_cell",
];

/// The scope of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The user: Jupyter's folder in the home folder.
    User,
    /// The active Python environment.
    Environment,
    /// An environment or a machine, by the folder that contains its `share`.
    Prefix(PathBuf),
}

impl Scope {
    /// The folder of Jupyter's data in this scope.
    ///
    /// # Errors
    /// Where there is no home folder, or no environment is active.
    pub fn folder(&self) -> Result<PathBuf> {
        match self {
            Scope::User => user_folder(),
            Scope::Environment => Ok(environment()?.join("share/jupyter")),
            Scope::Prefix(prefix) => Ok(absolute(prefix)?.join("share/jupyter")),
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(path, &e))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// Jupyter's folder for the user's data: JUPYTER_DATA_DIR, or the system's default.
fn user_folder() -> Result<PathBuf> {
    if let Some(folder) = variable("JUPYTER_DATA_DIR") {
        return Ok(folder);
    }
    let homeless = || {
        Error::new(error::Kind::Io, "there is no home folder to install the kernel in")
            .hint("name a folder: `convscope kernel install --prefix DIR`")
    };
    if cfg!(windows) {
        return variable("APPDATA").map(|f| f.join("jupyter")).ok_or_else(homeless);
    }
    let home = || etcetera::home_dir().map_err(|_| homeless());
    if cfg!(target_os = "macos") {
        return Ok(home()?.join("Library/Jupyter"));
    }
    match variable("XDG_DATA_HOME") {
        Some(folder) => Ok(folder.join("jupyter")),
        None => Ok(home()?.join(".local/share/jupyter")),
    }
}

/// The folder of the active Python environment: as virtualenv and conda name it, else that of the first `python3` on the PATH.
fn environment() -> Result<PathBuf> {
    if let Some(folder) = variable("VIRTUAL_ENV").or_else(|| variable("CONDA_PREFIX")) {
        return Ok(folder);
    }
    let ask = "import sys; print(sys.prefix)";
    let said = std::process::Command::new("python3").args(["-c", ask]).output().ok().filter(|o| o.status.success());
    let prefix = said.and_then(|o| String::from_utf8(o.stdout).ok()).map(|t| t.trim().to_string());
    prefix.filter(|p| !p.is_empty()).map(PathBuf::from).ok_or_else(|| {
        Error::not_found("no Python environment is active, and there is no `python3`")
            .hint("name its folder: `convscope kernel install --prefix DIR`")
    })
}

/// The folders in which Jupyter looks for kernels, in order: JUPYTER_PATH (a list), the user's, the environment's, the system's.
pub fn search_path() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("JUPYTER_PATH").map_or_else(Vec::new, |list| std::env::split_paths(&list).collect());
    folders.retain(|f| !f.as_os_str().is_empty());
    folders.extend(user_folder());
    folders.extend(environment().map(|e| e.join("share/jupyter")));
    if cfg!(not(windows)) {
        folders.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    }
    let mut seen = std::collections::BTreeSet::new();
    folders.retain(|f| seen.insert(f.clone()));
    folders
}

/// Checks a kernel's name by Jupyter's rules and returns it in lower case.
///
/// # Errors
/// Where Jupyter would refuse it.
pub fn name(given: &str) -> Result<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match !given.is_empty() && given.chars().all(fits) && !given.starts_with('.') {
        true => Ok(given.to_lowercase()),
        false => Err(Error::value(format!("`{given}` cannot be the name of a kernel"))
            .hint("names are made of ASCII letters, digits, `.`, `_` and `-`")),
    }
}

/// Installs the kernel that runs `executable` under `name` into a folder of Jupyter's data; returns the kernel's folder.
///
/// # Errors
/// Where the folder cannot be written, belongs to another kernel, or the program's path is not Unicode.
pub fn install(data: &Path, name: &str, executable: &Path) -> Result<PathBuf> {
    let program = executable.to_str().ok_or_else(|| {
        let message = format!("`{}` is not a path that kernel.json can hold", executable.display());
        Error::value(message).hint("put the program where every folder has a Unicode name")
    })?;
    let folder = data.join("kernels").join(name);
    if folder.join(FILES[0]).exists() && !is_ours(&folder) {
        return Err(Error::value(format!("`{}` holds another kernel", folder.display()))
            .hint("choose another name: `--name NAME`"));
    }
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
    let display = if name == "convscope" { "convscope".to_string() } else { format!("convscope ({name})") };
    let spec = json!({
        "argv": [program, "kernel", "start", "--connection-file", "{connection_file}"],
        "display_name": display,
        "language": crate::about::LANGUAGE,
        "interrupt_mode": "message",
        "metadata": { "debugger": false },
    });
    let text = format!("{spec:#}\n");
    let reset = crate::language::RESET.as_bytes();
    let contents = [
        text.into_bytes(),
        crate::logo::png(32)?,
        crate::logo::png(64)?,
        crate::logo::vector()?.into_bytes(),
        reset.to_vec(),
        reset.to_vec(),
    ];
    for (file, content) in FILES.iter().zip(contents) {
        atomic::write(folder.join(file), &content)?;
    }
    Ok(folder)
}

/// The folders `kernels/NAME` below `data` that contain this kernel.
pub fn installed(data: &[PathBuf], name: &str) -> Vec<PathBuf> {
    data.iter().map(|d| d.join("kernels").join(name)).filter(|f| is_ours(f)).collect()
}

/// Removes a kernel's files and, where no others are in it, its folder.
///
/// # Errors
/// Where a file cannot be deleted.
pub fn remove(folder: &Path) -> Result<()> {
    for file in FILES {
        let path = folder.join(file);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&path, &e)),
            _ => {}
        }
    }
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => std::fs::remove_dir(folder).map_err(|e| Error::io(folder, &e)),
        _ => Ok(()),
    }
}

/// Whether a folder's kernel.json starts convscope: the program, or Python's `-m convscope`, as the wheel's does.
fn is_ours(folder: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(folder.join(FILES[0])) else { return false };
    let spec: Value = serde_json::from_str(&text).unwrap_or_default();
    let argv: Vec<&str> = spec["argv"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match argv[..] {
        [_, "-m", "convscope", "kernel", "start", ..] => true,
        [program, "kernel", "start", ..] => {
            let name = Path::new(program).file_stem().and_then(OsStr::to_str);
            name.is_some_and(|name| name.starts_with("convscope"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_kernel_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("mit Leerzeichen é");
        let program = Path::new("/opt/my tools/convscope");
        let at = install(&data, "convscope", program).unwrap();
        install(&data, "convscope", program).unwrap();
        let spec: Value = serde_json::from_str(&std::fs::read_to_string(at.join("kernel.json")).unwrap()).unwrap();
        assert_eq!(spec["argv"][0], "/opt/my tools/convscope");
        assert_eq!(spec["interrupt_mode"], "message");
        assert!(FILES.iter().all(|f| at.join(f).is_file()));
        // The wheel's kernel starts the program through Python; an installation replaces it.
        let wheels = json!({ "argv": ["python", "-m", "convscope", "kernel", "start", "-f", "{connection_file}"] });
        std::fs::write(at.join("kernel.json"), wheels.to_string()).unwrap();
        let found = installed(&[folder.path().into(), data], "convscope");
        assert_eq!(found, std::slice::from_ref(&at));
        remove(&at).unwrap();
        assert!(!at.exists());
    }

    #[test]
    fn the_kernels_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("kernels/python3");
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join("kernel.json"), "{\"argv\":[\"python\",\"-m\",\"ipykernel_launcher\"]}").unwrap();
        let error = install(folder.path(), "python3", Path::new("/bin/convscope")).unwrap_err();
        assert!(error.message.ends_with("holds another kernel"), "{error}");
        assert!(installed(&[folder.path().into()], "python3").is_empty());
    }

    #[test]
    fn names_are_those_that_jupyter_takes() {
        assert_eq!(name("ConvScope-1.0_b").unwrap(), "convscope-1.0_b");
        assert!(name("a b").is_err() && name("é").is_err() && name("").is_err() && name("../x").is_err());
    }
}
