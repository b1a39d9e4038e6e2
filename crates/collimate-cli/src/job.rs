//! One run in one folder.

use std::path::{Path, PathBuf};

use collimate::data::{SftExample, TextTokenizer, TokenizeReport, Truncation};
use collimate::lm::Llama;
use collimate::nn::{AdapterBase, HfFolder, SaveError, SaveOptions, StoredType};
use collimate::recipes::{RecipeError, SftOutcome, SftPlan, fine_tune};
use collimate::run::{RunContext, RunFolder, peak_memory_bytes};
use collimate::train::{Interrupt, Progress, TrainConfig};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::card::Card;
use crate::common::{self, Failure, REPORT};
use crate::names;
use crate::options::{SaveAs, SavingArgs};
use crate::runs;
use crate::start::Start;

/// Returns true if the folder holds a run that has ended, and prints the path of its report.
pub(crate) fn has_ended(out: &Path, config: &impl Serialize) -> Result<bool, Failure> {
    let report = out.join(REPORT);
    if !report.exists() {
        return Ok(false);
    }
    // Opening the folder checks that the options are those of the run.
    RunFolder::create(out, config)?;
    common::print(&format!("already finished; report: {}\n", report.display()))?;
    Ok(true)
}

/// Saves models with their tokenizer in folders of a run.
pub(crate) struct Saver {
    tokenizer: TextTokenizer,
    max_length: usize,
    pub(crate) run: PathBuf,
    card: Card,
    about: String,
    saving: SavingArgs,
}

impl Saver {
    /// Saves a model and the tokenizer in a folder of the run. A model that has learned no adapter,
    /// such as the start model, is saved whole even if adapters are asked for.
    pub(crate) fn save(&self, name: &str, model: &impl HfFolder) -> Result<(), Failure> {
        let options = SaveOptions {
            pad_token_id: self.tokenizer.special().pad,
            max_length: Some(self.max_length),
            ..self.saving.files.options()
        };
        let folder = self.run.join(name);
        match (self.saving.save_as, &self.card.base) {
            (SaveAs::Adapter, Some(base)) => {
                let found = names::repository(base);
                let name = found.clone().unwrap_or_else(|| {
                    let whole = base.canonicalize().unwrap_or_else(|_| base.clone());
                    let whole = whole.to_string_lossy();
                    // Other programs do not read the verbatim paths of Windows.
                    whole.strip_prefix(r"\\?\").unwrap_or(&whole).to_owned()
                });
                // The last part of a path in the cache is the commit.
                let commit = base.file_name().and_then(|commit| commit.to_str());
                let base = AdapterBase {
                    dir: base,
                    name: &name,
                    revision: commit.filter(|_| found.is_some()),
                };
                match model.save_adapter(&base, &options, &folder) {
                    Err(SaveError::NoAdapter { .. }) => save_whole(model, &options, &folder)?,
                    // A trained model is not lost because it has no form as an adapter.
                    Err(error @ SaveError::Serialize { .. }) => {
                        common::tell(&format!("warning: {error}: all weights are saved instead"));
                        save_whole(model, &options, &folder)?;
                    }
                    saved => saved?,
                }
            }
            _ => save_whole(model, &options, &folder)?,
        }
        self.tokenizer.save(&folder)?;
        self.card.write(&folder, &self.about)
    }
}

/// Saves all weights. A trained model is not lost because a number type cannot hold a weight.
fn save_whole(
    model: &impl HfFolder,
    options: &SaveOptions,
    folder: &Path,
) -> Result<(), SaveError> {
    match model.save_with(options, folder) {
        Err(error @ SaveError::Serialize { .. }) if options.dtype == StoredType::F16 => {
            common::tell(&format!("warning: {error}: saved as f32 instead"));
            let options = SaveOptions {
                dtype: StoredType::F32,
                ..*options
            };
            model.save_with(&options, folder)
        }
        saved => saved,
    }
}

/// A run that is open: its parts, and the numbers found out so far.
pub(crate) struct Job {
    pub(crate) tokenizer: TextTokenizer,
    pub(crate) run: RunFolder,
    pub(crate) interrupt: Interrupt,
    /// Paragraph for the report.
    pub(crate) about: String,
    pub(crate) summary: Map<String, Value>,
    max_length: usize,
    /// Facts for the cards of saved models.
    card: Card,
    saving: SavingArgs,
    /// Options that continue a stopped run.
    pub(crate) resume: String,
}

impl Job {
    /// Lends a recipe the tokenizer, and the folder with signals and progress.
    pub(crate) fn parts(&mut self) -> (&TextTokenizer, RunContext<'_>) {
        let context = RunContext {
            run: &mut self.run,
            interrupt: &self.interrupt,
            progress: Progress::Auto,
        };
        (&self.tokenizer, context)
    }

