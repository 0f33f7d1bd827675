//! Resolves the names of a script: the declarations and uses of variables, parameters, functions and imported modules. It reads
//! tokens, so that it also works on an incomplete script.

mod scopes;

use crate::source::{Class, KEYWORDS, Token, interpolations, tokens};
use scopes::Scopes;
use std::collections::BTreeMap;
use std::ops::Range;

/// The sort of a name's declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// By `let`, `for` or `catch`.
    Variable,
    /// By `const`.
    Constant,
    /// A parameter of a function or closure.
    Parameter,
    /// By `fn`.
    Function,
    /// By `import .. as`.
    Module,
}

/// A declared name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub name: String,
    /// The sort of its declaration.
    pub sort: Sort,
    /// The bytes of the name in its declaration.
    pub at: Range<usize>,
    /// The bytes of the whole declaration; of a function, up to its closing brace.
    pub whole: Range<usize>,
    /// Its uses.
    pub uses: Vec<Range<usize>>,
    /// A function's parameters.
    pub parameters: Vec<String>,
    /// The path of an import.
    pub path: Option<String>,
    /// Whether it is declared outside of all blocks, functions and closures.
    pub top: bool,
}

impl Name {
    /// Whether byte `at` lies in the declaration or a use.
    pub fn covers(&self, at: usize) -> bool {
        self.places().any(|r| r.start <= at && at <= r.end)
    }

    /// The name in its declaration, and its uses.
    pub fn places(&self) -> impl Iterator<Item = &Range<usize>> {
        std::iter::once(&self.at).chain(&self.uses)
    }
}

/// A name that the script does not declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndeclaredName {
    /// Its bytes.
    pub at: Range<usize>,
    /// Whether it is called.
    pub called: bool,
    /// The function that contains it.
    pub inside: Option<String>,
}

/// The names of a script.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The declared names, in order.
    pub names: Vec<Name>,
    /// The used names that are not declared.
    pub undeclared: Vec<UndeclaredName>,
    /// The used members of modules: the index of the module's name, and the bytes of the name behind `::`.
    pub items: Vec<(usize, Range<usize>)>,
}

impl Names {
    /// Resolves the names of `source`.
    pub fn of(source: &str) -> Self {
        let source = &*crate::source::without_shebang(source);
        let mut reader = Reader { source, ..Reader::default() };
        let all: Vec<Token> = code(tokens(source));
        for (i, token) in all.iter().enumerate() {
            if token.text(source) == "fn" && token.class == Class::Word {
                reader.function(&all, i);
            }
        }
        for (i, name) in reader.names.iter().enumerate() {
            // Of several functions with one name, a call refers to the first.
            reader.called.entry(&source[name.at.clone()]).or_insert(i);
        }
        reader.enter(Vec::new(), None);
        let marks = |t: &Token| !matches!(t.class, Class::Comment { .. }) || t.text(source).starts_with("// %%");
        reader.read(&tokens(source).into_iter().filter(marks).collect::<Vec<_>>(), 0);
        Names { names: reader.names, undeclared: reader.undeclared, items: reader.items }
    }

    /// The name declared or used at byte `at`.
    pub fn at(&self, at: usize) -> Option<&Name> {
        self.names.iter().find(|n| n.covers(at))
    }
}

fn code(tokens: Vec<Token>) -> Vec<Token> {
    tokens.into_iter().filter(|t| !matches!(t.class, Class::Comment { .. })).collect()
}

#[derive(Default)]
struct Open<'s> {
    bracket: &'s str,
    /// Names that a `let` declares whose statement has not ended.
    waiting: Vec<usize>,
    /// The number of closures whose bodies have not ended.
    closures: usize,
}

#[derive(Default)]
struct Reader<'s> {
    source: &'s str,
    names: Vec<Name>,
    undeclared: Vec<UndeclaredName>,
    items: Vec<(usize, Range<usize>)>,
    scopes: Scopes<'s>,
    /// The script's functions by name.
    called: BTreeMap<&'s str, usize>,
    /// The names that the next block declares, and the function that it is the body of.
    coming: (Vec<usize>, Option<String>),
}

impl<'s> Reader<'s> {
    /// Declares the function whose `fn` is at token `i`.
    fn function(&mut self, all: &[Token], i: usize) {
        let text = |i: usize| all.get(i).map_or("", |t| t.text(self.source));
        let name = if text(i + 2) == "." { i + 3 } else { i + 1 };
        if all.get(name).is_none_or(|t| t.class != Class::Word) || text(name + 1) != "(" {
            return;
        }
        let close = crate::source::closing(self.source, all, name + 1).unwrap_or(all.len());
        let parameters =
            (name + 2..close).filter(|p| all[*p].class == Class::Word).map(|p| text(p).to_string()).collect();
        let end = match text(close + 1) {
            "{" => crate::source::closing(self.source, all, close + 1).unwrap_or(all.len() - 1),
            _ => name,
        };
        let whole = all[i].at.start..all[end].at.end;
        let made = Name { parameters, whole, ..self.name(&all[name].at, Sort::Function, true) };
        self.names.push(made);
    }

