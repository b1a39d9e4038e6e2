//! Models and rows that are made once.

use std::fs;
use std::path::{Path, PathBuf};

use collimate::core::{PreferencePair, Prompt};
use collimate::data::{
    ChatFallback, OnBadRow, ReadOptions, SftExample, TextTokenizer, Truncation, read_pairs,
};
use collimate::run::hash_file;
use collimate::train::hash_json;
use collimate::world::{World, WorldConfig};

use super::options::{Common, Work};
use super::rows::{self, ExampleRow, PairRow, PromptRow};
use super::{Failure, shapes};

/// Paths of the inputs of a work.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Hugging Face folder of the model that is trained or generates.
    pub model: PathBuf,
    /// Hugging Face folder of the reward model, for PPO.
    pub reward: Option<PathBuf>,
    /// File of rows of token ids, one JSON object per line.
    pub rows: PathBuf,
}

impl Prepared {
    fn is_there(&self) -> bool {
        let folder = |dir: &PathBuf| dir.join("config.json").exists();
        folder(&self.model) && self.reward.iter().all(folder) && self.rows.exists()
    }
}

/// Returns the inputs of the work if they exist already.
///
/// # Errors
/// Returns an error for a data file that cannot be read.
pub fn prepared(work: &Work) -> Result<Option<Prepared>, Failure> {
    let places = places(work)?;
    Ok(places.is_there().then_some(places))
}

/// Makes the missing inputs of the work.
///
/// # Errors
/// Returns an error if files cannot be read or written, or if there are too few rows.
pub fn prepare(work: &Work) -> Result<Prepared, Failure> {
    let places = places(work)?;
    if places.is_there() {
        return Ok(places);
    }
    let pairs = pairs(work.common())?;
    let own = |dir: &Path| !dir.join("config.json").exists();
    if own(&places.model) {
        match (work, &work.common().model) {
            (_, None) => {
                let tokenizer = shapes::tokenizer(&pairs)?;
                whole(&places.model, |dir| match work {
                    Work::Rm(_) => shapes::encoder(dir, &tokenizer),
                    _ => shapes::llama(dir, &tokenizer),
                })?;
            }
            (Work::Rm(_), Some(from)) => {
                whole(&places.model, |dir| shapes::without_dropout(from, dir))?;
            }
            // A given folder is checked when it is loaded.
            (_, Some(_)) => {}
        }
    }
    let tokenizer =
        TextTokenizer::from_folder(&places.model)?.with_chat_fallback(ChatFallback::Plain);
    if let Some(reward) = places.reward.as_ref().filter(|dir| own(dir)) {
        whole(reward, |dir| shapes::reward_llama(dir, &tokenizer))?;
    }
    write_rows(work, &pairs, &tokenizer, &places.rows)?;
    Ok(places)
}

fn places(work: &Work) -> Result<Prepared, Failure> {
    let common = work.common();
    let data = match &common.data {
        Some(file) => hash_file(file)?,
        None => "world".to_owned(),
    };
    let short = |text: String| text[..12.min(text.len())].to_owned();
    let made = |kind: &str| {
        let folder = format!("{kind}-{}", short(data.clone()));
        common.work.join("models").join(folder)
    };
    let model = match (work, &common.model) {
        (Work::Rm(_), None) => made("encoder-minilm-size"),
        (Work::Rm(_), Some(from)) => {
            let folder = format!("encoder-{}", short(hash_json(from)));
            common.work.join("models").join(folder)
        }
        (_, None) => made("llama-15m"),
        (_, Some(dir)) => dir.clone(),
    };
    let reward = match work {
        Work::Ppo(ppo) => Some(match &ppo.reward_model {
            Some(dir) => dir.clone(),
            None => made("reward-llama-15m"),
        }),
        _ => None,
    };
    let longest = match work {
        Work::Sft(train) | Work::Rm(train) | Work::Dpo(train) => train.max_length,
        Work::Ppo(ppo) => ppo.prompt_tokens,
        Work::Generate(generate) => generate.prompt_tokens,
    };
    let identity = hash_json(&(work.name(), data, &model, longest, work.rows()));
    let name = format!("{}-{}.jsonl", work.name(), short(identity));
    Ok(Prepared {
        model,
        reward,
        rows: common.work.join("rows").join(name),
    })
}

