//! An attack as an option of the probes that run attacks on data sets and nets, and the list of the attacks.

use super::Attack;
use super::random_noise::RandomNoise;
use super::{carlini_wagner::CarliniWagner, deep_fool::DeepFool, fgsm::Fgsm, lbfgs::Lbfgs, pgd::Pgd};
use crate::error::{Error, Result};
use crate::params::{Form, Param, Value, wrong_kind};
use crate::probe::{Entry, Probe, ProbeArg};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One attack of the list: its catalog entry, and the cast of a probe to it.
struct Listed {
    entry: Entry,
    cast: fn(&dyn Probe) -> Option<&dyn Attack>,
}

impl Listed {
    fn of<A: Attack + Default>() -> Self {
        fn cast<A: Attack>(probe: &dyn Probe) -> Option<&dyn Attack> {
            let any: &dyn Any = probe;
            any.downcast_ref::<A>().map(|a| a as &dyn Attack)
        }
        Listed { entry: Entry::of::<A>(), cast: cast::<A> }
    }
}

/// Every attack that can run on data sets and nets.
fn attacks() -> Vec<Listed> {
    vec![
        Listed::of::<Fgsm>(),
        Listed::of::<Pgd>(),
        Listed::of::<Lbfgs>(),
        Listed::of::<DeepFool>(),
        Listed::of::<CarliniWagner>(),
        Listed::of::<RandomNoise>(),
    ]
}

/// An attack given by its probe; [`Fgsm`] by default.
#[derive(Clone, Debug)]
pub struct AttackArg(ProbeArg);

impl Default for AttackArg {
    fn default() -> Self {
        AttackArg(ProbeArg(Arc::new(Fgsm::default())))
    }
}

impl AttackArg {
    /// The probe that the attack is.
    pub fn probe(&self) -> &dyn Probe {
        &*self.0.0
    }

    /// The attack.
    ///
    /// # Errors
    /// Where the probe is none.
    pub fn get(&self) -> Result<&dyn Attack> {
        attacks().iter().find_map(|a| (a.cast)(self.probe())).ok_or_else(|| not_an_attack(self.probe().name()))
    }

    /// The same attack with other options, all else by default.
    ///
    /// # Errors
    /// Where an option is unknown or does not fit.
    pub fn with(&self, options: &BTreeMap<String, Value>) -> Result<Self> {
        let name = self.probe().name();
        let listed = attacks().into_iter().find(|a| a.entry.name() == name).ok_or_else(|| not_an_attack(name))?;
        Ok(AttackArg(listed.entry.build(&[], options)?))
    }
}

fn not_an_attack(name: &str) -> Error {
    let names: Vec<&str> = attacks().iter().map(|a| a.entry.name()).collect();
    Error::value(format!("`{name}` is no attack")).hint(format!("the attacks are {}", names.join(", ")))
}

impl Param for AttackArg {
    const POSITIONAL: bool = true;

    fn form() -> Form {
        Form::words("an attack")
    }
    fn read(value: &Value) -> Result<Self> {
        let attack = AttackArg(ProbeArg::read(value).map_err(|_| wrong_kind::<Self>(value))?);
        attack.get()?;
        Ok(attack)
    }
    fn write(&self) -> Value {
        self.0.write()
    }
}
