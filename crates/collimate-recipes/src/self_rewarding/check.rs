//! Checks before any training.

use std::collections::HashSet;

use collimate_core::{OptionError, Prompt};
use collimate_judge::Item;
use collimate_nn::CausalLm;

use super::config::{EftFrom, PairSource, PromptSource, SelfRewardingConfig};
use super::data::SelfRewardingData;
use super::judging::{grade, item};
use super::measured::Known;
use super::session::Session;
use super::tasks::Pool;
use crate::RecipeError;

/// Refuses data that do not fit together or do not fit the options.
pub(super) fn data(
    data: &SelfRewardingData<'_>,
    config: &SelfRewardingConfig,
) -> Result<(), RecipeError> {
    if data.evaluator.is_some() && data.prompts.is_empty() {
        return Err(RecipeError::Empty {
            part: "the part with prompts for the evaluator",
        });
    }
    let wrong = |name, value: &dyn ToString, allowed| {
        Err(OptionError::new(name, value.to_string(), allowed).into())
    };
    if data.evaluator.is_none() && config.compare.contains(&PairSource::Evaluator) {
        let allowed = "a source that is given: give an evaluator, or remove evaluator from compare";
        return wrong("compare", &"evaluator", allowed);
    }
    if data.task_writer.is_some() && config.tasks.source == PromptSource::Current {
        let allowed = "fixed if another model poses the tasks";
        return wrong("tasks.source", &"current", allowed);
    }
    let held_out: HashSet<&Prompt> = data.prompts.iter().collect();
    let shown = data.ift.iter().filter(|row| held_out.contains(&row.prompt));
    let shown = shown.count();
    if shown > 0 {
        let allowed = "0, because the models learn from demonstrations and are measured on \
                       held-out prompts: remove these prompts on one side";
        return wrong(
            "number of demonstrations of held-out prompts",
            &shown,
            allowed,
        );
    }
    let tested: HashSet<&Prompt> = data.rank_test.iter().map(|list| &list.prompt).collect();
    let shared = data
        .ranked
        .iter()
        .filter(|list| tested.contains(&list.prompt));
    let shared = shared.count();
    if shared > 0 {
        let allowed = "0, because the models learn from the one and are measured on the other: \
                       remove these prompts on one side";
        return wrong(
            "number of ranked lists with a prompt of the rank test",
            &shared,
            allowed,
        );
    }
    if data.eft_judge.is_some() && config.eft.from == EftFrom::RankMap {
        let allowed = "judged if a judge of ranked answers is given";
        return wrong("eft.from", &"rank_map", allowed);
    }
    let format = config.rubric.format();
    let reads = |row: &&collimate_data::SftExample| {
        format.parse(&row.completion, config.rubric.range()).is_ok()
    };
    let readable = data.eft.iter().filter(reads).count();
    if readable == 0 && !data.eft.is_empty() {
        let allowed = "at least 1: write the judgements in the form that the rubric reads";
        return wrong("number of readable judgements (EFT)", &readable, allowed);
    }
    Ok(())
}

/// Refuses prompts that are too long for the model: those of the judge test, and that of the
/// shortest known task. Longer lists of examples are shortened later.
pub(super) fn lengths<M: CausalLm>(
    session: &Session<'_>,
    model: &M,
    data: &SelfRewardingData<'_>,
    pool: &Pool,
) -> Result<(), RecipeError> {
    let context = model.max_positions();
    let config = session.config;
    for (index, pair) in data.judge_test.iter().enumerate() {
        for answer in [&pair.chosen, &pair.rejected] {
            let tokens = judge_tokens(session, &item(&pair.prompt, answer))?;
            if tokens >= context {
                let name =
                    format!("number of tokens of the judge's prompt for judge_test pair {index}");
                let allowed =
                    format!("below {context}, the model's context length: remove the pair");
                return Err(OptionError::new(&name, tokens, &allowed).into());
            }
        }
    }
    let prompt = config.tasks.template.render(&[pool.shortest()]);
    let tokens = session.tokenizer.encode_prompt(&prompt)?.len();
    if data.task_writer.is_none() && tokens >= context {
        let allowed =
            format!("below {context}, the model's context length: give shorter seed prompts");
        return Err(OptionError::new(
            "number of tokens of the shortest known task",
            tokens,
            &allowed,
        )
        .into());
    }
    Ok(())
}

/// Returns the number of tokens of the judge's prompt for an answer.
pub(super) fn judge_tokens(session: &Session<'_>, item: &Item) -> Result<usize, RecipeError> {
    let config = session.config;
    let prompt = config
        .rubric
        .prompt(item, config.judge.style)
        .map_err(RecipeError::judge("judge"))?;
    Ok(session.tokenizer.encode_prompt(&prompt)?.len())
}

/// Number of answers with which a judge is tried if there are no pairs to judge.
const PROBE: usize = 16;

/// Lets M1 judge a few known answers. A model that cannot judge is refused here.
pub(super) fn probe<M: CausalLm>(
    session: &Session<'_>,
    m1: &Known<M>,
    data: &SelfRewardingData<'_>,
) -> Result<(), RecipeError> {
    // Without demonstrations, any text shows whether a score can be parsed.
    let items: Vec<Item> = match data.ift.is_empty() {
        false => data
            .ift
            .iter()
            .take(PROBE)
            .map(|row| item(&row.prompt, &row.completion))
            .collect(),
        true => data
            .seed_prompts
            .iter()
            .filter(|prompt| !prompt.is_empty())
            .take(PROBE)
            .map(|prompt| item(prompt, &prompt.to_plain().into()))
            .collect(),
    };
    let context = m1.model.max_positions();
    let (mut fitting, mut shortest) = (Vec::new(), usize::MAX);
    for item in items {
        let tokens = judge_tokens(session, &item)?;
        shortest = shortest.min(tokens);
        if tokens < context {
            fitting.push(item);
        }
    }
    if fitting.is_empty() {
        let allowed = format!(
            "below {context}, the model's context length: take a rubric with a shorter prompt, or \
             another model"
        );
        return Err(OptionError::new("tokens of the judge's prompt", shortest, &allowed).into());
    }
    let least = session.config.judge.min_parse_rate;
    let stage = "m1 as a judge";
    grade(session, stage, &m1.model, &m1.hash, &fitting, least).map(|_| ())
}