    fn name(&self, at: &Range<usize>, sort: Sort, top: bool) -> Name {
        let (name, whole) = (self.source[at.clone()].to_string(), at.clone());
        Name { name, sort, at: at.clone(), whole, uses: Vec::new(), parameters: Vec::new(), path: None, top }
    }

    fn declare(&mut self, at: &Range<usize>, sort: Sort) -> usize {
        let top = self.scopes.depth() == 1 && sort != Sort::Parameter;
        let made = self.name(at, sort, top);
        self.names.push(made);
        self.names.len() - 1
    }

    /// Begins a scope with names.
    fn enter(&mut self, names: Vec<usize>, function: Option<String>) {
        self.scopes.enter(function);
        self.see(names);
    }

    /// Makes names visible in the innermost scope.
    fn see(&mut self, names: Vec<usize>) {
        let source = self.source;
        for name in names {
            self.scopes.declare(&source[self.names[name].at.clone()], name);
        }
    }

    /// Ends a statement, a value or brackets: closures end, and declared names become visible.
    fn end(&mut self, open: &mut Open<'s>, statement: bool) {
        for _ in 0..std::mem::take(&mut open.closures) {
            self.scopes.leave();
        }
        if statement {
            self.see(std::mem::take(&mut open.waiting));
        }
    }

    fn read(&mut self, all: &[Token], depth: usize) {
        let source = self.source;
        let mut opens = vec![Open::default()];
        let mut importing: Option<String> = None;
        let (mut previous, mut i) = ("", 0);
        while i < all.len() {
            let token = &all[i];
            let text = token.text(source);
            let next = all.get(i + 1).map_or("", |t| t.text(source));
            let Some(mut open) = opens.pop() else { return };
            let mut taken = 1;
            match token.class {
                Class::Comment { .. } => {
                    if text.starts_with("// %%") && opens.is_empty() {
                        self.end(&mut open, true);
                    }
                    opens.push(open);
                    i += 1;
                    continue;
                }
                Class::Text { .. } => {
                    if depth < 16 {
                        self.interpolated(token, depth);
                    }
                    if previous == "import" {
                        importing = Some(text.trim_matches(['"', '`']).to_string());
                    }
                    let name = text.trim_matches('"');
                    if previous == "(" && i > 1 && all[i - 2].text(source) == "Fn" {
                        self.call(token.at.start + 1..token.at.start + 1 + name.len(), true);
                    }
                }
                Class::Number => {}
                Class::Mark => match text {
                    "(" | "[" | "#{" => {
                        opens.push(open);
                        open = Open { bracket: text, ..Open::default() };
                    }
                    "{" => {
                        opens.push(open);
                        open = Open { bracket: text, ..Open::default() };
                        let (names, function) = std::mem::take(&mut self.coming);
                        self.enter(names, function);
                    }
                    ")" | "]" | "}" => {
                        self.end(&mut open, false);
                        if open.bracket == "{" && self.scopes.depth() > 1 {
                            self.scopes.leave();
                        }
                        open = opens.pop().unwrap_or_default();
                    }
                    ";" => {
                        importing = None;
                        self.end(&mut open, true);
                    }
                    "," => self.end(&mut open, false),
                    "|" if awaits(previous) => {
                        let close = (i + 1..all.len()).find(|j| all[*j].text(source) == "|").unwrap_or(all.len());
                        let words = all[(i + 1).min(close)..close].iter().filter(|t| t.class == Class::Word);
                        let names = words.map(|t| self.declare(&t.at, Sort::Parameter)).collect();
                        self.enter(names, None);
                        open.closures += 1;
                        taken = (close + 1).min(all.len()) - i;
                    }
                    _ => {}
                },
                Class::Word => taken = self.word(all, i, previous, next, &mut open, &mut importing),
            }
            let last = (i + taken).min(all.len()) - 1;
            // A value follows the second bar of a closure.
            previous = if text == "|" && taken > 1 { "=" } else { all[last].text(source) };
            i += taken;
            opens.push(open);
        }
        while let Some(mut open) = opens.pop() {
            self.end(&mut open, false);
            if open.bracket == "{" && self.scopes.depth() > 1 {
                self.scopes.leave();
            }
        }
    }

