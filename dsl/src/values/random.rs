//! Random numbers in scripts: streams named by purpose, derived from the run's seed; none are unseeded.

use crate::context::Context;
use crate::convert::count;
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::Error;
use convscope_engine::random::Stream;
use rhai::Array;

/// A stream with its cursor.
#[derive(Clone, Debug)]
pub struct Random {
    stream: Stream,
    name: String,
}

/// Binds `rng` and its methods.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    library.kind::<Random>("random", "A stream of random numbers: the same for the same `--seed` and name.");
    let job = context.job.clone();
    library.add(
        "rng(name: text) -> random",
        "The stream of random numbers of that name; another name is another stream.",
        move |name: &str| Random { stream: job.rng(&format!("script {name}")), name: name.to_string() },
    );
    library.add("random.uniform() -> number", "A number from 0 up to 1.", |r: &mut Random| r.stream.next_uniform());
    library.add("random.normal() -> number", "A number from the standard normal distribution.", |r: &mut Random| {
        r.stream.next_normal()
    });
    library.add(
        "random.int(low: number, high: number) -> number",
        "A whole number from low up to, not including, high.",
        |r: &mut Random, low: i64, high: i64| {
            if high <= low {
                return Err(Error::value(format!("no whole number lies from {low} up to {high}"))).raise();
            }
            Fallible::Ok(low.wrapping_add(r.stream.next_below(high.abs_diff(low)) as i64))
        },
    );
    library.add("random.shuffle(list) -> list", "The list in a random order.", |r: &mut Random, list: Array| {
        let mut list = list;
        r.stream.shuffle(&mut list);
        list
    });
    library.add(
        "random.pick(list, n: number) -> list",
        "n different entries of the list, in a random order.",
        |r: &mut Random, list: Array, n: i64| {
            let n = count(n, "the number of entries").raise()?;
            if n > list.len() {
                return Err(Error::value(format!("{n} different entries of a list of {}", list.len()))).raise();
            }
            let order = r.stream.permutation(list.len());
            Fallible::Ok(order[..n].iter().map(|i| list[*i].clone()).collect::<Array>())
        },
    );
    library.text::<Random>(|r| format!("random stream `{}`", r.name));
}
