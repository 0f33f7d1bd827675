//! `explore`: the user drags an occluding patch over a photo and sees the net's predictions change.

use super::opening::show;
use super::registry::{Explored, Live};
use super::state::State;
use crate::context::Context;
use crate::convert::{cast, kind, options};
use crate::fault::Raise;
use crate::library::Library;
use crate::shown::Shown;
use convscope_engine::data::Image;
use convscope_engine::params::Value as Given;
use convscope_engine::probes::attribution::occluder::Occluder;
use convscope_engine::show::viewer;
use convscope_engine::{Error, Model, Result};
use rhai::Dynamic;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Explored {
    /// The changes of state for the patch position in `values`.
    ///
    /// # Errors
    /// As for a forward pass.
    pub fn answer(&self, values: &Map<String, Value>) -> Result<State> {
        let at = |i: usize| values.get("at").and_then(|at| at.get(i)).and_then(Value::as_f64);
        let middle = self.0.middle();
        self.state([0, 1].map(|i| at(i).map_or(middle[i], |v| v.max(0.0) as usize)))
    }

    fn state(&self, corner: [usize; 2]) -> Result<State> {
        let (occluder, corner) = (&self.0, self.0.inside(corner));
        let now = occluder.at(corner)?;
        let classes = occluder.classes(&now);
        let row = |c: &usize| json!({ "name": occluder.name(*c), "before": occluder.before[*c], "now": now[*c] });
        let mut state = State::error("");
        state.set("scores", classes.iter().map(row).collect::<Value>());
        // The position that the numbers belong to; the patch may have been moved since.
        state.set("answered", corner.to_vec());
        Ok(state)
    }
}

/// Binds `explore`.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "explore(net, image)",
        "Covers a part of a photo with a patch and shows the net's predictions with and without it. In a notebook the patch can be \
         dragged. Options: patch (its side, px of the net's input, or [rows, columns]), fill (\"zero\", \"mean\", \"grey\" or a \
         colour [r, g, b]), both as those of `occlusion`; top (how many classes are shown, 5 unless given).",
        move |net: Dynamic, image: Dynamic| explore(&shared, &net, &image, &BTreeMap::new()).raise(),
    );
    let shared = context.clone();
    library.add("explore(net, image, options: map)", "", move |net: Dynamic, image: Dynamic, given: rhai::Map| {
        explore(&shared, &net, &image, &options(&given).raise()?).raise()
    });
}

fn explore(context: &Context, net: &Dynamic, image: &Dynamic, given: &BTreeMap<String, Given>) -> Result<()> {
    let asked = |what: &str, got: &Dynamic| {
        Error::value(format!("`explore` takes {what}, got {}", kind(got))).hint("explore(net, image)")
    };
    let model = cast::<Model>(net).ok_or_else(|| asked("a net first", net))?;
    let photo = cast::<Image>(image).ok_or_else(|| asked("an image", image))?;
    let occluder = Occluder::new(&model, &photo, given)?;
    let corner = occluder.middle();
    let still = Shown::Artifact(Box::new(occluder.artifact(corner)?));
    if !context.output.moves() {
        context.output.show(&still);
        return Ok(());
    }
    let explored = Explored(occluder);
    let mut state = explored.state(corner)?;
    let occluder = &explored.0;
    let [rows, columns] = occluder.input.map(|n| n as f64);
    state.set("kind", "explore");
    state.set("at", corner.to_vec());
    state.set("word", occluder.word()?);
    state.set("size", vec![photo.width(), photo.height()]);
    state.set("input", occluder.input.to_vec());
    state.set("patch", occluder.patch.to_vec());
    state.set("area", occluder.on_photo([0.0, 0.0, columns, rows]).to_vec());
    state.buffers.insert("photo".into(), viewer::jpeg(&photo)?);
    show(context, Live::Explored(Box::new(explored)), state, still);
    Ok(())
}
