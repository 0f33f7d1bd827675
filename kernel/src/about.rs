//! The kernel's description of itself and its language.

use serde_json::{Value, json};
use std::path::Path;

/// The name of the language, as file endings and MIME types have it.
pub const LANGUAGE: &str = "rhai";

/// The content of `kernel_info_reply`.
///
/// Front ends do not know rhai. Where the wheel is installed, its Pygments lexer and its JupyterLab extension are, too, and the
/// reply names them; a JupyterLab elsewhere finds Rust by the MIME type beside the name. Otherwise the reply names Rust's
/// highlighting, which suits rhai (`let`, `fn`, closures, comments and strings are the same). Name, MIME type and extension
/// are always rhai's.
pub fn kernel_info() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let (lexer, mode) = match std::env::current_exe().is_ok_and(|program| has_colours(&program)) {
        true => (LANGUAGE, json!({ "name": LANGUAGE, "mime": "text/x-rustsrc" })),
        false => ("rust", json!("rust")),
    };
    json!({
        "status": "ok",
        "protocol_version": crate::wire::VERSION,
        "implementation": "convscope",
        "implementation_version": version,
        "language_info": {
            "name": LANGUAGE,
            "version": "1.27",
            "mimetype": "text/x-rhai",
            "file_extension": ".rhai",
            "pygments_lexer": lexer,
            "codemirror_mode": mode,
            "nbconvert_exporter": "script",
        },
        "banner": banner(),
        "debugger": false,
        "help_links": [{ "text": "rhai, the language", "url": "https://rhai.rs/book" }],
        "supported_features": [],
    })
}

/// Whether a program came with the wheel, which puts convscope into PREFIX/bin and its extension into PREFIX/share/jupyter.
fn has_colours(program: &Path) -> bool {
    let prefix = program.parent().and_then(Path::parent);
    prefix.is_some_and(|p| p.join("share/jupyter/labextensions/convscope/package.json").is_file())
}

/// The greeting of consoles.
pub fn banner() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("convscope {version}: look inside trained ConvNets. let net = load_model(\"shapes\"); net.summary()")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rhai_is_named_where_the_wheel_is_and_rust_elsewhere() {
        let prefix = tempfile::tempdir().unwrap();
        let program = prefix.path().join("bin/convscope");
        assert!(!has_colours(&program));
        let extension = prefix.path().join("share/jupyter/labextensions/convscope");
        std::fs::create_dir_all(&extension).unwrap();
        std::fs::write(extension.join("package.json"), "{}").unwrap();
        assert!(has_colours(&program));
        assert_eq!(kernel_info()["language_info"]["codemirror_mode"], "rust");
    }
}