/// Writes a folder completely or not at all.
fn whole(dir: &Path, write: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut part = dir.as_os_str().to_owned();
    part.push(format!(".part-{}", std::process::id()));
    let part = PathBuf::from(part);
    fs::create_dir_all(&part)?;
    let written = write(&part);
    if written.is_ok() && !dir.exists() {
        fs::rename(&part, dir)?;
    } else {
        fs::remove_dir_all(&part)?;
    }
    written
}

fn pairs(common: &Common) -> Result<Vec<PreferencePair>, Failure> {
    let Some(file) = &common.data else {
        let world = World::new(&WorldConfig::default())?;
        return Ok(world.train_pairs().into_iter().map(|p| p.pair).collect());
    };
    let options = ReadOptions {
        on_bad_row: OnBadRow::Drop,
        ..ReadOptions::default()
    };
    Ok(read_pairs(file, &options)?.0)
}

fn write_rows(
    work: &Work,
    pairs: &[PreferencePair],
    tokenizer: &TextTokenizer,
    path: &Path,
) -> Result<(), Failure> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let wanted = work.rows();
    let few = |there: usize| {
        format!(
            "{wanted} rows are needed, but there are only {there}: give fewer --steps, a smaller \
             batch, or a longer --data"
        )
    };
    let first = &pairs[..wanted.min(pairs.len())];
    let cut = Truncation::KeepEnd;
    match work {
        Work::Sft(train) => {
            let example = |pair: &PreferencePair| SftExample {
                prompt: pair.prompt.clone(),
                completion: pair.chosen.clone(),
            };
            let examples: Vec<_> = first.iter().map(example).collect();
            let (examples, _) = tokenizer.encode_examples(&examples, train.max_length, cut)?;
            let row = |e: collimate::data::TokenizedExample| ExampleRow {
                prompt_ids: e.prompt,
                completion_ids: e.completion,
            };
            let rows: Vec<_> = examples.into_iter().map(row).collect();
            enough(rows.len(), wanted, few)?;
            rows::write(path, &rows)
        }
        Work::Rm(train) | Work::Dpo(train) => {
            let (pairs, _) = tokenizer.encode_pairs(first, train.max_length, cut)?;
            let rows: Vec<_> = pairs.into_iter().map(PairRow::from).collect();
            enough(rows.len(), wanted, few)?;
            rows::write(path, &rows)
        }
        Work::Ppo(_) | Work::Generate(_) => {
            let longest = match work {
                Work::Ppo(ppo) => ppo.prompt_tokens,
                Work::Generate(generate) => generate.prompt_tokens,
                _ => unreachable!("matched above"),
            };
            let mut rows: Vec<PromptRow> = Vec::new();
            for pair in pairs {
                let prompt_ids = tokenizer.encode_prompt(&pair.prompt)?;
                let fits = !prompt_ids.is_empty() && prompt_ids.len() <= longest;
                if fits && rows.iter().all(|row| row.prompt_ids != prompt_ids) {
                    let prompt: Prompt = pair.prompt.clone();
                    rows.push(PromptRow { prompt, prompt_ids });
                }
                if rows.len() == wanted {
                    break;
                }
            }
            enough(rows.len(), wanted, few)?;
            rows::write(path, &rows)
        }
    }
}

fn enough(there: usize, wanted: usize, few: impl Fn(usize) -> String) -> Result<(), Failure> {
    match there < wanted {
        true => Err(few(there).into()),
        false => Ok(()),
    }
}
