//! A tree of classes to browse, such as WordNet's hierarchy of ImageNet's classes (Russakovsky et al. 2014; Karpathy's page of 2014
//! showed it).
//!
//! A .csv file has the columns `node` and `parent`, and `name` where nodes are ids; a .json file has nested objects with `name` and
//! `children` (objects, or names of classes). A node is a class if it has a class's name, a synonym or its WordNet id. Branches
//! without classes are removed, and a branch with a single child is replaced by the child.

use super::Classes;
use crate::error::{Context as _, Error, Result};
use crate::limits::TEXT;
use crate::regular;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The tree of classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    root: Branch,
    missing: usize,
}

/// A node with its subtree.
#[derive(Clone, Debug, Default, PartialEq)]
struct Branch {
    name: String,
    class: Option<usize>,
    below: Vec<Branch>,
}

/// The names and the children of a file's nodes, by id.
#[derive(Default)]
struct Listed {
    names: BTreeMap<String, String>,
    below: BTreeMap<String, Vec<String>>,
    roots: Vec<String>,
}

impl Tree {
    /// Reads the tree in a file, pruned to branches with classes.
    ///
    /// # Errors
    /// Where the file cannot be read, lacks the columns, has a cycle, or has none of the classes.
    pub fn read(path: &Path, classes: &Classes) -> Result<Self> {
        let at = || format!("the tree `{}`", path.display());
        let text = regular::read_text(path, |bytes| TEXT.check(bytes))?;
        let mut known = BTreeMap::new();
        for (i, class) in classes.list().iter().enumerate() {
            for name in std::iter::once(&class.name).chain(&class.synonyms).chain(&class.id) {
                known.entry(name.to_lowercase()).or_insert(i);
            }
        }
        let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let all =
            if is_json { nested(&text, &known) } else { listed(&text).and_then(|l| l.branches(&known)) }.context(at)?;
        let root = Branch { below: all.into_iter().filter_map(Branch::pruned).collect(), ..Branch::default() };
        let mut found = BTreeSet::new();
        root.classes(&mut found);
        if found.is_empty() {
            let first = classes.list().first().map_or("", |c| c.name.as_str());
            return Err(Error::value(format!("none of its nodes is one of the {} classes", classes.len()))
                .context(at())
                .hint(format!("a class is found by its name, a synonym or its WordNet id; the first is `{first}`")));
        }
        let mut tree = Tree { missing: classes.len() - found.len(), root };
        if tree.missing > 0 {
            let leaf = |i: usize| Branch { name: classes.name(i).to_string(), class: Some(i), below: Vec::new() };
            let below = (0..classes.len()).filter(|i| !found.contains(i)).map(leaf).collect();
            tree.root.below.push(Branch { name: "not in the tree".into(), class: None, below });
        }
        Ok(tree)
    }

    /// The number of classes that are not in the file; they are in a branch of their own.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// The tree as JSON for the page: name, class and children.
    pub fn json(&self) -> Value {
        self.root.json()
    }
}

impl Branch {
    /// Removes branches without classes; replaces a branch with one child by the child.
    fn pruned(self) -> Option<Self> {
        let mut below: Vec<Branch> = self.below.into_iter().filter_map(Branch::pruned).collect();
        match (self.class, below.len()) {
            (None, 0) => None,
            (None, 1) => below.pop(),
            _ => Some(Branch { below, ..self }),
        }
    }

    fn classes(&self, found: &mut BTreeSet<usize>) {
        found.extend(self.class);
        self.below.iter().for_each(|b| b.classes(found));
    }

    fn json(&self) -> Value {
        let mut classes = BTreeSet::new();
        self.classes(&mut classes);
        let below: Vec<Value> = self.below.iter().map(Branch::json).collect();
        json!({ "name": self.name, "class": self.class, "count": classes.len(), "below": below })
    }
}

/// The depth above which a tree is refused as cyclic; WordNet's is 20.
const MAX_DEPTH: usize = 64;

impl Listed {
    fn branches(&self, known: &BTreeMap<String, usize>) -> Result<Vec<Branch>> {
        if self.roots.is_empty() {
            return Err(Error::format("it goes in a circle: every node has a parent"));
        }
        self.roots.iter().map(|root| self.branch(root, known, 0)).collect()
    }

    fn branch(&self, id: &str, known: &BTreeMap<String, usize>, depth: usize) -> Result<Branch> {
        if depth > MAX_DEPTH {
            return Err(Error::format(format!("`{id}` is more than {MAX_DEPTH} nodes deep: does it go in a circle?")));
        }
        let name = self.names.get(id).map_or(id, String::as_str).to_string();
        let class = [id, &name].iter().find_map(|n| known.get(&n.to_lowercase())).copied();
        let none = Vec::new();
        let below = self.below.get(id).unwrap_or(&none).iter();
        let below = below.map(|b| self.branch(b, known, depth + 1)).collect::<Result<_>>()?;
        Ok(Branch { name, class, below })
    }
}

