//! Asking a generator: each distinct question once, in batches, with the cache in between.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use collimate_core::{Completion, GenerateError, Generator, Key, Prompt, Purpose, Sampling};
use rand::RngExt;

use crate::error::JudgeError;
use crate::judge::Judge;
use crate::report::Tally;
use crate::template::Template;

/// One thing to show to the judge.
pub(crate) struct Request {
    /// The item it belongs to, for messages.
    pub(crate) item: usize,
    /// What stands at the template's places.
    pub(crate) values: Vec<String>,
}

/// The judgements of each request, and where they come from.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) judgements: Vec<Vec<Completion>>,
    pub(crate) generated: usize,
    pub(crate) cached: usize,
    pub(crate) repeated: usize,
}

/// A distinct question.
struct Question {
    item: usize,
    /// Requests that ask it.
    times: usize,
    prompt: Prompt,
    key: blake3::Hasher,
    judgements: Vec<Completion>,
}

impl<P> Judge<P>
where
    P: Deref,
    P::Target: Generator,
{
    /// `samples` judgements of each request; `parses` says whether a judgement is of use.
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
        let mut count = |question: &Question, from: usize| {
            for judgement in &question.judgements[from..] {
                tally.count(&judgement.text, parses(judgement), question.times);
            }
            tally.check()
        };
        questions.iter().try_for_each(|q| count(q, 0))?;

        // A cache may know the first samples of a question only, if fewer were asked for before.
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
                    .try_for_each(|&q| count(&questions[q], known))?;
            }
        }
        asked.judgements = place_of
            .into_iter()
            .map(|place| questions[place].judgements.clone())
            .collect();
        Ok(asked)
    }

    /// Writes the samples from `known` on for the questions of one batch, here and to the cache.
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
        let answers = self
            .generator()
            .generate(&prompts, &sampling)
            .map_err(|error| about_items(error, &items))?;
        if answers.len() != batch.len() {
            return Err(JudgeError::Count {
                asked: batch.len(),
                answered: answers.len(),
            });
        }
        let mut lines = Vec::new();
        for (&place, answers) in batch.iter().zip(answers) {
            let question = &mut questions[place];
            if answers.len() != sampling.n {
                return Err(JudgeError::Samples {
                    index: question.item,
                    asked: sampling.n,
                    answered: answers.len(),
                });
            }
            for answer in answers {
                // Token ids serve nobody here, and the cache does not keep them.
                let answer = Completion {
                    tokens: None,
                    ..answer
                };
                let key = sample_key(&question.key, question.judgements.len());
                lines.push((key, answer.clone()));
                question.judgements.push(answer);
            }
        }
        tracing::debug!(prompts = batch.len(), samples = sampling.n, "judged");
        match self.cache() {
            Some(cache) => cache.append(&lines),
            None => Ok(()),
        }
    }

    /// The first samples that the cache knows, without a gap.
    fn known(&self, key: &blake3::Hasher, samples: usize) -> Vec<Completion> {
        let Some(cache) = self.cache() else {
            return Vec::new();
        };
        (0..samples)
            .map_while(|sample| cache.get(&sample_key(key, sample)))
            .collect()
    }

    /// Later samples need a seed of their own: with the first one they would repeat the first ones.
    fn sampling_from(&self, known: usize, samples: usize) -> Sampling {
        let mut sampling = self.options().sampling.clone();
        sampling.n = samples - known;
        if known > 0 {
            let key = Key::new(sampling.seed, "judge").with(known as u64);
            sampling.seed = key.rng(Purpose::Sampling).random();
        }
        sampling
    }

    /// All that a judgement depends on but the number of the sample.
    fn key(&self, template: &Template, values: &[String]) -> blake3::Hasher {
        let mut key = blake3::Hasher::new();
        let mut add = |part: &str| {
            // With its length in front no part can pass for the end of another.
            key.update(&(part.len() as u64).to_le_bytes());
            key.update(part.as_bytes());
        };
        add("collimate-judge 1");
        add(self.name());
        add(&format!("{:?}", template.shows()));
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

/// The generator counts the prompts of one batch; the caller knows items.
fn about_items(mut error: GenerateError, items: &[usize]) -> GenerateError {
    if let GenerateError::PromptTooLong { index, .. }
    | GenerateError::Prompt { index, .. }
    | GenerateError::NotFinite { index, .. } = &mut error
        && let Some(&item) = items.get(*index)
    {
        *index = item;
    }
    error
}
