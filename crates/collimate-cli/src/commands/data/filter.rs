//! Keeps some of the pairs of a scored file, in passes over the file.

use std::path::PathBuf;

use clap::ValueEnum;
use collimate::core::{Key, LeaveReason};
use collimate::irm::{KeepPlan, KeepRule, share_count};
use collimate::status::{
    CalibratedConfig, CalibratedFilter, FilterConfig, LearningStatus, PairCalibration, PairFilter,
};

use super::filter_rows::{Kept, write};
use super::filter_scores::{Needed, Scores};
use super::lines::count;
use crate::common::{self, Failure, usage};

/// Keep some of the pairs of a scored file, by SER's filters or SeRA's margins.
///
/// The file holds pairs with scores, as `collimate score` writes them. The rules status and
/// calibrated label pairs: the answer with the higher score becomes chosen. The other rules keep
/// every label. Every kept row gets a column `filter_score`, the number that decided. Memory does
/// not grow with the number of rows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pairs with `chosen_score` and `rejected_score`, or with `chosen_logps` and `rejected_logps`
    #[arg(value_name = "SCORED.jsonl")]
    file: PathBuf,
    /// Rule by which pairs are kept
    #[arg(long, value_enum, value_name = "RULE")]
    rule: Rule,
    /// The same pairs with the log-probabilities of the reference model: margins are then
    /// differences of log-ratios, the implicit reward margins of SeRA
    #[arg(long, value_name = "SCORED.jsonl")]
    reference: Option<PathBuf>,
    /// Share of the pairs to keep if below 1, else number of pairs to keep; for largest, middle and
    /// random
    #[arg(long, value_name = "SHARE")]
    keep: Option<f64>,
    /// Score that corresponds to a probability of one half; for status [default: 0]
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    centre: Option<f64>,
    /// Pairs with human labels and scores of the same model. The model must not have learnt from these
    /// pairs; for calibrated
    #[arg(long, value_name = "SCORED.jsonl")]
    labelled: Option<PathBuf>,
    /// Smallest probability that a kept label is right; for calibrated [default: 0.9]
    #[arg(long, value_name = "P")]
    precision: Option<f64>,
    /// Seed of the random choice; for random [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// File to write
    #[arg(long, value_name = "OUT.jsonl")]
    out: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

/// Rule by which pairs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rule {
    /// The paper's learning status: thresholds on sigma(score)
    Status,
    /// Labels that are right with a required probability
    Calibrated,
    /// The largest margins (`margin` is another name of this rule)
    #[value(alias = "margin")]
    Largest,
    /// The margins nearest to the median
    Middle,
    /// A random choice
    Random,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    check(args)?;
    let kept = match args.rule {
        Rule::Status => status(args)?,
        Rule::Calibrated => calibrated(args)?,
        Rule::Largest => margins(args, KeepRule::Largest)?,
        Rule::Middle => margins(args, KeepRule::Middle)?,
        Rule::Random => margins(args, KeepRule::Random)?,
    };
    let left: usize = kept.left.values().sum();
    let reasons: Vec<String> = kept
        .left
        .iter()
        .map(|(reason, rows)| format!("{}: {rows}", said(*reason)))
        .collect();
    let reasons = match reasons.is_empty() {
        true => String::new(),
        false => format!(" ({})", reasons.join(", ")),
    };
    common::tell(&format!(
        "wrote {} to {} ({} with exchanged answers); left out {}{reasons}",
        count(kept.rows, "pair"),
        args.out.display(),
        kept.swapped,
        count(left, "pair")
    ));
    Ok(())
}

/// Refuses options that do not fit the rule, before any work is done.
fn check(args: &Args) -> Result<(), Failure> {
    common::check_writable(&args.out)?;
    let inputs = || {
        [
            Some(&args.file),
            args.reference.as_ref(),
            args.labelled.as_ref(),
        ]
    };
    for input in inputs().into_iter().flatten() {
        common::check_other(&args.out, input)?;
        if !input.is_file() && input.exists() {
            return Err(format!(
                "{} is not a file: the command reads the rows several times: write them to a file",
                input.display()
            )
            .into());
        }
    }
    if args.out.exists() && !args.force {
        return Err(format!(
            "--out {} exists already: give another name, or --force to replace the file",
            args.out.display()
        )
        .into());
    }
    let selects = matches!(args.rule, Rule::Largest | Rule::Middle | Rule::Random);
    if selects != args.keep.is_some() {
        return Err(usage(match selects {
            true => "--rule largest, middle and random need --keep",
            false => "--keep is for --rule largest, middle or random",
        }));
    }
    if !selects && args.reference.is_some() {
        return Err(usage("--reference is for --rule largest, middle or random"));
    }
    if (args.rule == Rule::Calibrated) != args.labelled.is_some() {
        return Err(usage(
            "--rule calibrated needs --labelled, and --labelled is only for --rule calibrated",
        ));
    }
    for (given, flag, rule) in [
        (args.centre.is_some(), "--centre", Rule::Status),
        (args.precision.is_some(), "--precision", Rule::Calibrated),
        (args.seed.is_some(), "--seed", Rule::Random),
    ] {
        if given && args.rule != rule {
            let rule = format!("{rule:?}").to_lowercase();
            return Err(usage(format!("{flag} is only for --rule {rule}")));
        }
    }
    match args.keep {
        Some(keep) if keep >= 1.0 && keep.fract() != 0.0 => Err(usage(format!(
            "--keep is {keep} but must be a share below 1 or a whole number of pairs"
        ))),
        Some(keep) if !(keep > 0.0 && keep < 1e15) => Err(usage(format!(
            "--keep is {keep} but must be above 0 and below 1e15"
        ))),
        _ => Ok(()),
    }
}

