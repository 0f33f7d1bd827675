//! Compiles scripts: the parser's work is bounded before it begins, and the optimiser runs only where it is quick and does not
//! change the script.

use crate::names::awaits;
use crate::source::{Class, KEYWORDS, Token, line_column, tokens};
use rhai::{AST, Engine, LexError, OptimizationLevel, ParseError, ParseErrorType, Position, Scope};

/// The most comparisons of names that the parser may need: it compares each name of a script with all visible variables and all
/// earlier functions, and each key of a map with the earlier ones. A million take 20 ms.
const MAX_COMPARISONS: u64 = 1 << 26;
/// The most statements, cases or values within one pair of brackets that are optimised: the optimiser's time is quadratic in
/// their number.
const MAX_OPTIMISED_ITEMS: usize = 1024;

/// The beginning of the error about too many names.
pub const TOO_MANY_NAMES: &str = "the script declares more names at once";

/// Turns the engine's own optimiser off; [`compiled`] optimises instead.
pub fn bind(engine: &mut Engine) {
    engine.set_optimization_level(OptimizationLevel::None);
}

/// Compiles a script.
///
/// # Errors
/// Where it does not parse, or declares so many names that parsing would take minutes.
pub fn compiled(engine: &Engine, source: &str) -> Result<AST, ParseError> {
    compiled_below(engine, source, &tokens(source), 0)
}

/// As [`compiled`], for a part of a script with tokens `all` and `lines` lines before it.
///
/// # Errors
/// As [`compiled`]; places are those within the script.
pub fn compiled_below(engine: &Engine, source: &str, all: &[Token], lines: usize) -> Result<AST, ParseError> {
    let extent = ParseCost::of(source, all);
    if let Some(at) = extent.too_many {
        let (line, column) = line_column(source, at);
        let of = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let why = ParseErrorType::BadInput(LexError::Runtime(too_many()));
        return Err(ParseError(Box::new(why), Position::new(of(lines + line), of(column))));
    }
    let tree = match lines {
        0 => engine.compile(source)?,
        _ => engine.compile("\n".repeat(lines) + source)?,
    };
    Ok(match extent.widest <= MAX_OPTIMISED_ITEMS && !extent.imports_within {
        true => engine.optimize_ast(&Scope::new(), tree, OptimizationLevel::Simple),
        false => tree,
    })
}

fn too_many() -> String {
    format!("{TOO_MANY_NAMES} than the parser can tell apart in a second or two")
}

/// The sizes on which the work of parser and optimiser depends.
#[derive(Debug, Default, PartialEq, Eq)]
struct ParseCost {
    /// The most statements, cases or values within one pair of brackets.
    widest: usize,
    /// Whether a block contains an `import`: the optimiser would remove it where nothing uses it.
    imports_within: bool,
    /// The byte offset at which there are too many names.
    too_many: Option<usize>,
    /// The number of comparisons of names.
    comparisons: u64,
}

/// An open pair of brackets.
#[derive(Default)]
struct Open {
    /// The number of variables visible before it.
    before: u64,
    items: usize,
    /// Whether names in it must differ: keys of a map, parameters of a function.
    apart: bool,
}