/// The nodes of a table; of several parents of a node the first counts.
fn listed(text: &str) -> Result<Listed> {
    let damaged = |e: csv::Error| Error::format(e.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> =
        reader.headers().map_err(damaged)?.iter().map(|h| h.trim_start_matches('\u{feff}').to_lowercase()).collect();
    let column = |names: &[&str]| header.iter().position(|h| names.contains(&h.as_str()));
    let (Some(node), Some(parent)) = (column(&["node", "child", "class"]), column(&["parent"])) else {
        return Err(Error::format(format!("no columns `node` and `parent` among `{}`", header.join("`, `"))));
    };
    let name = column(&["name"]);
    let mut all = Listed::default();
    let mut parents: BTreeMap<String, String> = BTreeMap::new();
    let mut order = Vec::new();
    for record in reader.records() {
        let record = record.map_err(damaged)?;
        let (id, above) = (record[node].to_string(), record[parent].to_string());
        if let Some(name) = name.map(|n| &record[n]).filter(|n| !n.is_empty()) {
            all.names.insert(id.clone(), name.to_string());
        }
        if id.is_empty() || parents.contains_key(&id) {
            continue;
        }
        parents.insert(id.clone(), above.clone());
        order.push(id.clone());
        if !above.is_empty() {
            all.below.entry(above).or_default().push(id);
        }
    }
    // Roots are nodes without a parent, and parents without a row of their own.
    let mut seen = BTreeSet::new();
    for id in order {
        let above = parents[&id].clone();
        let root = if above.is_empty() { id } else { above };
        if parents.get(&root).is_none_or(String::is_empty) && seen.insert(root.clone()) {
            all.roots.push(root);
        }
    }
    Ok(all)
}

/// The branches of nested objects.
fn nested(text: &str, known: &BTreeMap<String, usize>) -> Result<Vec<Branch>> {
    let value: Value = serde_json::from_str(text).map_err(|e| Error::format(e.to_string()))?;
    fn branch(value: &Value, known: &BTreeMap<String, usize>) -> Result<Branch> {
        let of = |name: &str| Branch {
            class: known.get(&name.to_lowercase()).copied(),
            name: name.into(),
            below: Vec::new(),
        };
        if let Some(name) = value.as_str() {
            return Ok(of(name));
        }
        let name = value["name"].as_str();
        let Some(name) = name else {
            return Err(
                Error::format("a node without a `name`").hint(r#"{"name": "animal", "children": ["cat", "dog"]}"#)
            );
        };
        let none = Vec::new();
        let below = value["children"].as_array().unwrap_or(&none).iter();
        let id = value["id"].as_str().and_then(|id| known.get(&id.to_lowercase())).copied();
        let own = of(name);
        Ok(Branch { class: own.class.or(id), below: below.map(|b| branch(b, known)).collect::<Result<_>>()?, ..own })
    }
    match &value {
        Value::Array(all) => all.iter().map(|v| branch(v, known)).collect(),
        one => Ok(vec![branch(one, known)?]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(name: &str, text: &str) -> Result<Tree> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let labels = ["n02123045 tabby, tabby cat", "beagle", "teapot"].map(String::from);
        Tree::read(&path, &Classes::of(&labels))
    }

    /// Writes the names with their depth.
    fn drawn(branch: &Branch, depth: usize, out: &mut String) {
        for b in &branch.below {
            let class = b.class.map_or(String::new(), |c| format!("={c}"));
            out.push_str(&format!("{}{}{class} ", "-".repeat(depth), b.name));
            drawn(b, depth + 1, out);
        }
    }

    #[test]
    fn trees_keep_what_leads_to_classes() {
        let csv = "node,parent,name\nn1,,thing\nn2,n1,animal\nn3,n2,mammal\nn4,n3,cat\nn02123045,n4,\nbeagle,n3,\nn9,n2,fish\nn9,n1,fish\n";
        let json = r#"{"name": "thing", "children": [{"name": "animal", "children": [{"name": "mammal", "children":
            [{"name": "cat", "children": ["tabby cat"]}, "beagle"]}, {"name": "fish"}]}]}"#;
        for (name, text, tabby) in [("t.csv", csv, "n02123045"), ("t.json", json, "tabby cat")] {
            let tree = read(name, text).unwrap();
            let mut out = String::new();
            drawn(&tree.root, 0, &mut out);
            // Branches with one child are left out: thing, animal, cat.
            assert_eq!(out, format!("mammal -{tabby}=0 -beagle=1 not in the tree -teapot=2 "));
            assert_eq!((tree.missing(), &tree.json()["below"][0]["count"]), (1, &json!(2)));
        }
    }

    #[test]
    fn trees_that_do_not_fit_are_refused() {
        let said = |name: &str, text: &str| read(name, text).unwrap_err().to_string();
        assert!(said("t.csv", "a,b\n1,2\n").contains("no columns `node` and `parent` among `a`, `b`"));
        assert!(said("t.csv", "node,parent\nbeagle,dog\ndog,beagle\n").contains("in a circle"));
        assert!(said("t.csv", "node,parent\npoodle,dog\n").contains("none of its nodes is one of the 3 classes"));
        assert!(said("t.json", "{\"children\": []}").contains("without a `name`"));
    }
}
