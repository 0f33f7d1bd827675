//! The examples in Rust run, and say what they say.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../../examples/custom_rule.rs"]
mod custom_rule;

#[test]
fn a_rule_written_again_gives_the_same_bits() {
    custom_rule::run().unwrap();
}
