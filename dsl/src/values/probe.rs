//! Probes as script code.

use convscope_engine::params::Param as _;
use convscope_engine::probe::ProbeArg;

/// A probe as script code: `occlusion(#{ patch: 32 })`, with the options that differ from their defaults.
pub fn describe(probe: &ProbeArg) -> String {
    let default = convscope_engine::probes::find(probe.0.name()).map(|e| e.default_probe().specs()).unwrap_or_default();
    let changed: Vec<String> = probe
        .0
        .specs()
        .iter()
        .filter(|s| default.iter().find(|d| d.name == s.name).is_none_or(|d| d.default.json() != s.default.json()))
        .map(|s| match ProbeArg::read(&s.default) {
            Ok(probe) => format!("{}: {}", s.name, describe(&probe)),
            Err(_) => format!("{}: {}", s.name, s.default.json()),
        })
        .collect();
    if changed.is_empty() {
        return format!("{}()", probe.0.name());
    }
    format!("{}(#{{ {} }})", probe.0.name(), changed.join(", "))
}