/// Keeps pairs by the learning status of the paper.
fn status(args: &Args) -> Result<Kept, Failure> {
    let mut scores = Scores::open(&args.file, None, Needed::Scores)?;
    let filter = PairFilter::new(
        FilterConfig::default(),
        args.centre.unwrap_or(0.0),
        scores.rows(),
    )?;
    let mut plan = filter.plan(scores.pairs())?;
    tell_status(plan.summary().status, plan.summary().min_count);
    write(&args.file, &args.out, &mut scores.pairs(), |pair| {
        plan.judge(pair)
    })
}

/// Keeps pairs whose label is right with the required probability.
fn calibrated(args: &Args) -> Result<Kept, Failure> {
    let Some(labelled) = &args.labelled else {
        return Err(usage("--rule calibrated needs --labelled"));
    };
    let mut known = Scores::open(labelled, None, Needed::Scores)?;
    let mut gaps = Vec::new();
    known.pairs().each(&mut |(chosen, rejected)| {
        gaps.push(f64::from(chosen) - f64::from(rejected));
    })?;
    let calibration = PairCalibration::fit(&gaps)?;
    common::tell(&format!(
        "{}: {} labelled pairs, slope {:.3}",
        labelled.display(),
        gaps.len(),
        calibration.slope
    ));
    let config = CalibratedConfig {
        precision: args.precision.unwrap_or(0.9),
        length_balance: false,
        ..CalibratedConfig::default()
    };
    let mut scores = Scores::open(&args.file, None, Needed::Scores)?;
    let filter = CalibratedFilter::new(config, calibration, scores.rows())?;
    let mut plan = filter.plan(scores.equally_long())?;
    tell_status(plan.summary().status, plan.summary().min_count);
    write(&args.file, &args.out, &mut scores.pairs(), |pair| {
        plan.judge(pair, (0, 0))
    })
}

/// Keeps pairs by their margins.
fn margins(args: &Args, rule: KeepRule) -> Result<Kept, Failure> {
    let mut scores = Scores::open(&args.file, args.reference.as_deref(), Needed::Any)?;
    let k = match args.keep {
        Some(share) if share < 1.0 => share_count(share, scores.rows())?,
        Some(number) => number as usize,
        None => 0,
    };
    if k > scores.rows() {
        let rows = scores.rows();
        common::tell(&format!(
            "--keep asks for {k} pairs, but the file has {rows}: all are kept"
        ));
    }
    let mut plan = KeepPlan::new(
        scores.gaps(),
        k,
        rule,
        Key::new(args.seed.unwrap_or(0), "data filter"),
    )?;
    write(&args.file, &args.out, &mut scores.gaps(), |gap| {
        plan.judge(gap)
    })
}

fn tell_status(status: Option<LearningStatus>, min_count: usize) {
    let status = match status {
        Some(LearningStatus::Easy) => "easy: pairs with a surely good and a surely bad answer",
        Some(LearningStatus::Hard) => "hard: pairs whose answers are far apart",
        Some(LearningStatus::Confident) => "confident: enough labels are sure",
        Some(LearningStatus::NoConfidence) => {
            "no confidence: too few labels are sure, so no pair is kept"
        }
        Some(LearningStatus::Converged) | None => "converged: too few pairs qualify",
    };
    common::tell(&format!(
        "status {status}; a status needs {min_count} pairs"
    ));
}

/// Returns the words for a reason.
fn said(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::BelowThreshold => "below the threshold",
        LeaveReason::Tie => "equal scores",
        LeaveReason::NotFinite => "a score that is not finite",
        LeaveReason::OppositeSides => "answers on opposite sides",
        LeaveReason::OverLimit => "over the limit",
        LeaveReason::Converged => "the status keeps nothing",
        LeaveReason::LengthBalance => "balance of lengths",
        _ => "another reason",
    }
}
