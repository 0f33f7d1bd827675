//! Spaces between tokens: whether a space precedes a token, whether an operator is unary or binary, and where the parameters of
//! a closure begin and end.

use super::tree::{Inside, Node};
use crate::source::{Class, KEYWORDS};

/// The role of a part in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A value, a part of one, or punctuation within one.
    Value,
    /// A binary operator with its precedence; higher binds tighter.
    Binary(u8),
    /// Something between values: an assignment, a keyword, the parameters of a closure, a block.
    Between,
}

/// A part's role, and whether a space precedes it.
#[derive(Clone, Copy, Debug)]
pub struct Spacing {
    /// Whether a space precedes it.
    pub space: bool,
    /// Its role.
    pub role: Role,
}

const ASSIGNMENTS: [&str; 13] = ["=", "+=", "-=", "*=", "/=", "%=", "**=", "<<=", ">>=", "&=", "|=", "^=", "=>"];

/// The precedence of rhai's binary operators, before which a line may be broken.
fn binds(operator: &str) -> Option<u8> {
    Some(match operator {
        "||" | "|" | "^" => 30,
        "&&" | "&" => 60,
        "==" | "!=" => 90,
        "<" | "<=" | ">" | ">=" => 130,
        "??" => 135,
        "+" | "-" => 150,
        "*" | "/" | "%" => 180,
        "**" => 190,
        "<<" | ">>" => 210,
        _ => return None,
    })
}

/// Whether a word is a statement keyword and not a value.
fn orders(word: &str) -> bool {
    let value = matches!(word, "true" | "false" | "this");
    !value && KEYWORDS.contains(&word) || matches!(word, "import" | "export" | "as" | "private")
}

/// Whether a part follows a dot.
pub fn is_member(nodes: &[Node<'_>], of: &Node<'_>) -> bool {
    let at = nodes.iter().position(|n| std::ptr::eq(n, of));
    at.and_then(|i| i.checked_sub(1)).is_some_and(|i| matches!(nodes[i].text(), "." | "?."))
}

/// The places of the parts of a statement, element or entry.
pub fn places(nodes: &[Node<'_>]) -> Vec<Spacing> {
    let mut found = Vec::with_capacity(nodes.len());
    // Whether a value is expected; whether the last mark is attached to what follows; whether a closure's parameters are open.
    let (mut awaits, mut sticks, mut bars) = (true, false, false);
    let mut previous: Option<&Node<'_>> = None;
    for (i, node) in nodes.iter().enumerate() {
        let text = node.text();
        let member = i > 0 && matches!(nodes[i - 1].text(), "." | "?." | "::");
        let next = nodes.get(i + 1);
        let comment = matches!(node.first().class, Class::Comment { .. });
        let asked = text == "!" && !awaits && next.is_some_and(|n| n.text() == "(");
        let negated = text == "!" && next.is_some_and(|n| n.text() == "in" && n.first().touches);
        let mut role = Role::Value;
        let behind = i > 0 && matches!(nodes[i - 1].first().class, Class::Comment { .. });
        let mut space = behind || previous.is_some_and(|p| apart(p, node, awaits)) && !sticks && !asked;
        let stuck = std::mem::take(&mut sticks);
        match node {
            Node::Leaf(leaf) if comment => {
                space = i > 0;
                sticks = false;
                let _ = leaf;
            }
            Node::Leaf(_) if bars => {
                role = Role::Between;
                if text == "|" {
                    (bars, awaits, space) = (false, true, false);
                }
            }
            Node::Leaf(leaf) if leaf.class == Class::Mark => match text {
                "|" if awaits => (role, bars, sticks) = (Role::Between, true, true),
                "||" if awaits => role = Role::Between,
                _ if negated => (awaits, sticks) = (true, true),
                "-" | "+" | "!" if awaits => sticks = true,
                "!" if asked => (awaits, sticks) = (false, true),
                "." | "?." | "::" | ".." | "..=" | "?" => awaits = text.starts_with("..") && text != ".",
                _ if ASSIGNMENTS.contains(&text) => (role, awaits) = (Role::Between, true),
                _ => {
                    role = binds(text).map_or(Role::Value, Role::Binary);
                    awaits = true;
                }
            },
            Node::Leaf(leaf) if leaf.class == Class::Word && !member && orders(text) => {
                (role, awaits) = (Role::Between, true);
                space = i > 0 && !stuck;
            }
            Node::Leaf(_) => awaits = false,
            Node::Group(group) => {
                awaits = false;
                if matches!(group.inside, Inside::Statements | Inside::Cases) {
                    role = Role::Between;
                    space = i > 0;
                }
            }
        }
        found.push(Spacing { space: space && i > 0, role });
        if !comment {
            previous = Some(node);
        }
    }
    found
}

/// Whether a space separates two parts, as far as the two alone decide it.
fn apart(left: &Node<'_>, right: &Node<'_>, awaits: bool) -> bool {
    let (l, r) = (left.text(), right.text());
    let dots = |t: &str| t == ".." || t == "..=";
    if dots(r) {
        return left.first().class == Class::Number && l.ends_with('.');
    }
    if matches!(r, "," | ";" | ":" | "." | "?." | "::" | "?") || dots(l) || matches!(l, "." | "?." | "::" | "?") {
        return false;
    }
    match right.group().map(|g| g.inside) {
        // A call or an index of the value before.
        Some(Inside::Values | Inside::Elements) => awaits || left.is_block(),
        _ => true,
    }
}
