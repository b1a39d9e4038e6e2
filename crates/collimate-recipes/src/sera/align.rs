//! A run of SeRA: trains every method from the same start model and compares the answers.

use std::time::Instant;

use collimate_core::{OptionError, PreferencePair};
use collimate_data::{TextTokenizer, TokenizedPair};
use collimate_direct::perplexity;
use collimate_nn::CausalLm;
use collimate_run::RunContext;
use collimate_train::hash_json;

use super::anchors::CompareDevices;
use super::config::SeraConfig;
use super::data::SeraData;
use super::iterations::{Shared, Trained};
use super::method::{Method, Own};
use super::outcome::{Aligned, SeraOutcome};
use super::overlap::overlaps;
use super::rewards::implicit_rewards;
use super::session::Session;
use crate::RecipeError;
use crate::answers::{Answers, answer, compare};
use crate::lengths::{check_equal, differ};
use crate::sft::EVALUATION_TOKENS;

/// Aligns `start` with every method of the configuration, over the same pairs.
///
/// Methods whose first iteration is over all pairs share that training. The judge scores one answer
/// per prompt, of each final policy and of `start`. It also scores the training pairs if margins or
/// a method need its scores.
///
/// # Errors
/// Options out of range, texts that cannot be tokenised, a loss that is not finite, a review that
/// leaves no pair, an interrupt.
pub fn align<M: CausalLm>(
    start: &M,
    tokenizer: &TextTokenizer,
    data: &SeraData<'_>,
    config: &SeraConfig,
    context: &mut RunContext<'_>,
) -> Result<SeraOutcome<M>, RecipeError> {
    config.check()?;
    let started = Instant::now();
    if data.train.is_empty() {
        return Err(RecipeError::Empty {
            part: "the training part",
        });
    }
    if let Some(noisy) = &data.noisy
        && noisy.len() != data.train.len()
    {
        let allowed = "a list with one flag per training pair";
        return Err(OptionError::new("noisy", noisy.len(), allowed).into());
    }
    if data.judge.is_some() && data.prompts.is_empty() {
        return Err(RecipeError::Empty {
            part: "the part with prompts for the judge",
        });
    }
    let tokenizer = &tokenizer
        .clone()
        .with_max_prompt_length(config.max_prompt_length);
    let encode = |pairs: &[PreferencePair]| {
        tokenizer.encode_pairs(pairs, config.max_length, config.truncation)
    };
    let ((train, tokenize), (validation, _)) = (encode(&data.train)?, encode(&data.validation)?);
    check_equal("the training part", &tokenize, config.max_length)?;
    let (train, without_equal) = without_equal(train, data);
    let data = without_equal.as_ref().unwrap_or(data);
    let start = &start.clone().valid();
    let judge = data.judge.as_ref();
    let mut session = Session {
        config,
        tokenizer,
        run: context.run,
        interrupt: context.interrupt,
        progress: context.progress,
        train,
        validation,
        start,
        eos: &data.eos,
        texts: hash_json(&(&data.train, &data.noisy)),
        gaps: None,
        start_samples: None,
    };
    if config.methods.iter().any(|method| method.sees_gaps()) {
        session.gaps = session.score_gaps(data)?;
    }
    for method in &config.methods {
        let missing = match method {
            Method::Oaif if judge.is_none() => "another method unless a judge is given",
            Method::Curry | Method::ScoreGapSelection if session.gaps.is_none() => {
                "another method unless the pairs have scores (columns score_chosen and \
                 score_rejected) or a judge is given"
            }
            Method::BestSera if session.choice_prompts(data).is_some_and(|p| p.is_empty()) => {
                "another method, because every validation prompt is among the prompts that answers \
                 are reported on: give more data, or remove the method"
            }
            Method::BestSera if session.validation.is_empty() => {
                "another method, because there are no validation pairs: give more data, or remove \
                 the method"
            }
            _ => continue,
        };
        return Err(OptionError::new("methods", method.name(), missing).into());
    }
    if config.devices != CompareDevices::Off && judge.is_none() {
        let allowed = "off without a judge, which decides whose pairs are right";
        return Err(OptionError::new("devices", config.devices.name(), allowed).into());
    }
    // Checked first: a missing prompt must not end the run after minutes of training.
    let empty = |pair: &TokenizedPair| pair.prompt.is_empty();
    let writes = |method: &Method| method.own() != Own::None;
    if config.methods.iter().any(writes)
        && let Some(pair) = session.train.iter().position(empty)
    {
        return Err(RecipeError::NoPrompt { pair });
    }
    let prompts = session.sampler().prompts(&data.prompts)?;
    let key = session.key("answers");
    let at_start: Option<Answers> = match judge {
        Some(judge) => Some(answer(
            &session.sampler(),
            key,
            "start",
            start,
            &data.prompts,
            &prompts,
            judge,
        )?),
        None => None,
    };
    let start_answers = match &at_start {
        Some(answers) => Some(compare(answers, answers, &data.prompts, None, key)?),
        None => None,
    };
    let before = session.validation_logps("start", start)?;
    let (held_out, _) =
        tokenizer.encode_examples(&data.held_out, config.max_length, config.truncation)?;
    let measure = |model: &M| match held_out.is_empty() {
        true => Ok(None),
        false => perplexity(model, &held_out, EVALUATION_TOKENS).map(Some),
    };
    let mut shared = Shared::default();
    let mut policies = Vec::new();
    let mut selected = Vec::new();
    for (index, &method) in config.methods.iter().enumerate() {
        let title = config.title(method);
        let trained = session.method(method, data, before.as_deref(), &mut shared)?;
        let bootstraps_later = |m: &Method| m.own() == Own::Implicit;
        if !config.methods[index + 1..].iter().any(bootstraps_later) {
            shared.responses = None;
        }
        let Trained {
            model,
            iterations,
            tried,
            offline,
        } = trained;
        selected.extend(
            offline
                .into_iter()
                .map(|(t, set)| ((title.clone(), t), set)),
        );
        let answers = match (judge, &at_start) {
            (Some(judge), Some(at_start)) => {
                let own = answer(
                    &session.sampler(),
                    key,
                    &title,
                    &model,
                    &data.prompts,
                    &prompts,
                    judge,
                )?;
                let rewards = implicit_rewards(&session, method, &title, &model, &prompts, &own)?;
                Some(compare(&own, at_start, &data.prompts, Some(&rewards), key)?)
            }
            _ => None,
        };
        policies.push(Aligned {
            method,
            title,
            perplexity: measure(&model)?,
            model,
            tried,
            iterations,
            answers,
        });
    }
    Ok(SeraOutcome {
        policies,
        overlaps: overlaps(&selected),
        start_answers,
        start_perplexity: measure(start)?,
        judge: judge.map(|judge| judge.name.clone()),
        pairs: session.train.len(),
        tokenize,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Leaves out training pairs whose answers are equal as tokens. No loss can tell them apart, and
/// rounding would decide the direction of the gradient. Returns the remaining data if there were
/// such pairs.
fn without_equal<'a>(
    train: Vec<TokenizedPair>,
    data: &SeraData<'a>,
) -> (Vec<TokenizedPair>, Option<SeraData<'a>>) {
    let keep: Vec<bool> = train.iter().map(differ).collect();
    if keep.iter().all(|&keep| keep) {
        return (train, None);
    }
    fn kept<T>(rows: impl IntoIterator<Item = T>, keep: &[bool]) -> Vec<T> {
        let rows = rows.into_iter().zip(keep);
        rows.filter_map(|(row, &keep)| keep.then_some(row))
            .collect()
    }
    let left = SeraData {
        train: kept(data.train.iter().cloned(), &keep),
        noisy: data.noisy.as_ref().map(|n| kept(n.iter().copied(), &keep)),
        ..data.clone()
    };
    (kept(train, &keep), Some(left))
}