    /// Reads a word and the tokens that belong to it; returns how many tokens were read.
    fn word(
        &mut self,
        all: &[Token],
        i: usize,
        previous: &str,
        next: &str,
        open: &mut Open<'s>,
        importing: &mut Option<String>,
    ) -> usize {
        let source = self.source;
        let text = all[i].text(source);
        let word = |i: usize| all.get(i).filter(|t| t.class == Class::Word && !KEYWORDS.contains(&t.text(source)));
        if matches!(previous, "." | "?." | "::") {
            return 1;
        }
        match text {
            "let" | "const" => {
                let Some(name) = word(i + 1) else { return 1 };
                let sort = if text == "let" { Sort::Variable } else { Sort::Constant };
                open.waiting.push(self.declare(&name.at, sort));
                return 2;
            }
            "for" => {
                let end = (i + 1..all.len().min(i + 8)).find(|j| all[*j].text(source) == "in").unwrap_or(i + 1);
                let names = (i + 1..end).filter_map(word).map(|t| t.at.clone()).collect::<Vec<_>>();
                self.coming.0 = names.iter().map(|at| self.declare(at, Sort::Variable)).collect();
                self.within();
                return end - i;
            }
            "catch" if next == "(" => {
                if let Some(name) = word(i + 2) {
                    self.coming.0 = vec![self.declare(&name.at, Sort::Variable)];
                    self.within();
                    return if all.get(i + 3).is_some_and(|t| t.text(source) == ")") { 4 } else { 1 };
                }
                return 1;
            }
            "fn" => {
                let Some(at) = (i + 1..all.len().min(i + 5)).find(|j| all[*j].text(source) == "(") else { return 1 };
                let Some(close) = crate::source::closing(source, all, at) else { return 1 };
                let names = (at + 1..close).filter_map(word).map(|t| t.at.clone()).collect::<Vec<_>>();
                let names = names.iter().map(|at| self.declare(at, Sort::Parameter)).collect();
                self.coming = (names, Some(all[at - 1].text(source).to_string()));
                return close + 1 - i;
            }
            "as" => {
                let path = importing.take();
                let Some(name) = word(i + 1).filter(|_| path.is_some()) else { return 2 };
                let made = self.declare(&name.at, Sort::Module);
                self.names[made].path = path;
                open.waiting.push(made);
                return 2;
            }
            "import" | "export" | "private" | "global" | "Fn" | "_" => return 1,
            _ if KEYWORDS.contains(&text) => return 1,
            _ => {}
        }
        let at = all[i].at.clone();
        if next == ":" && open.bracket == "#{" && matches!(previous, "#{" | ",") {
            return 1;
        }
        if next == "::" {
            if let Some(module) = self.scopes.seen(text) {
                self.names[module].uses.push(at);
                self.items.extend(all.get(i + 2).map(|t| (module, t.at.clone())));
            }
            return 3;
        }
        match self.scopes.seen(text) {
            Some(found) => self.names[found].uses.push(at),
            None if next == "(" || next == "!" => self.call(at, false),
            None => self.stranger(at, false),
        }
        1
    }

    /// Makes the names visible that the next block declares.
    fn within(&mut self) {
        for i in &self.coming.0 {
            self.names[*i].top = false;
        }
    }

    /// Resolves a call of a function, or a reference to it by `Fn`.
    fn call(&mut self, at: Range<usize>, quiet: bool) {
        match self.called.get(&self.source[at.clone()]) {
            Some(function) => self.names[*function].uses.push(at),
            None if quiet => {}
            None => self.stranger(at, true),
        }
    }

    fn stranger(&mut self, at: Range<usize>, called: bool) {
        let inside = self.scopes.function();
        self.undeclared.push(UndeclaredName { at, called, inside });
    }

    /// Resolves the code within an interpolating text.
    fn interpolated(&mut self, text: &Token, depth: usize) {
        for part in interpolations(text.text(self.source)) {
            let start = text.at.start + part.start;
            let mut inner = code(tokens(&self.source[start..text.at.start + part.end]));
            inner.iter_mut().for_each(|t| t.at = t.at.start + start..t.at.end + start);
            self.enter(Vec::new(), None);
            self.read(&inner, depth + 1);
            self.scopes.leave();
        }
    }
}

/// Whether a value is expected behind `previous`, so that a bar begins a closure.
pub(crate) fn awaits(previous: &str) -> bool {
    let word = previous.starts_with(|c: char| c.is_alphanumeric() || c == '_' || "\"'`".contains(c));
    let keyword = matches!(previous, "return" | "in" | "else" | "throw");
    !matches!(previous, ")" | "]" | "}") && (!word || keyword)
}
