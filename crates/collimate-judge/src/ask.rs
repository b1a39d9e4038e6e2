//! Requests to a generator. Each distinct question is asked once, in batches, and the cache is
//! consulted first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use collimate_core::{Answers, Completion, Generator, Key, Prompt, Purpose, Sampling};
use rand::RngExt;

use crate::error::JudgeError;
use crate::judge::Judge;
use crate::parse::Unparsed;
use crate::report::Tally;
use crate::template::Template;

/// A request for judgements of one item or pair.
pub(crate) struct Request {
    /// Index of the item, for messages.
    pub(crate) item: usize,
    /// Texts for the places of the template.
    pub(crate) values: Vec<String>,
}

/// One judgement.
#[derive(Debug, Clone)]
pub(crate) enum Judgement {
    Written(Completion),
    /// The judge refused, for this reason.
    Refused(String),
}

impl Judgement {
    /// Parses the text of the judgement.
    pub(crate) fn read<T>(
        &self,
        parse: impl FnOnce(&Completion) -> Result<T, Unparsed>,
    ) -> Result<T, Unparsed> {
        match self {
            Self::Written(completion) => parse(completion),
            Self::Refused(_) => Err(Unparsed::Refused),
        }
    }

    /// Returns the text, or the reason of the refusal.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Written(completion) => completion.text,
            Self::Refused(reason) => reason,
        }
    }
}

/// The judgements of each request, with counts of their sources.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) judgements: Vec<Vec<Judgement>>,
    pub(crate) generated: usize,
    pub(crate) cached: usize,
    pub(crate) repeated: usize,
}

/// A distinct question.
struct Question {
    item: usize,
    /// Number of requests with this question.
    times: usize,
    prompt: Prompt,
    key: blake3::Hasher,
    judgements: Vec<Completion>,
    /// Reason why the missing judgements were refused.
    refused: Option<String>,
}

impl Question {
    /// Returns the judgements from number `from` up to `samples`.
    fn samples(&self, from: usize, samples: usize) -> impl Iterator<Item = Judgement> {
        let written = self.judgements.iter().skip(from).cloned();
        let missing = samples.saturating_sub(self.judgements.len().max(from));
        let refused = self.refused.iter().cloned().cycle().take(missing);
        written
            .map(Judgement::Written)
            .chain(refused.map(Judgement::Refused))
    }
}

