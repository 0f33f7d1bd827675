//! `slider` and `interact`: a closure that is called again whenever one of its sliders is moved.

use super::opening::show;
use super::registry::{Interaction, Live, Slider, Widgets};
use super::state::State;
use crate::context::Context;
use crate::convert::kind;
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use crate::shown::Shown;
use crate::widgets::stage::CapturedOutput;
use convscope_engine::error::did_you_mean;
use convscope_engine::params::unknown_option;
use convscope_engine::{Error, Result};
use rhai::{Dynamic, FnPtr, NativeCallContext};
use serde_json::{Map, Value, json};

/// The options of `slider`.
pub const SLIDER: [&str; 2] = ["value", "step"];
/// The default number of steps of a slider over fractions.
const DEFAULT_STEPS: f64 = 100.0;

impl Slider {
    fn new(name: &str, low: &Dynamic, high: &Dynamic, given: &rhai::Map) -> Result<Self> {
        let number = |what: &str, v: &Dynamic| {
            let finite = crate::convert::number(v).ok().filter(|n| n.is_finite());
            finite.ok_or_else(|| Error::value(format!("slider `{name}`: {what} must be a number, got {}", kind(v))))
        };
        let (first, last) = (number("the lower end", low)?, number("the upper end", high)?);
        if first >= last {
            return Err(Error::value(format!(
                "slider `{name}`: the lower end {first} is not below the upper end {last}"
            )));
        }
        if let Some(unknown) = given.keys().find(|k| !SLIDER.contains(&k.as_str())) {
            return Err(unknown_option("slider", unknown, &SLIDER));
        }
        let numbers = given.values().chain([low, high]);
        let whole = numbers.into_iter().all(Dynamic::is_int);
        let step = match given.get("step") {
            Some(v) => number("`step`", v)?,
            None if whole => 1.0,
            None => (last - first) / DEFAULT_STEPS,
        };
        if step <= 0.0 || step > last - first {
            let message = format!("slider `{name}`: the step {step} does not lie between 0 and {}", last - first);
            return Err(Error::value(message));
        }
        let value = match given.get("value") {
            Some(v) => number("`value`", v)?,
            None => first + ((last - first) / 2.0 / step).floor() * step,
        };
        if !(first..=last).contains(&value) {
            return Err(Error::value(format!("slider `{name}`: the value {value} does not lie in {first}..={last}")));
        }
        Ok(Slider { name: name.to_string(), low: first, high: last, step, value, whole })
    }

    /// The value as a script's value.
    fn dynamic(&self, value: f64) -> Dynamic {
        if self.whole { (value.round() as i64).into() } else { value.into() }
    }

    fn words(&self) -> String {
        format!("slider `{}` from {} to {}", self.name, self.dynamic(self.low), self.dynamic(self.high))
    }
}

impl Interaction {
    /// The closure's arguments from the front end's values; those that are missing or no number have their defaults.
    pub fn arguments(&self, values: &Map<String, Value>) -> Vec<Dynamic> {
        let said = |slider: &Slider| values.get("values").and_then(|v| v.get(&slider.name)).and_then(Value::as_f64);
        let number = |slider: &Slider| said(slider).map_or(slider.value, |v| v.clamp(slider.low, slider.high));
        self.sliders.iter().map(|slider| slider.dynamic(number(slider))).collect()
    }
}

/// Binds both functions.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    library.kind::<Slider>("slider", "A number that is moved between two ends in a notebook.");
    let shared = context.clone();
    library.add(
        "slider(name: text, low: number, high: number) -> slider",
        "A slider for the parameter of that name of a closure that is given to `interact`. It moves by whole numbers where both \
         ends are whole. Options: value (its initial value; the middle unless given), step.",
        move |name: &str, low: Dynamic, high: Dynamic| slider(&shared, name, &low, &high, &rhai::Map::new()).raise(),
    );
    let shared = context.clone();
    library.add(
        "slider(name: text, low: number, high: number, options: map) -> slider",
        "",
        move |name: &str, low: Dynamic, high: Dynamic, given: rhai::Map| {
            crate::convert::options(&given).raise()?;
            slider(&shared, name, &low, &high, &given).raise()
        },
    );
    library.getter("slider.name -> text", "The name of the parameter that it moves.", |s: &mut Slider| s.name.clone());
    library.getter("slider.value -> number", "Its initial value.", |s: &mut Slider| s.dynamic(s.value));
    library.text::<Slider>(Slider::words);
    let shared = context.clone();
    library.add(
        "interact(function)",
        "Calls a closure and shows its value. In a notebook it is called again whenever a slider is moved: each of its \
         parameters has one, made before by `slider` under the parameter's name. Elsewhere it is called once, with the sliders' initial values.",
        move |call: NativeCallContext, function: FnPtr| interact(&shared, &call, function),
    );
}

