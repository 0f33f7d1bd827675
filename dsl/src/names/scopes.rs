//! Scopes: nested blocks, and functions, which do not see the names around them.

use std::collections::BTreeMap;

/// The open scopes.
#[derive(Default)]
pub struct Scopes<'s> {
    open: Vec<Scope<'s>>,
    /// The indices of function scopes: names outside of the last one are not visible.
    functions: Vec<usize>,
    /// The declarations of a name, each as scope and number, the innermost last.
    declared: BTreeMap<&'s str, Vec<(usize, usize)>>,
}

#[derive(Default)]
struct Scope<'s> {
    names: Vec<&'s str>,
    /// The function whose scope it is.
    function: Option<String>,
}

impl<'s> Scopes<'s> {
    /// The number of open scopes.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The number of the visible declaration of a name.
    pub fn seen(&self, name: &str) -> Option<usize> {
        let (scope, found) = self.declared.get(name)?.last()?;
        (*scope >= self.functions.last().copied().unwrap_or(0)).then_some(*found)
    }

    /// The innermost open function.
    pub fn function(&self) -> Option<String> {
        self.open[*self.functions.last()?].function.clone()
    }

    /// Begins a scope; of a function where one is named.
    pub fn enter(&mut self, function: Option<String>) {
        if function.is_some() {
            self.functions.push(self.open.len());
        }
        self.open.push(Scope { names: Vec::new(), function });
    }

    /// Declares a name with its number in the innermost scope.
    pub fn declare(&mut self, name: &'s str, number: usize) {
        let Some(within) = self.open.len().checked_sub(1) else { return };
        self.declared.entry(name).or_default().push((within, number));
        self.open[within].names.push(name);
    }

    /// Ends the innermost scope.
    pub fn leave(&mut self) {
        let Some(scope) = self.open.pop() else { return };
        if scope.function.is_some() {
            self.functions.pop();
        }
        for name in scope.names {
            self.declared.get_mut(name).map(Vec::pop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_innermost_scope_and_of_no_other_function() {
        let mut scopes = Scopes::default();
        scopes.enter(None);
        scopes.declare("a", 0);
        scopes.declare("a", 1);
        scopes.enter(None);
        scopes.declare("a", 2);
        assert_eq!((scopes.seen("a"), scopes.seen("b"), scopes.function()), (Some(2), None, None));
        scopes.leave();
        assert_eq!(scopes.seen("a"), Some(1));
        scopes.enter(Some("f".into()));
        scopes.declare("b", 3);
        scopes.enter(None);
        assert_eq!((scopes.seen("a"), scopes.seen("b"), scopes.function()), (None, Some(3), Some("f".into())));
        scopes.leave();
        scopes.leave();
        assert_eq!((scopes.seen("a"), scopes.seen("b"), scopes.depth()), (Some(1), None, 1));
    }
}
