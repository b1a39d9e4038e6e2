//! A local web page on which people label pairs.

mod browser;
mod input;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use collimate::data::{Format, HhTurns, OnBadRow};
use collimate_label::{
    Desk, Ended, Page, PairSet, Resumed, Server, Session, SessionOptions, journal_path,
    labeller_name,
};
use serde_json::{Value, json};

use super::ser::Ser;
use crate::common::{self, Failure, Interrupted, json_name};
use crate::options::Layered;
use crate::{files, runs};

/// Label preference pairs by hand, on a local web page.
///
/// The page shows two answers to a prompt side by side. The arrow keys choose, t is a tie, s skips,
/// u undoes. Pairs come in the order of the files, so the most useful pairs of the ask-next.jsonl of
/// `collimate ser` come first. The sides are drawn at random, and labels in the file are not shown. A
/// share of the pairs is shown a second time, to measure how consistent a labeller is.
///
/// Every decision is on disk at once: in a journal beside OUT (labels.decisions.jsonl), and as a
/// row `prompt`, `chosen`, `rejected`, `labeller` in OUT. Run the same command again to continue
/// where each labeller stopped. Only this computer reaches the page. Ctrl-C, or the button on the
/// page, ends the program.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files to label: rows with `prompt` and answers in `response_a`, `response_b` or a list
    /// `responses`, or preference pairs of any format, whose labels are not shown. Pairs are asked in
    /// the order of the files
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    from: Vec<PathBuf>,
    /// File of labels to write or to continue
    #[arg(long, value_name = "OUT.jsonl")]
    out: PathBuf,
    /// Name of the labeller, which can be changed on the page
    #[arg(long, value_name = "NAME", default_value = "me")]
    name: String,
    /// Share of the pairs that each labeller sees a second time
    #[arg(long, value_name = "SHARE", default_value_t = SessionOptions::default().repeat)]
    repeat: f64,
    /// Label only the first N pairs, which are the same for every labeller
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Maximum number of pairs from a prompt with more than two answers
    #[arg(long, value_name = "N", default_value_t = 3)]
    pairs_per_prompt: usize,
    /// Seed of the sides and the repeats
    #[arg(long, value_name = "N", default_value_t = SessionOptions::default().seed)]
    seed: u64,
    /// Address of the page: 127.0.0.1 or ::1
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port of the page; 0 means any free port
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Open the page in a browser; the default in a terminal of a desktop
    #[arg(long, conflicts_with = "no_open")]
    open: bool,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// Format of the files; detected by default
    #[arg(long, value_parser = json_name::<Format>, value_name = "NAME")]
    format: Option<Format>,
    /// Handling of rows that cannot be read: fail, or drop and count them
    #[arg(long, value_parser = json_name::<OnBadRow>, default_value = "fail", value_name = "POLICY")]
    on_bad_row: OnBadRow,
    /// Prompt of an hh-rlhf dialogue: full or last_turn_only. `collimate ser` needs the same value
    #[arg(
        long,
        value_parser = json_name::<HhTurns>,
        default_value = "last_turn_only",
        value_name = "TURNS"
    )]
    hh_turns: HhTurns,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let labeller = labeller_name(&args.name).map_err(|error| format!("--name: {error}"))?;
    let options = SessionOptions {
        seed: args.seed,
        repeat: args.repeat,
        limit: args.limit,
    };
    options.check().map_err(|error| format!("--{error}"))?;
    if args.pairs_per_prompt == 0 {
        return Err("--pairs-per-prompt is 0 but must be at least 1".into());
    }
    common::check_writable(&args.out)?;
    for input in &args.from {
        common::check_other(&args.out, input)?;
        common::check_other(&journal_path(&args.out), input)?;
    }
    let address = Server::free_address(SocketAddr::new(args.host, args.port))?;
    let pairs = read(args)?;
    let (desk, resumed) = Desk::open(Session::new(pairs, options)?, &args.out)?;
    tell_resumed(resumed, &args.out);
    let interrupt = runs::interrupt();
    let out = args.out.display().to_string();
    let page = Page {
        labeller,
        next: format!(
            "collimate ser {}--labelled {}{}{} --model DIR --out runs/ser",
            earlier(&args.from),
            quoted(&out),
            pool(args),
            reading(args)
        ),
        ceiling: Some("--ceiling".to_owned()),
    };
    let server = Server::start(address, desk, page.clone())?;
    let url = server.url();
    common::tell(&format!("label at {url}"));
    common::tell(
        "Ctrl-C or the button on the page ends the program; every decision is saved at once",
    );
    if args.open || (!args.no_open && browser::is_likely()) {
        browser::open(&url);
    }
    let (desk, ended) = server.wait(|| interrupt.is_set());
    match desk {
        Some(desk) => close(desk, ended, &page),
        None => Ok(()),
    }
}

