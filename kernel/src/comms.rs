//! The widgets in front ends: each is a comm on the target `jupyter.widget` (Jupyter widget messaging protocol 2.1) with
//! anywidget's model, so that the kernel needs no Python and the front end no extension of ours.

use crate::publisher::Publisher;
use bytes::Bytes;
use convscope_dsl::Widget;
use convscope_dsl::widgets::State;
use convscope_engine::show::viewer;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The target of the comms.
pub const TARGET: &str = "jupyter.widget";
/// The version of the widget messaging protocol.
const PROTOCOL: &str = "2.1.0";
/// How many comms are kept; beyond that, the oldest is dropped.
const MAX_COMMS: usize = 256;
/// How many bytes the buffers of all comms may take together.
const MAX_BUFFER_BYTES: usize = 512 << 20;
/// The keys of a state that the front end may change.
const EDITABLE_KEYS: [&str; 2] = ["values", "at"];

/// The comms by id.
#[derive(Default)]
pub struct Comms {
    open: BTreeMap<String, Comm>,
}

struct Comm {
    widget: u64,
    state: State,
}

impl Comms {
    /// Opens a comm for a widget in the cell that runs; returns its id.
    pub fn open(&mut self, widget: &Widget, publisher: &Publisher) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let comm = Comm { widget: widget.id, state: widget.state.clone() };
        let (data, buffers) = packed(&comm.whole(&id));
        let content = json!({ "comm_id": id, "target_name": TARGET, "data": data });
        publisher.publish_with("comm_open", content, json!({ "version": PROTOCOL }), buffers);
        self.open.insert(id.clone(), comm);
        while self.open.len() > MAX_COMMS || (self.held() > MAX_BUFFER_BYTES && self.open.len() > 1) {
            let oldest = self.open.iter().min_by_key(|(_, comm)| comm.widget).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { break };
            self.open.remove(&oldest);
        }
        id
    }

    fn held(&self) -> usize {
        self.open.values().flat_map(|comm| comm.state.buffers.values()).map(Vec::len).sum()
    }

    /// The ids of the comms.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.open.keys()
    }

    /// Applies changes from the front end; returns the comm's widget and its values as they are now.
    pub fn apply_edit(&mut self, id: &str, values: &Map<String, Value>) -> Option<(u64, Map<String, Value>)> {
        let comm = self.open.get_mut(id)?;
        let known = values.iter().filter(|(name, _)| EDITABLE_KEYS.contains(&name.as_str()));
        let known: Map<String, Value> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
        comm.state.merge(State { values: known, ..State::default() });
        Some((comm.widget, comm.state.values.clone()))
    }

    /// Applies a change of state and sends it to the front ends.
    pub fn change(&mut self, id: &str, change: State, publisher: &Publisher) {
        send_update(id, &change, publisher);
        if let Some(comm) = self.open.get_mut(id) {
            comm.state.merge(change);
        }
    }

    /// Sends a widget's whole state to the front ends; returns whether the widget exists.
    pub fn send_state(&self, id: &str, publisher: &Publisher) -> bool {
        let Some(comm) = self.open.get(id) else { return false };
        send_update(id, &comm.whole(id), publisher);
        true
    }

    /// Closes a comm; returns its widget.
    pub fn close(&mut self, id: &str) -> Option<u64> {
        self.open.remove(id).map(|comm| comm.widget)
    }
}

impl Comm {
    /// The state together with the fields that anywidget's model needs.
    fn whole(&self, id: &str) -> State {
        let mut state = self.state.clone();
        // Any version of anywidget has this model.
        let model = json!({
            "_model_module": "anywidget", "_model_module_version": "*", "_model_name": "AnyModel",
            "_view_module": "anywidget", "_view_module_version": "*", "_view_name": "AnyView",
            "_view_count": null, "_dom_classes": [], "layout": null, "tabbable": null, "tooltip": null,
            "_anywidget_id": "convscope.widget", "_esm": format!("{}{FRONT}", viewer::SCRIPT), "_css": format!("{}{STYLE}", viewer::STYLE),
            "_id": id,
        });
        if let Value::Object(model) = model {
            state.values.extend(model);
        }
        state
    }
}

/// The script of a widget in the front end; it comes behind the viewer's.
const FRONT: &str = include_str!("widget.js");
const STYLE: &str = include_str!("widget.css");

fn send_update(id: &str, state: &State, publisher: &Publisher) {
    let (mut data, buffers) = packed(state);
    data["method"] = "update".into();
    let content = json!({ "comm_id": id, "data": data });
    publisher.publish_with("comm_msg", content, json!({ "version": PROTOCOL }), buffers);
}

/// A state in the form of messages: its values, the paths of its buffers, and the buffers. An empty buffer is null.
fn packed(state: &State) -> (Value, Vec<Bytes>) {
    let mut values = state.values.clone();
    let (mut paths, mut buffers) = (Vec::new(), Vec::new());
    for (name, bytes) in &state.buffers {
        if bytes.is_empty() {
            values.insert(name.clone(), Value::Null);
        } else {
            paths.push(json!([name]));
            buffers.push(Bytes::copy_from_slice(bytes));
        }
    }
    (json!({ "state": values, "buffer_paths": paths }), buffers)
}
