//! Opens a widget and shows it.

use super::registry::Live;
use super::state::{State, Widget};
use crate::context::Context;
use crate::shown::Shown;

/// Opens the widget and shows it; `still` is shown where there are no widgets.
pub(super) fn show(context: &Context, live: Live, state: State, still: Shown) {
    let id = context.widgets(|widgets| widgets.open(live));
    context.output.widget(&Widget { id, state, still });
}
