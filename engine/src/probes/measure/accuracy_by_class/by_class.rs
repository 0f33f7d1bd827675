//! Right answers counted class by class, the optimistic line among them, and classes in groups of a property.

use super::super::accuracy_by_attribute::{Bins, Cut};
use super::super::judged::Judged;
use super::OPTIMISTIC;
use crate::data::Attribute;
use std::collections::BTreeMap;

/// What is known of a class.
#[derive(Default)]
struct Counted {
    images: usize,
    /// Right answers of each subject.
    right: Vec<usize>,
    /// The images' values of the property.
    values: Vec<Attribute>,
}

/// Right answers by class, the hardest class first.
pub struct ByClass {
    /// The subjects; behind several, the optimistic line.
    pub names: Vec<String>,
    /// The classes.
    pub classes: Vec<String>,
    /// Images of each class.
    pub counts: Vec<usize>,
    /// Of each subject and class, the right answers.
    pub right: Vec<Vec<usize>>,
    /// Each class's property.
    values: Vec<Option<Attribute>>,
    /// Classes whose images differ in a property that is no quantity.
    mixed: Vec<String>,
}

impl ByClass {
    /// Counts what classifiers were right about; a class's order is that of the best subject, then of its name.
    pub fn of(judged: &Judged) -> Self {
        let subjects = judged.names.len();
        let mut counted: BTreeMap<String, Counted> = BTreeMap::new();
        for seen in &judged.seen {
            let class = counted.entry(seen.value.to_string()).or_default();
            class.images += 1;
            class.right.resize(subjects, 0);
            class.right.iter_mut().zip(&seen.hits).for_each(|(n, hit)| *n += usize::from(*hit));
            class.values.extend(seen.within.clone());
        }
        let best = |class: &Counted| class.right.iter().copied().max().unwrap_or(0) as f64 / class.images as f64;
        let mut order: Vec<(String, Counted)> = counted.into_iter().collect();
        order.sort_by(|a, b| best(&a.1).total_cmp(&best(&b.1)).then_with(|| a.0.cmp(&b.0)));
        let mut names = judged.names.clone();
        let mut right: Vec<Vec<usize>> =
            (0..subjects).map(|s| order.iter().map(|(_, class)| class.right[s]).collect()).collect();
        if subjects > 1 {
            names.push(OPTIMISTIC.into());
            right.push(order.iter().map(|(_, class)| class.right.iter().copied().max().unwrap_or(0)).collect());
        }
        let is_quantity = order.iter().flat_map(|(_, c)| &c.values).all(|v| matches!(v, Attribute::Number(_)));
        let (mut values, mut mixed) = (Vec::new(), Vec::new());
        for (name, class) in &order {
            values.push(if is_quantity { mean(&class.values) } else { most_frequent(&class.values) });
            if !is_quantity && class.values.iter().any(|v| *v != class.values[0]) {
                mixed.push(name.clone());
            }
        }
        let counts = order.iter().map(|(_, class)| class.images).collect();
        ByClass { names, classes: order.into_iter().map(|(name, _)| name).collect(), counts, right, values, mixed }
    }

    /// Whether there are several subjects, and so an optimistic line.
    pub fn several(&self) -> bool {
        self.names.len() > 1
    }

    /// The accuracy of subject `s` in class `k`.
    pub fn share(&self, s: usize, k: usize) -> f64 {
        self.right[s][k] as f64 / self.counts[k] as f64
    }

    /// The first subject that is best in class `k`.
    pub fn best(&self, k: usize) -> usize {
        let subjects = self.names.len() - usize::from(self.several());
        (0..subjects).rev().max_by_key(|s| self.right[*s][k]).unwrap_or(0)
    }
}

/// The mean of quantities; nothing of none.
fn mean(values: &[Attribute]) -> Option<Attribute> {
    let number = |v: &Attribute| if let Attribute::Number(x) = v { x.is_finite().then_some(*x) } else { None };
    let all: Vec<f64> = values.iter().filter_map(number).collect();
    (!all.is_empty()).then(|| Attribute::Number(all.iter().sum::<f64>() / all.len() as f64))
}

/// The most frequent value, of equally frequent ones the first by name.
fn most_frequent(values: &[Attribute]) -> Option<Attribute> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    values.iter().for_each(|v| *counts.entry(v.to_string()).or_default() += 1);
    counts.into_iter().rev().max_by_key(|(_, n)| *n).map(|(name, _)| Attribute::Text(name))
}

/// Classes in groups of their property.
pub struct Groups {
    /// The groups' names and places.
    pub bins: Bins,
    /// The classes in each.
    pub members: Vec<Vec<usize>>,
}

impl Groups {
    /// The classes that have the property, in at most `count` groups of a quantity, or one for each category.
    pub fn of(all: &ByClass, count: usize, cut: Cut) -> Self {
        let with: Vec<usize> = (0..all.classes.len()).filter(|k| all.values[*k].is_some()).collect();
        if with.is_empty() {
            return Groups { bins: Bins::of(std::iter::empty(), count, cut), members: Vec::new() };
        }
        let bins = Bins::of(with.iter().filter_map(|k| all.values[*k].as_ref()), count, cut);
        let mut members = vec![Vec::new(); bins.names.len()];
        with.iter().zip(&bins.places).for_each(|(class, place)| members[*place].push(*class));
        Groups { bins, members }
    }

    /// Classes without the property, and those whose images differ in it.
    pub fn notes(&self, all: &ByClass) -> Vec<String> {
        let some = |names: &[&String]| {
            let first = names.iter().take(5).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            if names.len() > 5 { first + ", .." } else { first }
        };
        let without: Vec<&String> =
            all.classes.iter().zip(&all.values).filter(|(_, v)| v.is_none()).map(|(name, _)| name).collect();
        let mixed: Vec<&String> = all.mixed.iter().collect();
        let left = (!without.is_empty()).then(|| {
            format!("{} classes do not have the property and are in no group: {}", without.len(), some(&without))
        });
        let mode = (!mixed.is_empty()).then(|| {
            format!(
                "the images of {} classes differ in it, the most frequent value counts: {}",
                mixed.len(),
                some(&mixed)
            )
        });
        left.into_iter().chain(mode).collect()
    }
}
