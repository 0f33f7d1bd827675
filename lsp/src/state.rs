//! What the server knows while it answers.

use crate::documents::Document;
use convscope_dsl::Session;
use convscope_dsl::reference::Reference;
use std::collections::BTreeMap;

/// The server's state, from which requests are answered.
pub struct ServerState {
    /// The script language.
    pub session: Session,
    /// The reference of all functions, probes and values.
    pub reference: Reference,
    /// The open documents by URI.
    pub documents: BTreeMap<String, Document>,
    /// Whether the editor supports snippets.
    pub snippets: bool,
}
