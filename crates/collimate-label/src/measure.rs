//! Measures of how far labels can be trusted: consistency, agreement, sides, time.

use std::collections::BTreeMap;
use std::fmt;

use collimate_eval::{Interval, wilson_interval};

use crate::queue::{Queue, Verdict};
use crate::session::Session;

/// Minimum number of repeats from which the reliability of a label is derived.
const MIN_REPEATS: usize = 20;

/// A share with its counts and its 95 % interval (Wilson).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Number of cases that count.
    pub count: usize,
    /// Number of all cases.
    pub of: usize,
    /// The share with its interval.
    pub interval: Interval,
}

impl Share {
    /// Returns the share of `count` in `of`; `None` if `of` is 0.
    pub fn new(count: usize, of: usize) -> Option<Self> {
        let interval = wilson_interval(count as f64, of, 0.95).ok()?;
        Some(Self {
            count,
            of,
            interval,
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interval {
            estimate,
            low,
            high,
        } = self.interval;
        write!(
            f,
            "{} % ({} of {}, interval {} to {} %)",
            percent(estimate),
            self.count,
            self.of,
            percent(low),
            percent(high)
        )
    }
}

fn percent(share: f64) -> f64 {
    (100.0 * share).round()
}

/// Progress of a labeller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of decisions so far, including skips and repeats.
    pub done: usize,
    /// Number of decisions when the labeller is finished.
    pub total: usize,
    /// Number of decisions that can be taken back.
    pub undoable: usize,
}

/// Counts and measurements of one labeller or of all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measures {
    /// Number of pairs with a chosen answer.
    pub labels: usize,
    /// Number of pairs whose answers are judged equally good.
    pub ties: usize,
    /// Number of skipped pairs.
    pub skips: usize,
    /// Number of repeated pairs that were decided.
    pub repeats: usize,
    /// Share of the repeats that were decided as they were the first time, including ties.
    pub consistency: Option<Share>,
    /// Share of the choices that fell on the left side.
    pub left: Option<Share>,
    /// Median time of a decision in seconds.
    pub median_seconds: Option<f64>,
}

impl Measures {
    /// Returns the reliability of a label: the probability c that it is right, which means that it
    /// agrees with the labeller's true preference. It follows from the consistency s of the repeats.
    ///
    /// ```text
    /// s = c² + (1 − c)²,    c = (1 + √(2s − 1)) / 2
    /// ```
    ///
    /// Two decisions agree if both are right or both are wrong. Their errors must be independent: if a
    /// labeller remembers the first decision and repeats its error, c is too high. The ends of the
    /// interval are those of s, mapped in the same way.
    ///
    /// `None` if fewer than 20 repeats count, or if the interval of s includes ½, which is the
    /// consistency of a labeller who tosses a coin.
    pub fn reliability(&self) -> Option<Interval> {
        let share = self.consistency.filter(|share| share.of >= MIN_REPEATS)?;
        let right = |same: f64| 0.5 * (1.0 + (2.0 * same - 1.0).sqrt());
        let Interval {
            estimate,
            low,
            high,
        } = share.interval;
        (low > 0.5).then(|| Interval {
            estimate: right(estimate),
            low: right(low),
            high: right(high),
        })
    }

    /// Returns labels, ties and skips in words.
    fn counts(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let labels = counted(self.labels, "label");
        let (ties, skips) = (counted(self.ties, "tie"), counted(self.skips, "skip"));
        format!("{labels}, {ties}, {skips}")
    }
}

/// Agreement of two labellers on the pairs that both have judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// Names of the two labellers.
    pub labellers: [String; 2],
    /// Share of their common pairs with the same decision, including ties.
    pub share: Share,
}

/// Measures of a whole session.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Measures of all labellers together.
    pub all: Measures,
    /// Measures of each labeller, by name.
    pub labellers: BTreeMap<String, Measures>,
    /// Agreement over all couples of labellers; `None` if no pair was judged by two labellers.
    pub agreement: Option<Share>,
    /// Agreement of each couple of labellers with common pairs.
    pub couples: Vec<Agreement>,
}

impl Session {
    /// Returns the progress of a labeller.
    pub fn progress(&mut self, labeller: &str) -> Progress {
        // Creates the queue of a new labeller.
        self.next(labeller);
        let Some(queue) = self.queue(labeller) else {
            return Progress::default();
        };
        let (done, total) = queue.progress();
        Progress {
            done,
            total,
            undoable: queue.made().len(),
        }
    }

    /// Returns counts and measurements of one labeller.
    pub fn measures(&self, labeller: &str) -> Measures {
        measure(self.queue(labeller).into_iter())
    }

