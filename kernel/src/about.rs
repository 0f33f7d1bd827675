//! What the kernel says of itself and its language.

use serde_json::{Value, json};

/// The name of the language, as file endings and MIME types have it.
pub const LANGUAGE: &str = "rhai";

/// The content of `kernel_info_reply`.
///
/// No front end knows rhai. Rust's rules colour it well (`let`, `fn`, closures, comments and texts are the same), so they
/// are what front ends are told to use; the name, the MIME type and the ending stay rhai's own.
pub fn kernel_info() -> Value {
    let version = env!("CARGO_PKG_VERSION");
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
            "pygments_lexer": "rust",
            "codemirror_mode": "rust",
            "nbconvert_exporter": "script",
        },
        "banner": banner(),
        "debugger": false,
        "help_links": [{ "text": "rhai, the language", "url": "https://rhai.rs/book" }],
        "supported_features": [],
    })
}

/// The greeting of consoles.
pub fn banner() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("convscope {version}: look inside trained ConvNets. let net = load_model(\"shapes\"); net.summary()")
}
