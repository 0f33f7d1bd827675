//! Progress bars for long work: one display per cell, updated in place, as text and as HTML without scripts. It appears after
//! a delay and is removed when the cell ends, so that a saved notebook does not depend on the speed of the machine.

use crate::bundle::Bundle;
use crate::publisher::Publisher;
use convscope_engine::data::Image;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Work that takes less time shows no bar.
const MIN_WORK_TIME: Duration = Duration::from_millis(400);
/// Time between two updates.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);
/// The width of a bar in text, characters.
const BAR_CHARS: usize = 30;

/// The running loops, the outermost first, and the display that shows them.
#[derive(Default)]
pub struct Progress {
    bars: Vec<Bar>,
    bar_display: Display,
    picture_display: Display,
}

struct Bar {
    label: String,
    begun: Instant,
    done: usize,
    total: usize,
}

#[derive(Default)]
struct Display {
    id: Option<String>,
    last: Option<Instant>,
}

impl Display {
    /// Whether enough time has passed since the last update.
    fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= UPDATE_INTERVAL)
    }

    /// Shows the bar: the display is empty at first and then updated, so that a reader without updates keeps nothing.
    fn show(&mut self, publisher: &Publisher, data: Value, metadata: Value) {
        let send = |kind: &str, id: &str, data: Value, metadata: Value| {
            publisher.publish(kind, json!({ "data": data, "metadata": metadata, "transient": { "display_id": id } }));
        };
        let id = self.id.get_or_insert_with(|| {
            let id = uuid::Uuid::new_v4().to_string();
            send("display_data", &id, json!({}), json!({}));
            id
        });
        send("update_display_data", id, data, metadata);
        self.last = Some(Instant::now());
    }

    fn take_away(&mut self, publisher: &Publisher) {
        if self.id.is_some() {
            self.show(publisher, json!({}), json!({}));
        }
        *self = Display::default();
    }
}

impl Progress {
    /// `done` of `total` steps of the loop `label`.
    pub fn step(&mut self, publisher: &Publisher, label: &str, done: usize, total: usize) {
        match self.bars.iter().position(|b| b.label == label) {
            Some(at) => {
                self.bars.truncate(at + 1);
                let bar = &mut self.bars[at];
                if done < bar.done {
                    bar.begun = Instant::now();
                }
                (bar.done, bar.total) = (done, total);
            }
            None => self.bars.push(Bar { label: label.to_string(), begun: Instant::now(), done, total }),
        }
        let patient = self.bars[0].begun.elapsed() < MIN_WORK_TIME;
        if (self.bar_display.id.is_some() || !patient) && self.bar_display.is_due() {
            let lines: Vec<String> = self.bars.iter().map(Bar::text).collect();
            let html: String = self.bars.iter().map(Bar::html).collect();
            self.bar_display.show(publisher, json!({ "text/plain": lines.join("\n"), "text/html": html }), json!({}));
        }
        if done >= total {
            self.bars.pop();
        }
    }

    /// A picture as it is made.
    pub fn picture(&mut self, publisher: &Publisher, label: &str, image: &Image) {
        if !self.picture_display.is_due() {
            return;
        }
        if let Ok(forms) = convscope_engine::show::mime::image(image, label) {
            let bundle = Bundle::from(forms);
            self.picture_display.show(publisher, bundle.data, bundle.metadata);
        }
    }

    /// Removes the display at the end of the cell.
    pub fn end(&mut self, publisher: &Publisher) {
        self.bars.clear();
        self.bar_display.take_away(publisher);
        self.picture_display.take_away(publisher);
    }
}

impl Bar {
    fn share(&self) -> f64 {
        self.done as f64 / self.total.max(1) as f64
    }

    /// The progress in words: "3 of 12, 9 s left".
    fn words(&self) -> String {
        let spent = self.begun.elapsed().as_secs_f64();
        let left = match self.done {
            0 => String::new(),
            done => format!(", {:.0} s left", spent * (self.total.saturating_sub(done)) as f64 / done as f64),
        };
        format!("{} of {}{left}", self.done, self.total)
    }

    fn text(&self) -> String {
        let full = (self.share().clamp(0.0, 1.0) * BAR_CHARS as f64) as usize;
        format!("{} [{}{}] {}", self.label, "#".repeat(full), ".".repeat(BAR_CHARS - full), self.words())
    }

    fn html(&self) -> String {
        let label = convscope_engine::show::escape::escape(&self.label);
        format!(
            "<div><progress value=\"{}\" max=\"{}\"></progress> {label}: {}</div>",
            self.done,
            self.total.max(1),
            self.words()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is() {
        let bar = Bar { label: "a<b".into(), begun: Instant::now(), done: 5, total: 10 };
        assert_eq!(bar.text(), "a<b [###############...............] 5 of 10, 0 s left");
        assert!(bar.html().contains("a&lt;b: 5 of 10"));
    }
}
