//! Widgets: a map viewer, an occluder that the user drags, sliders with a closure. Where there are no widgets (scripts, reports,
//! terminals), the same calls show the result at the defaults, so that a notebook and the script made from it show the same.

pub mod explore;
pub mod interact;
mod opening;
pub mod registry;
pub mod stage;
pub mod state;

pub use registry::Widgets;
pub use state::{State, Widget};

use crate::context::Context;
use crate::fault::Raise;
use crate::library::Library;
use crate::shown::Shown;
use convscope_engine::show::viewer;
use convscope_engine::{Error, Result};
use opening::show;
use registry::Live;
use rhai::Dynamic;
use state::MAX_WIDGET_BYTES;

/// Binds the functions that make widgets.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "view(artifact)",
        "Shows an artifact with an interactive viewer of its maps in a notebook: value, row, column and class under the \
         pointer, opacity, threshold, channels, zoom, and the part that an occluding patch hid. Elsewhere, and where it has no maps, it \
         is shown as `show` does.",
        move |value: Dynamic| view(&shared, &value).raise(),
    );
    explore::bind(library, context);
    interact::bind(library, context);
}

fn view(context: &Context, value: &Dynamic) -> Result<()> {
    let still = crate::functions::shown(value)?;
    let Shown::Artifact(artifact) = &still else {
        return Err(Error::value(format!("`view` shows an artifact, got {}", crate::convert::kind(value)))
            .hint("`show(value)` shows any value"));
    };
    let maps = if context.output.moves() { viewer::maps(artifact, true, MAX_WIDGET_BYTES)? } else { None };
    if maps.is_none() {
        context.output.show(&still);
        return Ok(());
    }
    let mut state = State::result(Some(&still), "")?;
    state.set("kind", "view");
    show(context, Live::Viewed, state, still);
    Ok(())
}