    /// Opens the run folder. If a run continues, its data and models must be unchanged.
    pub(crate) fn open<C: Serialize>(
        start: &Start<'_, C>,
        tokenizer: TextTokenizer,
        max_length: usize,
    ) -> Result<Self, Failure> {
        let (config, inputs) = (start.config, &start.inputs);
        let (files, models) = (inputs.files.iter().copied(), inputs.models.iter().copied());
        let (run, files) = runs::open(&start.out, config, files, models)?;
        let base = inputs.models.first().map(|path| (*path).clone());
        let card = Card {
            command: start.command,
            config: serde_json::to_value(config)?,
            base,
            run: start.out.clone(),
            paths: inputs
                .files
                .iter()
                .chain(&inputs.models)
                .map(|path| (*path).clone())
                .collect(),
            files,
        };
        Ok(Self {
            tokenizer,
            run,
            card,
            interrupt: runs::interrupt(),
            about: String::new(),
            summary: Map::new(),
            max_length,
            saving: start.args.saving.of_run(&start.out)?,
            resume: start.args.resume_command(&start.out),
        })
    }

    /// Adds a paragraph on data and model, and prints it.
    pub(crate) fn about(mut self, about: String) -> Self {
        common::tell(&about);
        self.about = about;
        self
    }

    /// Trains by next-token prediction, on plain texts or on chosen answers. Returns the model
    /// unchanged if there are no texts.
    pub(crate) fn fine_tune(
        &mut self,
        model: Llama,
        texts: &[SftExample],
        held_out: &[SftExample],
        truncation: Truncation,
        train: &TrainConfig,
    ) -> Result<(Llama, Option<SftOutcome>), Failure> {
        if texts.is_empty() {
            return Ok((model, None));
        }
        runs::warn_of_warmup(train, texts.len());
        let plan = SftPlan {
            tokenizer: &self.tokenizer,
            max_length: self.max_length,
            truncation,
            train,
        };
        let context = self.run.context(&self.interrupt);
        let (model, outcome) = fine_tune(model, texts, held_out, &plan, &context)
            .map_err(|error| self.stopped(error))?;
        self.summary.insert(train.stage.clone(), json!(outcome));
        Ok((model, Some(outcome)))
    }

    /// Trains by next-token prediction on texts without a held-out part. Returns the model
    /// unchanged if there are no texts.
    pub(crate) fn learn(
        &mut self,
        model: Llama,
        texts: &[SftExample],
        truncation: Truncation,
        train: &TrainConfig,
    ) -> Result<Llama, Failure> {
        Ok(self.fine_tune(model, texts, &[], truncation, train)?.0)
    }

    /// Returns the error of a recipe. An interrupt says how to continue the run.
    pub(crate) fn stopped(&self, error: RecipeError) -> Failure {
        runs::stopped(error, &self.resume)
    }

    /// Reports which rows of the data files were cut, and how many pairs were dropped.
    pub(crate) fn tell_lengths(&self, lengths: &TokenizeReport) {
        let equal = lengths.equal_answers;
        let dropped = match equal {
            0 => String::new(),
            _ => format!("; {equal} pairs dropped because their answers are equal as tokens"),
        };
        if lengths.is_worth_telling() || equal > 0 {
            common::tell(&format!(
                "longest sequence: {} tokens; {lengths}{dropped}",
                self.max_length
            ));
        }
    }

    /// Saves a model in a folder of the run, in the form that other libraries open.
    pub(crate) fn save(&self, name: &str, model: &impl HfFolder) -> Result<(), Failure> {
        self.saver().save(name, model)
    }

    /// Returns a saver of models, for use while a recipe has borrowed the job.
    pub(crate) fn saver(&self) -> Saver {
        Saver {
            tokenizer: self.tokenizer.clone().with_max_length(self.max_length),
            max_length: self.max_length,
            run: self.run.path().to_path_buf(),
            card: self.card.clone(),
            about: self.about.clone(),
            saving: self.saving.clone(),
        }
    }

    /// Adds time and memory to the summary and returns the seconds, including those of earlier starts
    /// of the run. `stages` is the number of seconds that the stages have counted.
    pub(crate) fn note_cost(&mut self, stages: f64) -> f64 {
        let seconds = self.run.seconds().max(stages);
        self.summary.insert("seconds".to_owned(), json!(seconds));
        let memory = json!(peak_memory_bytes());
        self.summary.insert("peak_memory_bytes".to_owned(), memory);
        seconds
    }

    /// Writes the cards of the saved models, and prints the last lines of a run.
    pub(crate) fn print_end(&self, table: &str, seconds: f64) -> Result<(), Failure> {
        if let Err(error) = self.card.write_all(self.run.path(), &self.about) {
            common::tell(&format!(
                "warning: the model cards were not written: {error}"
            ));
        }
        let report = self.run.path().join(REPORT);
        let report = report.display();
        let models = common::models_of_run(self.run.path());
        let models: String = models
            .iter()
            .map(|model| format!("model: {model}\n"))
            .collect();
        common::print(&format!(
            "{table}{models}{seconds:.0} s; report: {report}\n"
        ))
    }
}
