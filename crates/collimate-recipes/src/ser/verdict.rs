//! Sentences about the models that helped.

use collimate_nn::Backbone;

use super::config::Control;
use super::outcome::{SerOutcome, Significance};

/// Returns one sentence for each model that is compared with Loop 0, and one on the sources of the
/// main run's gain. Empty without a test part.
pub fn verdict<B: Backbone>(outcome: &SerOutcome<B>) -> Vec<String> {
    let Some(zero) = outcome.model_report("loop0").and_then(|m| m.accuracy()) else {
        return Vec::new();
    };
    let room = outcome.model_report("full").and_then(|m| m.accuracy());
    let room = room.map(|full| full - zero).filter(|room| *room > 0.0);
    let over_zero = || outcome.significance.iter().filter(|s| s.over == "loop0");
    let mut lines: Vec<String> = over_zero().map(|s| sentence(s, room)).collect();
    let gain = |name: &str| {
        let found = over_zero().find(|s| s.of == name);
        found.map(|s| s.difference.estimate)
    };
    let controls = [Control::LongerSeed, Control::SeedEnsemble].map(Control::name);
    let best = controls
        .iter()
        .filter_map(|name| Some((*name, gain(name)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some(ser), Some((name, control))) = (gain("ser"), best) {
        let points = |x: f64| format!("{:+.1}", 100.0 * x);
        lines.push(match ser - control > 0.0 {
            true => format!(
                "ser gains {} points. The self-labels account for {} of them, because {name}, \
                 which has no self-labels, gains {}.",
                points(ser),
                points(ser - control.max(0.0)),
                points(control)
            ),
            false => format!(
                "The self-labels of ser bring no gain here: {name}, which has no self-labels, \
                 gains {} points and ser gains {}.",
                points(control),
                points(ser)
            ),
        });
    }
    lines
}

fn sentence(s: &Significance, room: Option<f64>) -> String {
    let d = &s.difference;
    let word = match (d.low > 0.0, d.high < 0.0) {
        (true, _) => "better than",
        (_, true) => "worse than",
        _ => "not clearly different from",
    };
    let share = match room {
        Some(room) if s.of != "full" => format!(
            ", {:.0} % of the gap to the model with all labels",
            100.0 * d.estimate / room
        ),
        _ => String::new(),
    };
    format!(
        "{} is {word} Loop 0: {:+.1} points ({:+.1} to {:+.1}){share}.",
        s.of,
        100.0 * d.estimate,
        100.0 * d.low,
        100.0 * d.high,
    )
}
