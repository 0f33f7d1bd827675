//! The classifier at a net's end: the architecture's own, one of the user's making, or none.
//!
//! Users replace a net's last layer by an `nn.Sequential` of their own, or remove it to obtain features. A state_dict holds
//! the linear layers and normalisations, but not the layers without parameters between them.

use super::built::HeadActivation;
use super::names::in_order;
use super::net::{Net, dims};
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::Activation;

impl Net<'_> {
    /// The classifier `module` on the features `x`. `own` are the architecture's linear layers in it; where there are
    /// several, its own activation (ReLU for most) follows each but the last. A file with other layers there has its own
    /// classifier, one with none ends at the features.
    pub fn head(&mut self, module: &str, own: &[&str], x: NodeId) -> Result<NodeId> {
        let layers = self.layers(module);
        self.classifier(module);
        own.iter().for_each(|layer| self.expect(layer));
        if layers.is_empty() {
            let features = self.channels(x);
            self.headless = true;
            self.notes.push(format!(
                "the file has no `{module}`: the net ends at its {features} features, which are no classes"
            ));
            return Ok(x);
        }
        let is_own = layers == own;
        let between = if is_own { Some(self.own_between) } else { self.between(module, &layers) };
        let mut x = x;
        for (i, layer) in layers.iter().enumerate() {
            x = self.layer(layer, x)?;
            let Some(next) = layers.get(i + 1) else { break };
            if let (Some(gap), Some(function)) = (gap(layer, next), between) {
                x = self.activation(&gap, x, function)?;
            }
        }
        Ok(x)
    }

    /// The paths of the layers with a weight that `module` is or holds, in the order in which they run.
    fn layers(&self, module: &str) -> Vec<String> {
        let within =
            |name: &&str| name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let mut layers: Vec<String> =
            self.names().filter_map(|n| n.strip_suffix(".weight")).filter(within).map(str::to_string).collect();
        layers.sort_by(|a, b| in_order(a, b));
        layers
    }

    /// The activation between the layers of a user's own classifier, with a note where it is assumed.
    fn between(&mut self, module: &str, layers: &[String]) -> Option<Activation> {
        let open: Vec<String> = layers.windows(2).filter_map(|w| gap(&w[0], &w[1])).collect();
        let said = self.head_activation;
        if let (None, Some(first)) = (said, open.first()) {
            self.notes.push(format!(
                "the file does not say what `{first}` in the classifier `{module}` is; ReLU is assumed \
                 (load_model(.., #{{ head_activation: \"none\" }}) says otherwise)"
            ));
        }
        said.unwrap_or(HeadActivation::Relu).function()
    }

    /// A linear layer or a batch normalisation of the size that it has in the file.
    fn layer(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        match self.shape(&format!("{name}.weight")).map(<[usize]>::to_vec).as_deref() {
            Some([_]) if self.shape(&format!("{name}.running_mean")).is_some() => self.batch_norm(name, x),
            Some(&[out, _]) => self.linear(name, x, out),
            other => {
                let shape = other.map(dims).unwrap_or_default();
                self.misfit(format!(
                    "`{name}.weight` is {shape}, a classifier is read of linear layers and batch normalisations"
                ));
                self.use_up(name);
                Ok(x)
            }
        }
    }
}

/// The name of what is between two layers of a sequence: the module behind the first where the numbers leave one out, or
/// where there are no numbers; nothing where the second follows at once.
fn gap(first: &str, second: &str) -> Option<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (first.split('.').collect(), second.split('.').collect());
    let at = a.iter().zip(&b).position(|(a, b)| a != b)?;
    let front: String = a[..at].iter().map(|part| format!("{part}.")).collect();
    match (a[at].parse::<u64>(), b[at].parse::<u64>()) {
        (Ok(i), Ok(j)) if j == i.saturating_add(1) => None,
        (Ok(i), Ok(_)) => Some(format!("{front}{}", i.saturating_add(1))),
        _ => Some(format!("{first}.activation")),
    }
}