impl ParseCost {
    fn of(source: &str, all: &[Token]) -> Self {
        let mut extent = ParseCost::default();
        let mut opens = vec![Open::default()];
        // Visible variables, those that the next block declares, and functions and closures so far.
        let (mut seen, mut coming, mut functions) = (0u64, 0u64, 0u64);
        let mut of_function = false;
        // The number of parameters so far, between the bars of a closure.
        let mut bars: Option<u64> = None;
        let mut previous = "";
        for (i, token) in all.iter().enumerate() {
            let text = token.text(source);
            match token.class {
                Class::Comment { .. } => continue,
                Class::Word => {
                    match text {
                        "let" | "const" | "as" => seen += 1,
                        "for" | "catch" => coming += 2,
                        "fn" => (functions, of_function, coming) = (functions + 1, true, 0),
                        "import" => extent.imports_within |= opens.len() > 1,
                        _ if matches!(previous, "." | "?.") || KEYWORDS.contains(&text) => {}
                        _ => extent.comparisons += seen + functions,
                    }
                    if let Some(parameters) = &mut bars {
                        extent.comparisons += *parameters;
                        *parameters += 1;
                    }
                }
                // An interpolating text contains names.
                Class::Text { .. } if text.starts_with('`') && text.contains("${") => {
                    extent.comparisons += (seen + functions).saturating_mul(text.len() as u64 / 4);
                    extent.imports_within |= text.contains("import");
                }
                Class::Mark => match text {
                    "(" | "[" | "{" | "#{" => {
                        let apart = text == "#{" || (of_function && text == "(");
                        let block = text == "{";
                        opens.push(Open { before: seen, items: 0, apart });
                        if block {
                            seen = if std::mem::take(&mut of_function) { coming } else { seen + coming };
                            coming = 0;
                        }
                    }
                    ")" | "]" | "}" => {
                        let open = if opens.len() > 1 { opens.pop() } else { None };
                        if let Some(open) = open {
                            extent.widest = extent.widest.max(open.items);
                            seen = open.before;
                            coming += if open.apart && of_function { open.items as u64 + 1 } else { 0 };
                        }
                        if text == "}" {
                            extent.item(&mut opens);
                        }
                    }
                    ";" | "," => extent.item(&mut opens),
                    "|" if bars.is_some() => bars = None,
                    "|" if awaits(previous) => (bars, functions) = (Some(0), functions + 1),
                    "||" if awaits(previous) => functions += 1,
                    _ => {}
                },
                Class::Text { .. } | Class::Number => {}
            }
            if extent.comparisons > MAX_COMPARISONS {
                extent.too_many = Some(all[i].at.start);
                return extent;
            }
            previous = text;
        }
        extent.widest = opens.iter().map(|open| open.items).chain([extent.widest]).max().unwrap_or(0);
        extent
    }

    /// Counts an item that ended within the innermost brackets.
    fn item(&mut self, opens: &mut [Open]) {
        if let Some(open) = opens.last_mut() {
            open.items += 1;
            self.comparisons += if open.apart { open.items as u64 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(source: &str) -> ParseCost {
        ParseCost::of(source, &tokens(source))
    }

    #[test]
    fn names_are_compared_with_what_is_in_sight() {
        // Each name is compared with the visible ones, itself included where it is being declared; names of a block end with it.
        let all = extent("let a = 1; let b = a; { let c = b; } let d = d;");
        assert_eq!(all.comparisons, 1 + 2 + 2 + 3 + 3 + 3 + 3);
        assert_eq!((all.widest, all.imports_within, all.too_many), (4, false, None));
        // A function sees only its parameters; the function's own name is one that names are compared with.
        assert_eq!(extent("let a = 1; let b = 1; fn f(x) { x }").comparisons, 1 + 2 + 3 + 3 + 2);
        assert!(extent("if true { import \"a\" as a; }").imports_within);
        assert!(extent("`${ if true { import \"a\" as a; } }`").imports_within);
        assert!(!extent("import \"a\" as a; #{ b: [1, 2] }").imports_within);
    }

    #[test]
    fn names_that_are_too_many_are_told_before_they_are_read() {
        let lets: String = (0..20_000).map(|i| format!("let a{i} = 1;\n")).collect();
        let keys: String = (0..20_000).map(|i| format!("k{i}: 1,\n")).collect();
        let closures = "let f = |x| x;\n".repeat(20_000);
        for source in [lets, format!("let m = #{{ {keys} }};"), closures] {
            assert!(extent(&source).too_many.is_some());
            let engine = Engine::new();
            assert!(compiled(&engine, &source).is_err_and(|e| e.to_string().starts_with(TOO_MANY_NAMES)));
        }
        assert!(extent(&"let x = y.z(1, 2);\n".repeat(3000)).too_many.is_none());
        assert!(extent(&"x;".repeat(1_000_000)).too_many.is_none());
    }
}
