//! A script as a tree of brackets, which is all that the formatter needs; it covers everything that the parser accepts.

use super::spacing;
use crate::source::{Class, Token, tokens};

/// The content of a pair of brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// Statements: `{ }`.
    Statements,
    /// The cases of a `switch`.
    Cases,
    /// Values: `( )`.
    Values,
    /// Elements: `[ ]`.
    Elements,
    /// Entries of a map: `#{ }`.
    Entries,
}

/// A token, or brackets with their content.
#[derive(Clone, Debug)]
pub enum Node<'s> {
    /// A token.
    Leaf(Leaf<'s>),
    /// A pair of brackets.
    Group(Group<'s>),
}

/// A token with its position.
#[derive(Clone, Debug)]
pub struct Leaf<'s> {
    /// Its text.
    pub text: &'s str,
    /// Its class.
    pub class: Class,
    /// The number of line ends before it.
    pub lines: usize,
    /// Whether it follows the previous token without white space.
    pub touches: bool,
}

/// A pair of brackets.
#[derive(Clone, Debug)]
pub struct Group<'s> {
    /// The kind of its content.
    pub inside: Inside,
    /// The opening bracket.
    pub open: Leaf<'s>,
    /// The closing bracket; empty where the script ends without it.
    pub close: &'s str,
    /// The items between the brackets.
    pub items: Vec<Item<'s>>,
    /// Whether it must be broken.
    pub broken: bool,
}

/// A statement, value, element, entry or case with its separator; or a comment between them.
#[derive(Clone, Debug, Default)]
pub struct Item<'s> {
    /// Its parts.
    pub nodes: Vec<Node<'s>>,
    /// The separator: `,`, `;` or several `;`.
    pub end: String,
    /// Whether an empty line preceded it.
    pub spaced: bool,
    /// Whether it began a line.
    pub begins: bool,
    /// Whether it is a comment.
    pub comment: bool,
}

impl<'s> Node<'s> {
    /// The first token.
    pub fn first(&self) -> &Leaf<'s> {
        match self {
            Node::Leaf(leaf) => leaf,
            Node::Group(group) => &group.open,
        }
    }

    /// The text of a token; of a group, its opening bracket.
    pub fn text(&self) -> &'s str {
        self.first().text
    }

    /// The group, if it is one.
    pub fn group(&self) -> Option<&Group<'s>> {
        match self {
            Node::Group(group) => Some(group),
            Node::Leaf(_) => None,
        }
    }

    /// Whether it is a block of statements or the cases of a switch.
    pub fn is_block(&self) -> bool {
        self.group().is_some_and(|g| matches!(g.inside, Inside::Statements | Inside::Cases))
    }
}

/// Reads the items of a script's top level.
pub fn read(source: &str) -> Vec<Item<'_>> {
    let mut reader = Reader { source, tokens: tokens(source), at: 0 };
    let mut all = Vec::new();
    while reader.at < reader.tokens.len() {
        all.extend(reader.items(Inside::Statements));
        // A closing bracket without an opening one; no script that parses has any.
        reader.at += 1;
    }
    all
}