    /// Returns the reliability of the labels of all labellers together: see
    /// [`Measures::reliability`].
    pub fn reliability(&self) -> Option<Interval> {
        measure(self.queues().map(|(_, queue)| queue)).reliability()
    }

    /// Returns the measures of the whole session.
    pub fn summary(&self) -> Summary {
        let couples = self.couples();
        let (count, of) = couples.iter().fold((0, 0), |(count, of), couple| {
            (count + couple.share.count, of + couple.share.of)
        });
        Summary {
            all: measure(self.queues().map(|(_, queue)| queue)),
            labellers: self
                .queues()
                .map(|(name, queue)| (name.to_owned(), measure(std::iter::once(queue))))
                .collect(),
            agreement: Share::new(count, of),
            couples,
        }
    }

    /// Returns the agreement of every couple of labellers with common pairs.
    pub fn couples(&self) -> Vec<Agreement> {
        let queues: Vec<(&str, &Queue)> = self.queues().collect();
        let mut couples = Vec::new();
        for (index, (one, left)) in queues.iter().enumerate() {
            for (other, right) in &queues[index + 1..] {
                let (mut same, mut of) = (0, 0);
                for (pair, verdict) in judged(left) {
                    match right.verdict(pair, false) {
                        None | Some(Verdict::Skip) => {}
                        Some(second) => {
                            of += 1;
                            same += usize::from(second == verdict);
                        }
                    }
                }
                couples.extend(Share::new(same, of).map(|share| Agreement {
                    labellers: [(*one).to_owned(), (*other).to_owned()],
                    share,
                }));
            }
        }
        couples
    }
}

/// Returns the first decisions on pairs that were judged by a choice or a tie.
fn judged(queue: &Queue) -> impl Iterator<Item = (usize, Verdict)> {
    let made = queue.made().iter();
    made.filter(|made| !made.showing.repeat && made.verdict != Verdict::Skip)
        .map(|made| (made.showing.pair, made.verdict))
}

fn measure<'q>(queues: impl Iterator<Item = &'q Queue>) -> Measures {
    let mut found = Measures::default();
    let (mut same, mut repeated, mut left, mut chosen) = (0, 0, 0, 0);
    let mut seconds = Vec::new();
    for queue in queues {
        for made in queue.made() {
            seconds.push(made.seconds);
            left += usize::from(made.chose_left == Some(true));
            chosen += usize::from(made.chose_left.is_some());
            if made.showing.repeat {
                found.repeats += 1;
                if made.verdict != Verdict::Skip {
                    repeated += 1;
                    let first = queue.verdict(made.showing.pair, false);
                    same += usize::from(first == Some(made.verdict));
                }
                continue;
            }
            match made.verdict {
                Verdict::Better(_) => found.labels += 1,
                Verdict::Tie => found.ties += 1,
                Verdict::Skip => found.skips += 1,
            }
        }
    }
    found.consistency = Share::new(same, repeated);
    found.left = Share::new(left, chosen);
    found.median_seconds = median(seconds);
    found
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    match values.len() % 2 {
        0 => Some((values[middle - 1] + upper) / 2.0),
        _ => Some(upper),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.all.counts())?;
        match &self.all.consistency {
            Some(share) => write!(f, "\nconsistency on repeated pairs: {share}")?,
            None => write!(f, "\nconsistency: not measured, no pair was repeated")?,
        }
        if let Some(right) = self.all.reliability() {
            write!(
                f,
                "\nlabels that are right, derived from the consistency: {} % (interval {} to {} %)",
                percent(right.estimate),
                percent(right.low),
                percent(right.high)
            )?;
        }
        match &self.agreement {
            Some(share) => write!(f, "\nagreement of labellers: {share}")?,
            None if self.labellers.len() > 1 => {
                write!(
                    f,
                    "\nagreement of labellers: not measured, no pair was judged by two labellers"
                )?;
            }
            None => {}
        }
        if self.couples.len() > 1 {
            for Agreement { labellers, share } in &self.couples {
                write!(f, "\n  {} and {}: {share}", labellers[0], labellers[1])?;
            }
        }
        if let Some(share) = &self.all.left {
            write!(f, "\nleft side chosen: {share}")?;
        }
        if let Some(seconds) = self.all.median_seconds {
            write!(f, "\nmedian time of a decision: {seconds:.1} seconds")?;
        }
        if self.labellers.len() > 1 {
            for (name, of) in &self.labellers {
                write!(f, "\n  {name}: {}", of.counts())?;
                if let Some(share) = &of.consistency {
                    write!(f, ", consistency {share}")?;
                }
            }
        }
        Ok(())
    }
}