impl<P> Judge<P>
where
    P: Deref,
    P::Target: Generator,
{
    /// Returns `samples` judgements of each request. `parses` returns true for a judgement that can
    /// be parsed. A refusal of the generator counts as a judgement, so that one question does not
    /// stop the others.
    pub(crate) fn ask(
        &self,
        template: &Template,
        requests: &[Request],
        samples: usize,
        parses: impl Fn(&Completion) -> bool,
    ) -> Result<Asked, JudgeError> {
        let mut asked = Asked::default();
        let mut questions: Vec<Question> = Vec::new();
        let mut places = HashMap::new();
        let mut place_of = Vec::with_capacity(requests.len());
        for request in requests {
            let key = self.key(template, &request.values);
            let place = *places.entry(key.finalize()).or_insert_with(|| {
                let values: Vec<&str> = request.values.iter().map(String::as_str).collect();
                questions.push(Question {
                    item: request.item,
                    times: 0,
                    prompt: template.render(&values, self.options().style),
                    judgements: self.known(&key, samples),
                    refused: None,
                    key,
                });
                questions.len() - 1
            });
            questions[place].times += 1;
            place_of.push(place);
        }
        asked.cached = questions.iter().map(|q| q.judgements.len()).sum();
        asked.generated = questions.len() * samples - asked.cached;
        asked.repeated = (requests.len() - questions.len()) * samples;

        let least = self.options().min_parse_rate;
        let mut tally = Tally::new(requests.len() * samples, least);
        let count = |tally: &mut Tally, question: &Question, from: usize| {
            for judgement in question.samples(from, samples) {
                let parses = match &judgement {
                    Judgement::Written(written) => parses(written),
                    Judgement::Refused(_) => false,
                };
                tally.count(&judgement, parses, question.times);
            }
        };
        questions.iter().for_each(|q| count(&mut tally, q, 0));
        tally.check()?;

        // The cache may hold only the first samples of a question if an earlier call asked for
        // fewer.
        let mut missing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, question) in questions.iter().enumerate() {
            let known = question.judgements.len();
            if known < samples {
                missing.entry(known).or_default().push(place);
            }
        }
        for (known, places) in missing {
            for batch in places.chunks(self.options().batch) {
                self.generate(&mut questions, batch, known, samples)?;
                batch
                    .iter()
                    .for_each(|&q| count(&mut tally, &questions[q], known));
                tally.check()?;
                tally.check_answers()?;
            }
        }
        let refused: usize = questions.iter().map(|q| samples - q.judgements.len()).sum();
        asked.generated -= refused;
        asked.judgements = place_of
            .into_iter()
            .map(|place| questions[place].samples(0, samples).collect())
            .collect();
        Ok(asked)
    }

    /// Generates the samples from `known` on for the questions of one batch and stores them, also
    /// in the cache.
    fn generate(
        &self,
        questions: &mut [Question],
        batch: &[usize],
        known: usize,
        samples: usize,
    ) -> Result<(), JudgeError> {
        let sampling = self.sampling_from(known, samples);
        let prompts: Vec<Prompt> = batch
            .iter()
            .map(|&place| questions[place].prompt.clone())
            .collect();
        let items: Vec<usize> = batch.iter().map(|&place| questions[place].item).collect();
        let mut arrived: Vec<Option<Answers>> = vec![None; batch.len()];
        let mut answered = 0;
        let ended = self
            .generator()
            .hand_out(&prompts, &sampling, &mut |index, answers| {
                answered += 1;
                if let Some(place) = arrived.get_mut(index) {
                    *place = Some(answers);
                }
            });
        let mut lines = Vec::new();
        let mut miscounted = None;
        for (&place, answers) in batch.iter().zip(arrived) {
            let question = &mut questions[place];
            let Some(answers) = answers else { continue };
            let count = answers.completions.len();
            let wanted = answers.refused.is_none() && ended.is_ok();
            if count > sampling.n || (wanted && count < sampling.n) {
                miscounted.get_or_insert(JudgeError::Samples {
                    index: question.item,
                    asked: sampling.n,
                    answered: count,
                });
                continue;
            }
            question.refused = answers.refused;
            for answer in answers.completions {
                // Token ids are not needed here, and the cache does not keep them.
                let answer = Completion {
                    tokens: None,
                    ..answer
                };
                let key = sample_key(&question.key, question.judgements.len());
                lines.push((key, answer.clone()));
                question.judgements.push(answer);
            }
        }
        tracing::debug!(prompts = answered, samples = sampling.n, "judged");
        // Keep the judgements that arrived before returning an error.
        let kept = match self.cache() {
            Some(cache) if !lines.is_empty() => cache.append(&lines),
            _ => Ok(()),
        };
        // Convert indices in the batch, which the generator reports, into items.
        ended.map_err(|error| error.at(&items))?;
        kept?;
        if answered != batch.len() {
            return Err(JudgeError::Count {
                asked: batch.len(),
                answered,
            });
        }
        match miscounted {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Returns the cached samples from the first one up to the first gap.
    fn known(&self, key: &blake3::Hasher, samples: usize) -> Vec<Completion> {
        let Some(cache) = self.cache() else {
            return Vec::new();
        };
        (0..samples)
            .map_while(|sample| cache.get(&sample_key(key, sample)))
            .collect()
    }

    /// Returns the sampling options for later samples. They need another seed, since with the first
    /// seed they would repeat the first samples.
    fn sampling_from(&self, known: usize, samples: usize) -> Sampling {
        let mut sampling = self.options().sampling.clone();
        sampling.n = samples - known;
        if known > 0 {
            let key = Key::new(sampling.seed, "judge").with(known as u64);
            sampling.seed = key.rng(Purpose::Sampling).random();
        }
        sampling
    }

    /// Hashes everything that a judgement depends on except the number of the sample.
    fn key(&self, template: &Template, values: &[String]) -> blake3::Hasher {
        let mut key = blake3::Hasher::new();
        let mut add = |part: &str| {
            // Prefix each part with its length, so that no part can be confused with the end of
            // another.
            key.update(&(part.len() as u64).to_le_bytes());
            key.update(part.as_bytes());
        };
        add("collimate-judge 1");
        add(self.name());
        add(&format!("{:?}", template.kind()));
        add(if template.system().is_some() {
            "+"
        } else {
            "-"
        });
        add(template.system().unwrap_or_default());
        add(template.user());
        add(&format!("{:?}", self.options().style));
        let sampling = &self.options().sampling;
        add(&format!(
            "{} {} {} {} {} {}",
            sampling.seed,
            sampling.temperature,
            sampling.top_p,
            sampling.top_k,
            sampling.repetition_penalty,
            sampling.max_new_tokens
        ));
        add(&sampling.stop.len().to_string());
        for part in sampling.stop.iter().chain(values) {
            add(part);
        }
        key
    }
}

fn sample_key(key: &blake3::Hasher, sample: usize) -> String {
    let mut key = key.clone();
    key.update(&(sample as u64).to_le_bytes());
    key.finalize().to_hex().to_string()
}
