//! A labelling session: sides and repeats of the pairs for each labeller, and the decisions.

use std::collections::BTreeMap;

use collimate_core::{Key, OptionError, Range};

use crate::error::LabelError;
use crate::event::{Choice, Decision, Event};
use crate::pairs::{LabelPair, PairSet, answer_name};
use crate::queue::{Made, Queue, Showing, Verdict};

/// Version of the journal's format.
const VERSION: u32 = 1;

/// Options of a session.
///
/// | field | default | range |
/// |---|---|---|
/// | `seed` | 0 | any |
/// | `repeat` | 0.1 | [0, 1] |
/// | `limit` | none | at least 1 |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionOptions {
    /// Seed of sides and repeats.
    pub seed: u64,
    /// Share of the pairs that each labeller sees a second time.
    pub repeat: f64,
    /// Number of pairs to label, from the beginning of the set. Every labeller gets the same pairs.
    pub limit: Option<usize>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            repeat: 0.1,
            limit: None,
        }
    }
}

impl SessionOptions {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// An error with name, value and range.
    pub fn check(&self) -> Result<(), OptionError> {
        Range::Share.check("repeat", self.repeat)?;
        OptionError::check("limit", 0, "at least 1", self.limit != Some(0))
    }
}

/// A pair with its sides, as a labeller sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown<'a> {
    /// The pair.
    pub pair: &'a LabelPair,
    /// The answer on the left.
    pub left: &'a str,
    /// The answer on the right.
    pub right: &'a str,
    /// True if the labeller has decided this pair before. The page does not show this.
    pub repeat: bool,
}

/// Remedy for a journal that was changed by hand.
const MEND: &str = "repair the journal, or give another --out";

/// Rule for the names of labellers.
const NAMES: &str = "give 1 to 64 characters, none of them a control character";

/// Returns the name without surrounding blanks.
///
/// # Errors
/// [`LabelError::Name`] for a name that is empty, longer than 64 characters, or has control
/// characters.
pub fn labeller_name(name: &str) -> Result<String, LabelError> {
    let trimmed = name.trim();
    let hidden = |c: char| c.is_control() || crate::text::is_bidi_control(c);
    match trimmed.is_empty() || trimmed.chars().count() > 64 || trimmed.chars().any(hidden) {
        true => Err(LabelError::Name {
            name: name.chars().take(64).collect(),
            allowed: NAMES,
        }),
        false => Ok(trimmed.to_owned()),
    }
}

/// A labelling session without files and without a page. It takes decisions and returns the next
/// pair.
///
/// Every labeller gets the pairs in the order of the set. Each has separate sides and repeats, drawn
/// from the seed, the name of the labeller and the content of the pairs. The state depends on the
/// events alone: [`Session::apply`] over the same events gives the same session.
///
/// # Examples
/// ```
/// use collimate_label::{Choice, PairSet, Session, SessionOptions};
/// let pairs = PairSet::new([("2+2?".into(), "4".into(), "5".into())]);
/// let mut session = Session::new(pairs, SessionOptions::default())?;
/// let left = session.next("anna").map(|shown| shown.left.to_owned());
/// session.decide("anna", Choice::Left, 2.5, 0)?;
/// assert!(session.next("anna").is_none());
/// assert_eq!(session.labels()[0].chosen, left.unwrap());
/// # Ok::<(), collimate_label::LabelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    pairs: PairSet,
    options: SessionOptions,
    queues: BTreeMap<String, Queue>,
    /// Number of decisions so far, including undone ones.
    decisions: u64,
}

impl Session {
    /// Begins a session.
    ///
    /// # Errors
    /// [`LabelError::NoPairs`]; [`LabelError::Option`] for a share or limit out of range.
    pub fn new(pairs: PairSet, options: SessionOptions) -> Result<Self, LabelError> {
        options.check()?;
        match pairs.is_empty() {
            true => Err(LabelError::NoPairs),
            false => Ok(Self {
                pairs,
                options,
                queues: BTreeMap::new(),
                decisions: 0,
            }),
        }
    }

