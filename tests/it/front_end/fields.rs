//! The fields that the protocol demands of a message's content.

use serde_json::Value;

type Field = (&'static str, fn(&Value) -> bool);

/// The fields that the protocol demands of a message's content.
pub(super) fn fields(kind: &str) -> &'static [Field] {
    const STATUS: Field = ("status", |v| matches!(v.as_str(), Some("ok" | "error" | "aborted")));
    match kind {
        "status" => &[("execution_state", |v| matches!(v.as_str(), Some("busy" | "idle" | "starting")))],
        "stream" => {
            &[("name", |v| v == "stdout" || v == "stderr"), ("text", |v| v.as_str().is_some_and(|t| !t.is_empty()))]
        }
        "execute_input" => &[("code", Value::is_string), ("execution_count", Value::is_i64)],
        "execute_result" => {
            &[("execution_count", Value::is_i64), ("data", Value::is_object), ("metadata", Value::is_object)]
        }
        "display_data" => {
            &[("data", Value::is_object), ("metadata", Value::is_object), ("transient", Value::is_object)]
        }
        "update_display_data" => &[
            ("data", Value::is_object),
            ("metadata", Value::is_object),
            ("transient", |v| v["display_id"].is_string()),
        ],
        "error" => &[
            ("ename", Value::is_string),
            ("evalue", Value::is_string),
            ("traceback", |v| v.as_array().is_some_and(|a| !a.is_empty() && a.iter().all(Value::is_string))),
        ],
        "clear_output" => &[("wait", Value::is_boolean)],
        "execute_reply" => &[STATUS, ("execution_count", Value::is_i64)],
        "complete_reply" => &[
            STATUS,
            ("matches", Value::is_array),
            ("cursor_start", Value::is_u64),
            ("cursor_end", Value::is_u64),
            ("metadata", Value::is_object),
        ],
        "inspect_reply" => &[STATUS, ("found", Value::is_boolean), ("data", Value::is_object)],
        "is_complete_reply" => &[("status", |v| matches!(v.as_str(), Some("complete" | "incomplete" | "invalid")))],
        "history_reply" => &[STATUS, ("history", Value::is_array)],
        "comm_info_reply" => &[STATUS, ("comms", Value::is_object)],
        "comm_open" => &[
            ("comm_id", Value::is_string),
            ("target_name", Value::is_string),
            ("data", |v| v["state"].is_object() && v["buffer_paths"].is_array()),
        ],
        "comm_msg" => &[("comm_id", Value::is_string), ("data", |v| v["method"].is_string())],
        "comm_close" => &[("comm_id", Value::is_string), ("data", Value::is_object)],
        "kernel_info_reply" => &[
            STATUS,
            ("protocol_version", |v| v == "5.5"),
            ("implementation", Value::is_string),
            ("implementation_version", Value::is_string),
            ("language_info", |v| ["name", "version", "mimetype", "file_extension"].iter().all(|f| v[f].is_string())),
            ("banner", Value::is_string),
            ("help_links", Value::is_array),
            ("supported_features", Value::is_array),
        ],
        "interrupt_reply" => &[STATUS],
        "shutdown_reply" => &[STATUS, ("restart", Value::is_boolean)],
        "input_request" => &[("prompt", Value::is_string), ("password", Value::is_boolean)],
        "iopub_welcome" => &[("subscription", Value::is_string)],
        other if other.ends_with("_reply") => &[STATUS],
        other => panic!("a message of a kind that nobody knows: {other}"),
    }
}
