//! Pairs from a model's own texts: the text with the highest score against the one with the lowest.

use std::collections::HashSet;

use collimate::core::{Completion, Finish, Key, PreferencePair, Prompt, Purpose, Sampling};
use collimate::lm::{TextGenerator, Watch};
use collimate::nn::CausalLm;
use rand::RngExt;

use super::rules::Rule;
use crate::common::Failure;

/// The openings, and the texts that the model wrote for them.
pub(crate) struct Written {
    /// Pairs to learn from.
    pub(crate) train: Vec<PreferencePair>,
    /// Pairs for validation, from a tenth as many openings.
    pub(crate) validation: Vec<PreferencePair>,
    /// Openings that no pair has.
    pub(crate) test: Vec<Prompt>,
    /// A text of the model for each validation opening.
    pub(crate) held_out: Vec<(Prompt, Completion)>,
    /// Number of all texts, and of the unfinished ones.
    pub(crate) texts: usize,
    pub(crate) cut: usize,
    /// Mean score of the finished texts.
    pub(crate) mean_score: f64,
}

/// Numbers of openings and texts, and their lengths in tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) train: usize,
    pub(crate) test: usize,
    pub(crate) samples: usize,
    pub(crate) opening_tokens: usize,
    pub(crate) new_tokens: usize,
}

/// Samples openings, then texts that continue them, and makes pairs of the best and the worst text.
pub(crate) fn write<M: CausalLm>(
    generator: &TextGenerator<M>,
    rule: Rule,
    sizes: Sizes,
    key: Key,
    watch: &mut dyn Watch,
) -> Result<Written, Failure> {
    let openings = openings(generator, sizes, key, watch)?;
    let seed = key.with(1).rng(Purpose::Sampling).random();
    let sampling = Sampling {
        n: sizes.samples,
        seed,
        max_new_tokens: sizes.new_tokens,
        ..Sampling::default()
    };
    let validation = (sizes.train / 10).max(1);
    let (test, paired) = openings.split_at(sizes.test.min(openings.len() / 3));
    let (held, train) = paired.split_at(validation.min(paired.len() / 2));
    let all: Vec<Prompt> = held.iter().chain(train).cloned().collect();
    let texts = generator.generate_watched(&all, &sampling, watch)?;
    let mut written = Written {
        train: Vec::new(),
        validation: Vec::new(),
        test: test.to_vec(),
        held_out: Vec::new(),
        texts: 0,
        cut: 0,
        mean_score: 0.0,
    };
    let mut scores = Vec::new();
    for (index, (prompt, texts)) in all.iter().zip(texts).enumerate() {
        written.texts += texts.len();
        let finished: Vec<Completion> = texts
            .into_iter()
            .filter(|text| text.finish != Finish::Length)
            .collect();
        written.cut += sizes.samples - finished.len();
        let score = |c: &Completion| rule.score(&c.text);
        scores.extend(finished.iter().map(|c| f64::from(score(c))));
        if index < held.len()
            && let Some(first) = finished.first()
        {
            written.held_out.push((prompt.clone(), first.clone()));
        }
        let by_score = |a: &&Completion, b: &&Completion| score(a).total_cmp(&score(b));
        let (best, worst) = (
            finished.iter().max_by(by_score),
            finished.iter().min_by(by_score),
        );
        let Some((best, worst)) = best.zip(worst) else {
            continue;
        };
        let gap = score(best) - score(worst);
        if gap > 0.0 {
            let mut pair = PreferencePair::new(prompt.clone(), best.clone(), worst.clone());
            pair.score_gap = Some(gap.into());
            match index < held.len() {
                true => written.validation.push(pair),
                false => written.train.push(pair),
            }
        }
    }
    written.mean_score = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    Ok(written)
}

/// Lets the model write different beginnings of texts.
pub(crate) fn openings<M: CausalLm>(
    generator: &TextGenerator<M>,
    sizes: Sizes,
    key: Key,
    watch: &mut dyn Watch,
) -> Result<Vec<Prompt>, Failure> {
    let wanted = sizes.train + (sizes.train / 10).max(1) + sizes.test;
    let sampling = Sampling {
        // More than wanted, because some openings repeat and some end early.
        n: wanted + wanted / 2,
        seed: key.rng(Purpose::Sampling).random(),
        max_new_tokens: sizes.opening_tokens,
        ..Sampling::default()
    };
    let found = generator.generate_watched(&["".into()], &sampling, watch)?;
    let mut seen = HashSet::new();
    let openings: Vec<Prompt> = found
        .into_iter()
        .flatten()
        .filter(|opening| opening.finish == Finish::Length)
        .map(|opening| opening.text.trim_end().to_owned())
        .filter(|text| !text.is_empty() && seen.insert(text.clone()))
        .take(wanted)
        .map(Prompt::from)
        .collect();
    match openings.len() {
        n if n < wanted / 2 => Err(format!(
            "the model began only {n} different texts instead of {wanted}: give more \
             --opening-tokens, or ask for fewer texts"
        )
        .into()),
        _ => Ok(openings),
    }
}