    /// Returns the pairs.
    pub fn pairs(&self) -> &PairSet {
        &self.pairs
    }

    /// Returns the options.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Returns the first line of this session's journal.
    pub fn begin(&self) -> Event {
        Event::Begin {
            version: VERSION,
            seed: self.options.seed,
        }
    }

    /// Returns the next pair for the labeller, with its sides; `None` after the last.
    pub fn next(&mut self, labeller: &str) -> Option<Shown<'_>> {
        let showing = self.queue_mut(labeller).next()?;
        Some(self.shown(labeller, showing))
    }

    fn shown(&self, labeller: &str, showing: Showing) -> Shown<'_> {
        let pair = self.pairs.at(showing.pair);
        let [first, second] = pair.answers();
        let first_left = self
            .queues
            .get(labeller)
            .is_none_or(|queue| queue.first_left(&self.pairs, showing));
        let (left, right) = match first_left {
            true => (first, second),
            false => (second, first),
        };
        Shown {
            pair,
            left,
            right,
            repeat: showing.repeat,
        }
    }

    /// Creates the event of a decision on the labeller's next pair, without applying it.
    ///
    /// # Errors
    /// [`LabelError::Nothing`] after the last pair; [`LabelError::Option`] if `seconds` is not a
    /// valid time.
    pub fn decision(
        &mut self,
        labeller: &str,
        choice: Choice,
        seconds: f64,
        time: u64,
    ) -> Result<Event, LabelError> {
        Range::NotNegative.check("seconds", seconds)?;
        let shown = self.next(labeller).ok_or(LabelError::Nothing("decide"))?;
        Ok(Event::Decision(Decision {
            pair: shown.pair.key(),
            labeller: labeller.to_owned(),
            choice,
            left: answer_name(shown.left),
            right: answer_name(shown.right),
            repeat: shown.repeat,
            seconds: (seconds * 1000.0).round() / 1000.0,
            time,
        }))
    }

    /// Creates the event that takes back the labeller's last decision, without applying it.
    ///
    /// # Errors
    /// [`LabelError::Nothing`] if the labeller has no decision.
    pub fn undoing(&self, labeller: &str, time: u64) -> Result<Event, LabelError> {
        let last = self.queues.get(labeller).and_then(Queue::last);
        let last = last.ok_or(LabelError::Nothing("take back"))?;
        Ok(Event::Undo {
            pair: self.pairs.at(last.showing.pair).key(),
            labeller: labeller.to_owned(),
            repeat: last.showing.repeat,
            time,
        })
    }

    /// Records a decision on the labeller's next pair.
    ///
    /// # Errors
    /// As [`Session::decision`].
    pub fn decide(
        &mut self,
        labeller: &str,
        choice: Choice,
        seconds: f64,
        time: u64,
    ) -> Result<Event, LabelError> {
        let event = self.decision(labeller, choice, seconds, time)?;
        self.apply(&event)?;
        Ok(event)
    }

    /// Takes back the labeller's last decision. The same pair is shown next, with the same sides.
    ///
    /// # Errors
    /// As [`Session::undoing`].
    pub fn undo(&mut self, labeller: &str, time: u64) -> Result<Event, LabelError> {
        let event = self.undoing(labeller, time)?;
        self.apply(&event)?;
        Ok(event)
    }

    /// Applies an event of this session or of a journal.
    ///
    /// # Errors
    /// [`LabelError::Misfit`] describes an event that does not fit: another version or seed, an
    /// unknown pair or answer, a pair that is already decided, or an undo of a decision other than
    /// the last.
    pub fn apply(&mut self, event: &Event) -> Result<(), LabelError> {
        let misfit = |what: String| Err(LabelError::Misfit(what));
        match event {
            Event::Begin { version, .. } if *version != VERSION => misfit(format!(
                "version {version} of the journal: this program reads version {VERSION}: give another --out"
            )),
            Event::Begin { seed, .. } if *seed != self.options.seed => misfit(format!(
                "the labelling began with seed {seed}: give --seed {seed}, or another --out"
            )),
            Event::Begin { .. } => Ok(()),
            Event::Decision(decision) => self.apply_decision(decision),
            Event::Undo {
                pair,
                labeller,
                repeat,
                ..
            } => {
                let queue = self.queues.get(labeller);
                let last = queue.and_then(Queue::last).map(|made| made.showing);
                let meant = self.pairs.find(*pair).map(|pair| Showing {
                    pair,
                    repeat: *repeat,
                });
                if meant.is_none() || last != meant {
                    return misfit(format!(
                        "the undo of pair {pair} does not follow its decision: {MEND}"
                    ));
                }
                self.queue_mut(labeller).undo();
                Ok(())
            }
        }
    }

    fn apply_decision(&mut self, decision: &Decision) -> Result<(), LabelError> {
        let labeller = labeller_name(&decision.labeller)?;
        let key = decision.pair;
        let misfit = |what: String| LabelError::Misfit(what);
        let pair = self.pairs.find(key).ok_or_else(|| {
            misfit(format!(
                "pair {key} is not among the pairs to label: give the same --from and the same options \
                 for reading it, or another --out"
            ))
        })?;
        let names = self.pairs.at(pair).answers().map(answer_name);
        let first_left = names[0] == decision.left && names[1] == decision.right;
        if !first_left && (names[0] != decision.right || names[1] != decision.left) {
            let what = format!("the answers of pair {key} differ from this line: {MEND}");
            return Err(misfit(what));
        }
        let showing = Showing {
            pair,
            repeat: decision.repeat,
        };
        let number = self.decisions;
        let queue = self.queue_mut(&labeller);
        if !queue.is_open(showing) {
            return Err(misfit(format!(
                "{labeller} decided pair {key} twice, or repeated the pair before the first \
                 decision: {MEND}"
            )));
        }
        let chose_left = match decision.choice {
            Choice::Left => Some(true),
            Choice::Right => Some(false),
            Choice::Tie | Choice::Skip => None,
        };
        let verdict = match (chose_left, decision.choice) {
            (Some(left), _) => Verdict::Better(usize::from(left != first_left)),
            (None, Choice::Tie) => Verdict::Tie,
            (None, _) => Verdict::Skip,
        };
        queue.decide(Made {
            showing,
            verdict,
            chose_left,
            seconds: decision.seconds,
            number,
        });
        self.decisions += 1;
        Ok(())
    }

    /// Returns a number that changes with every decision and undo of the labeller.
    pub fn version(&self, labeller: &str) -> u64 {
        self.queues.get(labeller).map_or(0, |queue| queue.version)
    }

    /// Returns the queue of a labeller; a new labeller gets one.
    fn queue_mut(&mut self, labeller: &str) -> &mut Queue {
        let Self {
            pairs,
            options,
            queues,
            ..
        } = self;
        queues.entry(labeller.to_owned()).or_insert_with(|| {
            let key = Key::new(options.seed, "label").with(name_number(labeller));
            let among = options.limit.unwrap_or(usize::MAX);
            Queue::new(key, pairs, among, options.repeat)
        })
    }

    pub(crate) fn queue(&self, labeller: &str) -> Option<&Queue> {
        self.queues.get(labeller)
    }

    /// Returns the labellers with at least one decision, by name, with their queues.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (&str, &Queue)> + Clone {
        let used = |(_, queue): &(&String, &Queue)| !queue.made().is_empty();
        self.queues
            .iter()
            .filter(used)
            .map(|(name, queue)| (name.as_str(), queue))
    }
}

/// Returns a number that depends on the whole name.
fn name_number(name: &str) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}