struct Reader<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'s> Reader<'s> {
    fn leaf(&self, i: usize) -> Leaf<'s> {
        let token = &self.tokens[i];
        let before = if i == 0 { 0 } else { self.tokens[i - 1].at.end };
        let gap = &self.source[before..token.at.start];
        let text = &self.source[token.at.clone()];
        let text = if text.starts_with("//") { text.trim_end_matches('\r') } else { text };
        let lines = if i == 0 { 1 } else { gap.matches('\n').count() };
        Leaf { text, class: token.class, lines, touches: gap.is_empty() }
    }

    fn next_text(&self) -> &'s str {
        self.tokens.get(self.at).map_or("", |t| &self.source[t.at.clone()])
    }

    /// Reads items up to the closing bracket, which is not consumed.
    fn items(&mut self, inside: Inside) -> Vec<Item<'s>> {
        let mut items: Vec<Item<'s>> = Vec::new();
        let mut item = Item::default();
        // Between the bars of a closure's parameters.
        let mut bars = false;
        while self.at < self.tokens.len() && !matches!(self.next_text(), ")" | "]" | "}") {
            let leaf = self.leaf(self.at);
            if item.nodes.is_empty() {
                (item.begins, item.spaced) = (leaf.lines > 0, leaf.lines > 1);
            }
            if let Class::Comment { .. } = leaf.class {
                self.at += 1;
                let line = leaf.text.starts_with("//");
                let ends = self.at >= self.tokens.len() || self.leaf(self.at).lines > 0;
                item.nodes.push(Node::Leaf(leaf));
                if item.nodes.len() == 1 && (line || ends) {
                    item.comment = true;
                    items.push(std::mem::take(&mut item));
                }
                continue;
            }
            if leaf.text == "|" && (bars || awaits(&item.nodes)) {
                bars = !bars;
            }
            let ends = match inside {
                Inside::Statements => leaf.text == ";",
                _ => leaf.text == "," && !bars,
            };
            if ends {
                self.at += 1;
                item.end.push_str(leaf.text);
                while inside == Inside::Statements && self.next_text() == ";" {
                    item.end.push(';');
                    self.at += 1;
                }
                items.push(std::mem::take(&mut item));
                continue;
            }
            let node = self.node(&item.nodes, leaf);
            item.nodes.push(node);
            if self.is_whole(inside, &item.nodes) {
                if self.next_text() == if inside == Inside::Statements { ";" } else { "," } {
                    continue;
                }
                items.push(std::mem::take(&mut item));
            }
        }
        // Comments behind the last item, before the closing bracket.
        let mut behind = Vec::new();
        while item.nodes.len() > 1 && item.nodes.last().is_some_and(hangs) {
            behind.extend(item.nodes.pop());
        }
        if !item.nodes.is_empty() {
            item.comment = item.nodes.iter().all(|n| matches!(n.first().class, Class::Comment { .. }));
            items.push(item);
        }
        for node in behind.into_iter().rev() {
            let (begins, spaced) = (node.first().lines > 0, node.first().lines > 1);
            items.push(Item { nodes: vec![node], begins, spaced, comment: true, end: String::new() });
        }
        items.iter_mut().for_each(|item| join_blocks(&mut item.nodes));
        items
    }

    fn node(&mut self, before: &[Node<'s>], leaf: Leaf<'s>) -> Node<'s> {
        let inside = match leaf.text {
            "(" => Inside::Values,
            "[" => Inside::Elements,
            "#{" => Inside::Entries,
            "{" if switched(before) => Inside::Cases,
            "{" => Inside::Statements,
            _ => {
                self.at += 1;
                return Node::Leaf(leaf);
            }
        };
        self.at += 1;
        let items = self.items(inside);
        let close = self.next_text();
        self.at += 1;
        let starts_line = items.first().is_some_and(|i| i.begins) && inside != Inside::Values;
        let line = |n: &Node<'_>| n.text().starts_with("//");
        let broken = starts_line || items.iter().any(|i| i.nodes.iter().any(line));
        Node::Group(Group { inside, open: leaf, close, items, broken })
    }

    /// Whether a statement or case read so far ends here without a separator, with its block.
    fn is_whole(&self, inside: Inside, nodes: &[Node<'s>]) -> bool {
        // The cheap check first: this runs for each part.
        if !nodes.last().is_some_and(Node::is_block) {
            return false;
        }
        let nodes = match inside {
            Inside::Statements => nodes,
            Inside::Cases => match nodes.iter().position(|n| n.text() == "=>") {
                Some(arrow) => &nodes[arrow + 1..],
                None => return false,
            },
            _ => return false,
        };
        let code = |n: &&Node<'s>| !matches!(n.first().class, Class::Comment { .. });
        let Some(first) = nodes.iter().find(code) else { return false };
        let mut next = self.tokens[self.at..].iter().filter(|t| !matches!(t.class, Class::Comment { .. }));
        let next = next.next().map_or("", |t| &self.source[t.at.clone()]);
        match first.text() {
            "if" => next != "else",
            "try" => next != "catch",
            "for" | "while" | "loop" | "fn" | "private" | "{" | "switch" => true,
            _ => false,
        }
    }
}

/// Whether a comment at the end of the last item is an item of its own.
fn hangs(node: &Node<'_>) -> bool {
    let Node::Leaf(leaf) = node else { return false };
    matches!(leaf.class, Class::Comment { .. }) && (leaf.text.starts_with("//") || leaf.lines > 0)
}

/// Whether a value is expected, so that a bar begins a closure.
fn awaits(before: &[Node<'_>]) -> bool {
    match before.iter().rev().find(|n| !matches!(n.first().class, Class::Comment { .. })) {
        None => true,
        Some(Node::Group(_)) => false,
        Some(Node::Leaf(leaf)) => leaf.class == Class::Mark || matches!(leaf.text, "return" | "in" | "throw"),
    }
}

/// Whether a `switch` expects its cases.
fn switched(before: &[Node<'_>]) -> bool {
    before.iter().rev().take_while(|n| !n.is_block()).any(|n| n.text() == "switch" && !spacing::is_member(before, n))
}

/// Breaks blocks that belong together (`if` with `else`, `try` with `catch`) together.
fn join_blocks(nodes: &mut [Node<'_>]) {
    if nodes.iter().any(|n| n.is_block() && n.group().is_some_and(|g| g.broken)) {
        for node in nodes {
            if let Node::Group(group) = node
                && matches!(group.inside, Inside::Statements | Inside::Cases)
            {
                group.broken = !group.items.is_empty();
            }
        }
    }
}
