//! Conditions on the columns of a table: comparisons joined by AND, as SQL writes them.
//!
//! As in SQL, a row without a value in a column fulfils nothing but `is null`. Text is compared byte by byte, and whole numbers
//! exactly; a number is rounded to 32 bits where the column holds such.

mod parse;

use crate::error::{Error, Result};
use std::cmp::Ordering;
use std::fmt;

/// A value of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterValue {
    /// None.
    Nothing,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number of 32 bits.
    Single(f32),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl FilterValue {
    /// What a text in a table says: nothing where it is empty.
    pub fn of(text: String) -> Self {
        if text.is_empty() { FilterValue::Nothing } else { FilterValue::Text(text) }
    }

    /// The same as a number where it is one.
    pub fn number_of(text: String) -> Self {
        match (text.parse(), text.parse()) {
            (Ok(whole), _) => FilterValue::Int(whole),
            (_, Ok(number)) => FilterValue::Number(number),
            _ => FilterValue::of(text),
        }
    }
}

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// What is asked of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// A comparison.
    Is(Comparison, Literal),
    /// One of a list.
    In(Vec<Literal>),
    /// None of a list, but some value.
    NotIn(Vec<Literal>),
    /// No value.
    Null,
    /// Some value.
    NotNull,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// What is asked of it.
    pub test: Test,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(pub Vec<Condition>);

impl Filter {
    /// The columns that it names, each once.
    pub fn columns(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for condition in &self.0 {
            if !names.contains(&condition.column.as_str()) {
                names.push(&condition.column);
            }
        }
        names
    }

    /// Whether a row fulfils it, whose values `of` gives.
    ///
    /// # Errors
    /// Where `of` fails, or a value is of a kind that a condition does not compare.
    pub fn holds(&self, mut of: impl FnMut(&str) -> Result<FilterValue>) -> Result<bool> {
        for condition in &self.0 {
            if !condition.holds(&of(&condition.column)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Condition {
    /// Whether a value fulfils it.
    ///
    /// # Errors
    /// Where it is of a kind that is not compared with what the condition names.
    pub fn holds(&self, value: &FilterValue) -> Result<bool> {
        let order = |literal: &Literal| literal.order(value).ok_or_else(|| self.mismatch(literal, value));
        if *value == FilterValue::Nothing {
            return Ok(self.test == Test::Null);
        }
        let one_of = |list: &[Literal]| {
            let mut found = false;
            for literal in list {
                found |= order(literal)? == Some(Ordering::Equal);
            }
            Ok::<bool, Error>(found)
        };
        Ok(match &self.test {
            Test::Null => false,
            Test::NotNull => true,
            Test::In(list) => one_of(list)?,
            Test::NotIn(list) => !one_of(list)?,
            Test::Is(how, literal) => how.holds(order(literal)?),
        })
    }

    fn mismatch(&self, literal: &Literal, value: &FilterValue) -> Error {
        let there = match value {
            FilterValue::Nothing => "nothing".to_string(),
            FilterValue::Bool(b) => b.to_string(),
            FilterValue::Int(i) => i.to_string(),
            FilterValue::Single(x) => x.to_string(),
            FilterValue::Number(x) => x.to_string(),
            FilterValue::Text(t) => format!("the text '{t}'"),
        };
        Error::value(format!("the filter compares `{}` with {literal}, a row has {there}", self.column)).hint(
            "numbers are compared with numbers, texts with texts in single quotes, true and false with themselves",
        )
    }

    /// The literals that it compares with.
    pub fn literals(&self) -> &[Literal] {
        match &self.test {
            Test::Is(_, literal) => std::slice::from_ref(literal),
            Test::In(list) | Test::NotIn(list) => list,
            Test::Null | Test::NotNull => &[],
        }
    }

    /// Whether it compares with numbers.
    pub fn is_of_numbers(&self) -> bool {
        self.literals().iter().any(|l| matches!(l, Literal::Int(_) | Literal::Number(_)))
    }

    /// The same with other literals.
    ///
    /// # Errors
    /// As `of`.
    pub fn map(&self, mut of: impl FnMut(&Literal) -> Result<Literal>) -> Result<Self> {
        let test = match &self.test {
            Test::Is(how, literal) => Test::Is(*how, of(literal)?),
            Test::In(list) => Test::In(list.iter().map(of).collect::<Result<_>>()?),
            Test::NotIn(list) => Test::NotIn(list.iter().map(of).collect::<Result<_>>()?),
            Test::Null => Test::Null,
            Test::NotNull => Test::NotNull,
        };
        Ok(Condition { column: self.column.clone(), test })
    }
}

impl Comparison {
    fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::Unequal => "<>",
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::Greater => ">",
            Comparison::AtLeast => ">=",
        }
    }

    /// Whether it holds where a value stands so to a literal; of what has no order (NaN), `<>` alone does.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::Unequal => order != Some(Ordering::Equal),
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Greater => order == Some(Ordering::Greater),
            Comparison::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl Literal {
    /// How a value stands to it; inside, nothing where there is no order. Nothing where they are of different kinds.
    pub fn order(&self, value: &FilterValue) -> Option<Option<Ordering>> {
        Some(match (value, self) {
            (FilterValue::Bool(a), Literal::Bool(b)) => Some(a.cmp(b)),
            (FilterValue::Int(a), Literal::Int(b)) => Some(a.cmp(b)),
            (FilterValue::Int(a), Literal::Number(b)) => whole_to_number(*a, *b),
            (FilterValue::Single(a), Literal::Int(b)) => a.partial_cmp(&(*b as f32)),
            (FilterValue::Single(a), Literal::Number(b)) => a.partial_cmp(&(*b as f32)),
            (FilterValue::Number(a), Literal::Int(b)) => whole_to_number(*b, *a).map(Ordering::reverse),
            (FilterValue::Number(a), Literal::Number(b)) => a.partial_cmp(b),
            (FilterValue::Text(a), Literal::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => return None,
        })
    }
}

/// How a whole number stands to another number, exactly.
fn whole_to_number(whole: i64, number: f64) -> Option<Ordering> {
    // 2^63: every whole number is below it, and one from -2^63 on has its floor in 64 bits.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if number.is_nan() {
        return None;
    }
    if !(-END..END).contains(&number) {
        return Some(if number > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = number.floor();
    Some(whole.cmp(&(floor as i64)).then(if number > floor { Ordering::Less } else { Ordering::Equal }))
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, condition) in self.0.iter().enumerate() {
            write!(f, "{}{condition}", if i > 0 { " and " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" ", self.column.replace('"', "\"\""))?;
        let list = |list: &[Literal]| list.iter().map(Literal::to_string).collect::<Vec<_>>().join(", ");
        match &self.test {
            Test::Is(how, literal) => write!(f, "{} {literal}", how.sign()),
            Test::In(all) => write!(f, "in ({})", list(all)),
            Test::NotIn(all) => write!(f, "not in ({})", list(all)),
            Test::Null => f.write_str("is null"),
            Test::NotNull => f.write_str("is not null"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Bool(b) => write!(f, "{b}"),
            Literal::Int(i) => write!(f, "{i}"),
            // With a point or an exponent, so that it is read as what it is.
            Literal::Number(x) => write!(f, "{x:?}"),
            Literal::Text(t) => write!(f, "'{}'", t.replace('\'', "''")),
        }
    }
}
