//! Templates and plots that the recipes' reports share.

use collimate_eval::Interval;
use collimate_run::{
    BarChart, BarSeries, Figures, LineChart, LineSeries, Plot, RunFolder, Templates,
};
use collimate_train::metric_names as names;
use serde_json::{Map, Value};

use crate::{RecipeError, Sample};

/// All templates, by file name.
pub(crate) const TEMPLATES: Templates = Templates::new(&[
    ("answers.md", include_str!("../assets/answers.md")),
    ("direct.md", include_str!("../assets/direct.md")),
    ("policies.md", include_str!("../assets/policies.md")),
    ("ppo.md", include_str!("../assets/ppo.md")),
    ("reward_model.md", include_str!("../assets/reward_model.md")),
    (
        "self_rewarding.md",
        include_str!("../assets/self_rewarding.md"),
    ),
    ("ser.md", include_str!("../assets/ser.md")),
    ("sera.md", include_str!("../assets/sera.md")),
]);

/// Writes `summary.json` with `extra` in it, then `report.md` and its plots. The template reads
/// `values`; the summary without `extra` is in `values` as `summary`.
pub(crate) fn write(
    run: &RunFolder,
    template: &str,
    mut summary: Value,
    extra: &Map<String, Value>,
    mut values: Value,
    figures: Figures,
) -> Result<(), RecipeError> {
    // `extra` may hold names that a user chose. They must not hide names that the template reads.
    values["summary"] = summary.clone();
    for (name, value) in extra {
        summary[name] = value.clone();
    }
    run.write_summary(&summary)?;
    TEMPLATES
        .render(template, &values, figures)?
        .write(run.path())?;
    Ok(())
}

/// Draws win rates with their intervals as bars; returns `None` without a win rate.
pub(crate) fn win_rates(
    title: &str,
    group: &str,
    rates: impl IntoIterator<Item = (String, Interval)>,
) -> Option<(String, Plot)> {
    let (names, rates): (Vec<String>, Vec<Interval>) = rates.into_iter().unzip();
    let bars = BarSeries::new("win rate", rates.iter().map(|i| i.estimate).collect())
        .with_intervals(rates.iter().map(|i| (i.low, i.high)).collect());
    let any = !names.is_empty();
    let chart = BarChart::new(title, group, "win rate", names).with(bars);
    any.then(|| ("win_rate".to_owned(), chart.into()))
}

/// Draws the log-probabilities of chosen and rejected answers over the steps of a policy; returns
/// `None` for fewer than `least` steps.
pub(crate) fn logps(
    policy: &str,
    least: usize,
    curve: impl Fn(&str) -> Vec<(f64, f64)>,
) -> Option<(String, Plot)> {
    let lines = [names::LOGPS_CHOSEN, names::LOGPS_REJECTED].map(curve);
    let chart = LineChart::new(format!("Log-probabilities: {policy}"), "step", "nats");
    lines_of(format!("logps_{policy}"), chart, least, lines)
}

/// Draws the implicit rewards of chosen and rejected answers over the steps of a policy; returns
/// `None` for fewer than `least` steps.
pub(crate) fn rewards(
    policy: &str,
    least: usize,
    curve: impl Fn(&str) -> Vec<(f64, f64)>,
) -> Option<(String, Plot)> {
    let lines = [names::REWARDS_CHOSEN, names::REWARDS_REJECTED].map(curve);
    let chart = LineChart::new(format!("Implicit rewards: {policy}"), "step", "reward");
    lines_of(format!("rewards_{policy}"), chart, least, lines)
}

fn lines_of(
    name: String,
    chart: LineChart,
    least: usize,
    [chosen, rejected]: [Vec<(f64, f64)>; 2],
) -> Option<(String, Plot)> {
    let any = chosen.len() >= least;
    let chart = chart
        .with(LineSeries::new("chosen", chosen))
        .with(LineSeries::new("rejected", rejected));
    any.then(|| (name, chart.into()))
}

/// Returns the value without its sample texts, which a summary leaves out.
pub(crate) fn without_samples(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("samples");
    }
    value
}

/// Returns the samples of a policy's answers; empty without answers.
pub(crate) fn samples(answers: Option<&crate::AnswerReport>) -> &[Sample] {
    answers.map_or(&[], |answers| &answers.samples)
}