/// Reads the pairs of all files, and reports the pairs that were left out.
fn read(args: &Args) -> Result<PairSet, Failure> {
    let options = files::options(args.format, args.on_bad_row, args.hh_turns);
    let (per_prompt, seed) = (args.pairs_per_prompt, args.seed);
    let rows = input::pairs_to_label(&args.from, &options, per_prompt, seed)?;
    let pairs = PairSet::new(rows);
    let told = [
        (pairs.equal(), "with two equal answers"),
        (pairs.again(), "that occurred before"),
    ];
    for (count, which) in told.into_iter().filter(|(count, _)| *count > 0) {
        let noun = if count == 1 { "pair" } else { "pairs" };
        common::tell(&format!("left out {count} {noun} {which}"));
    }
    Ok(pairs)
}

fn tell_resumed(resumed: Resumed, out: &Path) {
    let journal = journal_path(out);
    let journal = journal.display();
    if resumed.torn > 0 {
        common::tell(&format!(
            "{journal}: dropped an unfinished last line of {} bytes: the program was killed while writing it",
            resumed.torn
        ));
    }
    if resumed.events > 0 {
        common::tell(&format!(
            "continuing {journal}: {} decisions and undos so far",
            resumed.events
        ));
    }
}

/// Reports the numbers and how to continue.
fn close(mut desk: Desk, ended: Ended, page: &Page) -> Result<(), Failure> {
    let summary = desk.session().summary();
    let next = page.command(desk.session());
    let out = desk.out().display().to_string();
    if summary.labellers.is_empty() {
        common::print("no decision was made\n")?;
    } else {
        common::print(&format!("{summary}\nlabels: {out}\nnext: {next}\n"))?;
    }
    let standing = summary.labellers.keys().map(|name| desk.progress(name));
    let (done, total) = standing.fold((0, 0), |(done, total), progress| {
        (done + progress.done, total + progress.total)
    });
    match ended {
        Ended::Stopped if total == 0 => Err(Interrupted(
            "stopped before the first decision; run the same command to start again".to_owned(),
        )
        .into()),
        Ended::Stopped if done < total => Err(Interrupted(format!(
            "stopped after {done} decisions, {} to come; run the same command to continue",
            total - done
        ))
        .into()),
        _ => Ok(()),
    }
}

/// Returns the option for earlier labels, if the pairs are those that a run of `ser` asks about
/// next.
fn earlier(from: &[PathBuf]) -> &'static str {
    let asked = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name == "ask-next.jsonl")
    };
    match from.iter().any(asked) {
        true => "--labelled EARLIER.jsonl ",
        false => "",
    }
}

/// Returns the option for the pool: the labelled files if only a part of their pairs is labelled.
fn pool(args: &Args) -> String {
    if args.limit.is_none() || !earlier(&args.from).is_empty() {
        return " --unlabelled POOL.jsonl".to_owned();
    }
    let files = args.from.iter().map(|path| path.display().to_string());
    files
        .map(|path| format!(" --unlabelled {}", quoted(&path)))
        .collect()
}

/// Returns the reading options that differ from the defaults of `ser`. With them, `ser` finds the
/// labelled pairs in the pool. `--format` is not among them: in `ser` it is the format of the labels.
fn reading(args: &Args) -> String {
    let of_ser: <Ser as Layered>::Config = Default::default();
    let options = [
        ("hh-turns", json!(args.hh_turns), json!(of_ser.hh_turns)),
        (
            "on-bad-row",
            json!(args.on_bad_row),
            json!(of_ser.on_bad_row),
        ),
        (
            "pairs-per-prompt",
            json!(args.pairs_per_prompt),
            json!(of_ser.pairs_per_prompt),
        ),
    ];
    let changed = options.into_iter().filter(|(_, here, there)| here != there);
    changed
        .map(|(name, here, _)| match here {
            Value::String(word) => format!(" --{name} {word}"),
            number => format!(" --{name} {number}"),
        })
        .collect()
}

/// Quotes a path for a shell if necessary.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
    match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}
