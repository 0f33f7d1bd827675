//! Prints a tree of brackets: on one line where it fits, else broken from the outermost brackets inwards.

use super::LINE_WIDTH;
use super::spacing::{Role, Spacing, places};
use super::tree::{Group, Inside, Item, Node};
use crate::source::Class;
use std::cell::Cell;

const INDENT: usize = 4;
/// The width in columns up to which a list element is short.
const MAX_SHORT_COLUMNS: usize = 14;
/// The number of short elements from which on a list is filled line by line.
const MIN_FILLED_ELEMENTS: usize = 6;

/// The text of the items of a script or cell, each on its own line.
pub fn printed(items: &[Item<'_>]) -> String {
    let mut printer = Printer { out: String::new(), counted: Cell::new((0, 0)) };
    printer.lines(items, 0, true);
    if !printer.out.is_empty() {
        printer.out.push('\n');
    }
    printer.out
}

struct Printer {
    out: String,
    /// A byte offset of the output and its column.
    counted: Cell<(usize, usize)>,
}

impl Printer {
    fn column(&self) -> usize {
        // The output only grows, so that the counted column stays valid.
        let (at, before) = self.counted.get();
        let more = &self.out[at..];
        let column = match more.rfind('\n') {
            Some(i) => more[i + 1..].chars().count(),
            None => before + more.chars().count(),
        };
        self.counted.set((self.out.len(), column));
        column
    }

    fn fits(&self, text: &str, rest: usize) -> bool {
        let first = text.lines().next().unwrap_or("").chars().count();
        let more = if text.contains('\n') { 0 } else { rest };
        self.column() + first + more <= LINE_WIDTH
    }

    fn line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// Prints items, each on its own line; `top` says that they are the script's top level.
    fn lines(&mut self, items: &[Item<'_>], indent: usize, top: bool) {
        for (i, item) in items.iter().enumerate() {
            if item.comment && !item.begins && !(top && i == 0) {
                self.out.push(' ');
            } else if !(top && i == 0) {
                if item.spaced && i > 0 {
                    self.out.push('\n');
                }
                self.line(indent);
            }
            // At the beginning of a line this comment would begin a cell.
            let marks = top && item.comment && item.nodes.first().is_some_and(|n| n.text().starts_with("// %%"));
            if marks && (self.out.is_empty() || self.out.ends_with('\n')) {
                self.out.push(' ');
            }
            self.item(item, indent);
        }
    }

    fn item(&mut self, item: &Item<'_>, indent: usize) {
        self.parts(&item.nodes, indent, item.end.len());
        if !item.end.is_empty() && item.nodes.last().is_some_and(ends_line) {
            self.line(indent + INDENT);
        }
        self.out.push_str(&item.end);
    }

    /// Prints a statement, element, entry or case; `rest` columns follow on its last line.
    fn parts(&mut self, nodes: &[Node<'_>], indent: usize, rest: usize) {
        if let Some(text) = flat(nodes)
            && self.fits(&text, rest)
        {
            self.out.push_str(&text);
            return;
        }
        let places = places(nodes);
        if nodes.iter().any(ends_line) {
            return self.as_they_stood(nodes, &places, indent);
        }
        let mut at = 0;
        while at < nodes.len() {
            if places[at].space {
                self.out.push(' ');
            }
            if places[at].role == Role::Between {
                match &nodes[at] {
                    Node::Group(group) if !group.items.is_empty() => self.broken(group, indent),
                    other => self.out.push_str(&flat(std::slice::from_ref(other)).unwrap_or_default()),
                }
                at += 1;
                continue;
            }
            let end = (at..nodes.len()).find(|i| places[*i].role == Role::Between).unwrap_or(nodes.len());
            let after = match nodes.get(end) {
                None => rest,
                Some(node) => 1 + node.text().chars().count(),
            };
            self.value(&nodes[at..end], &leading(&places[at..end]), indent, after);
            at = end;
        }
    }

    /// Prints parts that include a line comment: broken where they were broken.
    fn as_they_stood(&mut self, nodes: &[Node<'_>], places: &[Spacing], indent: usize) {
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 && (node.first().lines > 0 || ends_line(&nodes[i - 1])) {
                self.line(indent + INDENT);
            } else if places[i].space {
                self.out.push(' ');
            }
            match node {
                Node::Leaf(leaf) => self.out.push_str(leaf.text),
                Node::Group(group) if node.is_block() && !group.items.is_empty() => self.broken(group, indent + INDENT),
                Node::Group(group) => self.group(group, indent + INDENT, 1),
            }
        }
    }

    /// Prints a value with operands and operators.
    fn value(&mut self, nodes: &[Node<'_>], places: &[Spacing], indent: usize, rest: usize) {
        if let Some(text) = joined(nodes, places)
            && self.fits(&text, rest)
        {
            self.out.push_str(&text);
            return;
        }
        let binary = |p: &Spacing| if let Role::Binary(binds) = p.role { Some(binds) } else { None };
        let Some(loosest) = places.iter().filter_map(binary).min() else {
            return self.chain(nodes, places, indent, rest);
        };
        if self.hugs(nodes, places) {
            return self.inline(nodes, places, indent, rest);
        }
        let mut start = 0;
        for cut in (0..nodes.len()).filter(|i| binary(&places[*i]) == Some(loosest)).chain([nodes.len()]) {
            let after = if cut == nodes.len() { rest } else { 0 };
            self.value(&nodes[start..cut], &leading(&places[start..cut]), indent + INDENT, after);
            if cut < nodes.len() {
                self.line(indent + INDENT);
                self.out.push_str(nodes[cut].text());
                self.out.push(' ');
            }
            start = cut + 1;
        }
    }

    /// Prints a value without operators: names, calls, members.
    fn chain(&mut self, nodes: &[Node<'_>], places: &[Spacing], indent: usize, rest: usize) {
        let calls: Vec<usize> = (0..nodes.len()).filter(|i| is_call(&nodes[*i])).collect();
        // A link begins at the dot before a method call.
        let links: Vec<usize> = calls
            .iter()
            .filter_map(|call| call.checked_sub(2))
            .filter(|dot| *dot > 0 && matches!(nodes[*dot].text(), "." | "?."))
            .collect();
        let head = links.first().map_or(nodes.len(), |l| *l);
        let opens = joined(&nodes[..head], &places[..head]).is_some_and(|text| self.fits(&text, 0));
        if links.is_empty() || calls.len() < 2 || !opens || self.hugs(nodes, places) {
            return self.inline(nodes, places, indent, rest);
        }
        self.inline(&nodes[..head], &places[..head], indent, 0);
        for (i, link) in links.iter().enumerate() {
            let end = links.get(i + 1).copied().unwrap_or(nodes.len());
            self.line(indent + INDENT);
            let after = if end == nodes.len() { rest } else { 0 };
            self.inline(&nodes[*link..end], &leading(&places[*link..end]), indent + INDENT, after);
        }
    }

    /// Prints parts in sequence; brackets are broken where they do not fit.
    fn inline(&mut self, nodes: &[Node<'_>], places: &[Spacing], indent: usize, rest: usize) {
        for (i, node) in nodes.iter().enumerate() {
            if places[i].space {
                self.out.push(' ');
            }
            match node {
                Node::Leaf(leaf) => self.out.push_str(leaf.text),
                Node::Group(group) => {
                    let next = (i + 1..nodes.len()).find(|j| nodes[*j].group().is_some());
                    let end = next.unwrap_or(nodes.len());
                    let between = joined(&nodes[i + 1..end], &leading(&places[i + 1..end])).unwrap_or_default();
                    let after = between.chars().count() + if next.is_some() { 1 } else { rest };
                    self.group(group, indent, after);
                }
            }
        }
    }

    /// Whether the last brackets can be broken with everything before them on the same line: a map, a list, a block, or a call
    /// whose last argument ends with one of these.
    fn hugs(&self, nodes: &[Node<'_>], places: &[Spacing]) -> bool {
        let Some((Node::Group(last), before)) = nodes.split_last() else { return false };
        let Some(mut head) = joined(before, &places[..before.len()]) else { return false };
        head.push_str(last.open.text);
        match opening(last, false) {
            Some(more) => self.fits(&(head + more.as_str()), 0),
            None => false,
        }
    }

    fn group(&mut self, group: &Group<'_>, indent: usize, rest: usize) {
        let text = bracketed(group);
        if let Some(text) = &text
            && self.fits(text, rest)
        {
            self.out.push_str(text);
            return;
        }
        if group.inside != Inside::Values {
            return if group.items.is_empty() {
                self.out.push_str(&text.unwrap_or_default())
            } else {
                self.broken(group, indent)
            };
        }
        // Breaking would not shorten the line.
        if let ([item], Some(text)) = (&group.items[..], &text)
            && item.nodes.len() == 1
            && matches!(item.nodes[0], Node::Leaf(_))
        {
            self.out.push_str(text);
            return;
        }
        let hugs = opening(group, false).is_some_and(|head| self.fits(&format!("({head}"), 0));
        let Some((last, before)) = group.items.split_last().filter(|_| hugs) else {
            return self.broken(group, indent);
        };
        self.out.push('(');
        for item in before {
            self.out.push_str(&flat(&item.nodes).unwrap_or_default());
            self.out.push_str(&item.end);
            self.out.push(' ');
        }
        let places = places(&last.nodes);
        for (i, node) in last.nodes.iter().enumerate() {
            if places[i].space {
                self.out.push(' ');
            }
            match node {
                Node::Group(inner) if i + 1 == last.nodes.len() => match inner.inside {
                    Inside::Values => self.group(inner, indent, rest + 1),
                    _ => self.broken(inner, indent),
                },
                other => self.out.push_str(&flat(std::slice::from_ref(other)).unwrap_or_default()),
            }
        }
        self.out.push_str(&last.end);
        self.out.push(')');
    }

    /// Prints brackets with their content on lines of its own.
    fn broken(&mut self, group: &Group<'_>, indent: usize) {
        self.out.push_str(group.open.text);
        match is_filled(group) {
            true => self.fill(&group.items, indent + INDENT),
            false => self.lines(&group.items, indent + INDENT, false),
        }
        self.line(indent);
        self.out.push_str(group.close);
    }

    /// Prints short elements, as many per line as fit.
    fn fill(&mut self, items: &[Item<'_>], indent: usize) {
        for (i, item) in items.iter().enumerate() {
            let text = flat(&item.nodes).unwrap_or_default() + item.end.as_str();
            if i == 0 || !self.fits(&text, 1) {
                self.line(indent);
            } else {
                self.out.push(' ');
            }
            self.out.push_str(&text);
        }
    }
}

/// The places of parts at the beginning of a line.
fn leading(places: &[Spacing]) -> Vec<Spacing> {
    let mut places = places.to_vec();
    if let Some(first) = places.first_mut() {
        first.space = false;
    }
    places
}

fn is_call(node: &Node<'_>) -> bool {
    node.group().is_some_and(|g| g.inside == Inside::Values)
}

/// Whether a part is a line comment.
fn ends_line(node: &Node<'_>) -> bool {
    matches!(node, Node::Leaf(leaf) if leaf.text.starts_with("//") && matches!(leaf.class, Class::Comment { .. }))
}

fn is_filled(group: &Group<'_>) -> bool {
    let short = |item: &Item<'_>| {
        !item.comment && flat(&item.nodes).is_some_and(|text| text.len() <= MAX_SHORT_COLUMNS && !text.contains('\n'))
    };
    group.inside == Inside::Elements && group.items.len() >= MIN_FILLED_ELEMENTS && group.items.iter().all(short)
}

/// The part of a group that stays on the line of its opening bracket when only its last brackets are broken. `only` says that the
/// group is the only argument of a call: then its own arguments may be broken.
fn opening(group: &Group<'_>, only: bool) -> Option<String> {
    if group.items.is_empty() {
        return None;
    }
    if group.inside != Inside::Values {
        return Some(String::new());
    }
    let values = group.items.iter().filter(|i| !i.comment).count();
    argument(group).or_else(|| (only && values > 1).then(String::new))
}

/// The same for a call whose last argument ends with brackets.
fn argument(group: &Group<'_>) -> Option<String> {
    let (last, before) = group.items.split_last()?;
    let mut head = String::new();
    for item in before {
        if item.comment {
            return None;
        }
        head = head + flat(&item.nodes)?.as_str() + item.end.as_str() + " ";
    }
    let (Node::Group(inner), front) = last.nodes.split_last()? else { return None };
    let places = places(&last.nodes);
    // The brackets must be the whole argument or a closure's body, not the last operand of an operator.
    if places.iter().any(|p| matches!(p.role, Role::Binary(_))) {
        return None;
    }
    head += &joined(front, &places)?;
    if places.last()?.space {
        head.push(' ');
    }
    head.push_str(inner.open.text);
    Some(head + opening(inner, before.is_empty())?.as_str())
}

/// Parts on one line; none where they need several.
fn flat(nodes: &[Node<'_>]) -> Option<String> {
    joined(nodes, &places(nodes))
}

fn joined(nodes: &[Node<'_>], places: &[Spacing]) -> Option<String> {
    let mut out = String::new();
    for (i, node) in nodes.iter().enumerate() {
        if places[i].space {
            out.push(' ');
        }
        match node {
            Node::Leaf(_) if ends_line(node) => return None,
            Node::Leaf(leaf) => out.push_str(leaf.text),
            Node::Group(group) => out.push_str(&bracketed(group)?),
        }
    }
    Some(out)
}

/// Brackets with their content on one line; none where they need several.
fn bracketed(group: &Group<'_>) -> Option<String> {
    if group.broken && !group.items.is_empty() {
        return None;
    }
    let mut parts = Vec::with_capacity(group.items.len());
    for item in &group.items {
        let text = flat(&item.nodes)? + item.end.as_str();
        // A text of several lines must be the only content of its brackets, except those of a call.
        if text.contains('\n') && group.inside != Inside::Values {
            return None;
        }
        parts.push(text);
    }
    let pad = match group.inside {
        Inside::Values | Inside::Elements => "",
        _ if parts.is_empty() => "",
        _ => " ",
    };
    Some(format!("{}{pad}{}{pad}{}", group.open.text, parts.join(" "), group.close))
}
