//! The functions that a cell's source defines, for `%%rust --fn`.

use ra_ap_syntax::ast::{HasGenericParams, HasModuleItem, HasName, Item};
use ra_ap_syntax::{AstNode, Edition, SourceFile};
use serde_json::{Value, json};

/// The functions at the top level of a cell: names, numbers of parameters, heads and doc comments.
pub fn functions(code: &str) -> Vec<Value> {
    let file = SourceFile::parse(code, Edition::Edition2024).tree();
    let functions = file.items().filter_map(|item| match item {
        Item::Fn(function) => Some(function),
        _ => None,
    });
    functions
        .filter_map(|function| {
            let name = function.name()?.text().to_string();
            let parameters = function.param_list()?;
            let head = function.syntax().text().to_string();
            let docs: Vec<&str> =
                head.lines().map_while(|l| l.trim_start().strip_prefix("///")).map(str::trim).collect();
            let line =
                code[..usize::from(function.syntax().text_range().start())].matches('\n').count() + docs.len() + 1;
            Some(json!({
                "name": name,
                "parameters": parameters.params().map(|p| p.syntax().text().to_string()).collect::<Vec<_>>(),
                "returns": function.ret_type().and_then(|r| r.ty()).map(|t| t.syntax().text().to_string()),
                "generic": function.generic_param_list().is_some(),
                "doc": docs.join(" "),
                "line": line,
                "column": column(&head, &name),
            }))
        })
        .collect()
}

/// The column of a function's name in its first line, from 1.
fn column(text: &str, name: &str) -> usize {
    let line = text.lines().find(|l| l.contains("fn ")).unwrap_or("");
    line.find(&format!("fn {name}")).map_or(1, |at| line[..at + 3].chars().count() + 1)
}