fn slider(context: &Context, name: &str, low: &Dynamic, high: &Dynamic, given: &rhai::Map) -> Result<Slider> {
    let slider = Slider::new(name, low, high, given)?;
    context.widgets(|widgets| widgets.sliders.insert(name.to_string(), slider.clone()));
    Ok(slider)
}

/// The sliders of a function's parameters, in order; captured variables come first and have no sliders.
fn sliders(widgets: &Widgets, function: &FnPtr) -> Result<Vec<Slider>> {
    let Some(parameters) = widgets.parameters.get(function.fn_name()) else {
        return Err(Error::value(format!("`interact` takes a closure, got the function `{}`", function.fn_name()))
            .hint("interact(|eps| ..)"));
    };
    let own = parameters.iter().skip(function.curry().len());
    own.map(|name| {
        widgets.sliders.get(name).cloned().ok_or_else(|| {
            let close = did_you_mean(name, widgets.sliders.keys().map(String::as_str));
            let make = format!("make one before: slider(\"{name}\", 0, 16)");
            Error::not_found(format!("no slider `{name}` for the closure's parameter"))
                .hint(close.map_or(make.clone(), |close| format!("{close} {make}")))
        })
    })
    .collect()
}

fn interact(context: &Context, call: &NativeCallContext<'_>, function: FnPtr) -> Fallible<()> {
    let sliders = context.widgets(|widgets| sliders(widgets, &function)).raise()?;
    let arguments: Vec<Dynamic> = sliders.iter().map(|slider| slider.dynamic(slider.value)).collect();
    let run = || function.call_raw(call, None, arguments);
    if !context.output.moves() {
        let value = run()?;
        if !value.is_unit() {
            context.output.show(&crate::functions::shown(&value).raise()?);
        }
        return Ok(());
    }
    let (outcome, kept) = context.stage.captured(run);
    if !kept.printed.is_empty() {
        context.output.write(&kept.printed);
    }
    let value = outcome.inspect_err(|_| kept.shown.iter().for_each(|shown| context.output.show(shown)))?;
    let result = shown(&value, &kept).raise()?;
    // What the closure showed besides its result.
    let shown_before = if value.is_unit() { kept.shown.len().saturating_sub(1) } else { kept.shown.len() };
    kept.shown[..shown_before].iter().for_each(|shown| context.output.show(shown));
    let mut state = State::result(result.as_ref(), "").raise()?;
    let values: Map<String, Value> = sliders.iter().map(|s| (s.name.clone(), s.value.into())).collect();
    state.set("kind", "interact");
    state.set("controls", sliders.iter().map(control).collect::<Value>());
    state.set("values", values);
    let still = result.unwrap_or_else(|| Shown::Text(sliders.iter().map(Slider::words).collect::<Vec<_>>().join(", ")));
    show(context, Live::Interaction(Box::new(Interaction { function, sliders })), state, still);
    Ok(())
}

/// The result of a closure: its value, else the last shown value.
///
/// # Errors
/// Where an image cannot be read.
pub fn shown(value: &Dynamic, kept: &CapturedOutput) -> Result<Option<Shown>> {
    if value.is_unit() { Ok(kept.shown.last().cloned()) } else { crate::functions::shown(value).map(Some) }
}

/// The description of a slider for front ends.
fn control(slider: &Slider) -> Value {
    json!({ "name": slider.name, "low": slider.low, "high": slider.high, "step": slider.step, "value": slider.value })
}
