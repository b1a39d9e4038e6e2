//! Encoders as reward models: `…ForSequenceClassification`, and folders of sentence-transformers.

use std::path::Path;

use burn::module::Param;
use burn::tensor::Tensor;
use collimate_nn::{
    AdapterBase, HfFolder, HfReward, LoadError, LoadOptions, Pooling, RewardParts, SaveError,
    SaveOptions, ScalarHead,
};
use serde_json::{Map, json};

use super::label::Label;
use super::model::Encoder;
use super::sentence::{self, Modules};
use super::store::{self, Folder};
use crate::hf::{JsonConfig, Written};
use crate::peft::{Whole, root};

const TASK: &str = "ForSequenceClassification";
const POOLING: &str = "classifier_pooling";

impl HfReward for Encoder {
    const DEFAULT_POOLING: Pooling = Pooling::Mean;
    const HEAD_BIAS: bool = true;

    fn load_reward<'a>(
        dir: &Path,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<RewardParts<Self>, LoadError> {
        Self::load_label(dir, None, options)
    }

    fn load_label<'a>(
        dir: &Path,
        label: Option<&str>,
        options: impl Into<LoadOptions<'a>>,
    ) -> Result<RewardParts<Self>, LoadError> {
        let options = options.into();
        let folder = Folder::read(dir)?;
        if folder.classifies {
            return classifier(&folder, label, options);
        }
        if let Some(label) = label {
            let what = format!("label {label:?} of {}", folder.config.family().class);
            let what = what + "Model, which has no labels";
            return Err(folder.json.unsupported(what, &format!("labels of …{TASK}")));
        }
        let backbone = Self::load(dir, options)?;
        // The folder of an adapter has the modules of its base model.
        let dir = &root(dir)?;
        let modules = Modules::read(dir)?;
        sentence::tell_text_rules(dir)?;
        let pooling = modules.pooling(dir, Self::DEFAULT_POOLING)?;
        let head = modules.head(dir, backbone.config().hidden_size, options.device)?;
        Ok(RewardParts {
            backbone,
            head,
            pooling,
        })
    }

    fn expresses(&self, pooling: Pooling) -> bool {
        let poolings = self.config().family().head.poolings;
        self.head.is_none() || poolings.contains(&pooling)
    }

    fn save_reward(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError> {
        let config = self.config();
        if self.head.is_none() {
            self.save_with(options, dir)?;
            let longest = options.max_length;
            let longest = longest.unwrap_or_else(|| self.context_length());
            return sentence::write(dir, head, pooling, config.hidden_size, longest);
        }
        let family = config.family();
        if !self.expresses(pooling) {
            let poolings = family.head.poolings.iter();
            let poolings: Vec<String> =
                poolings.map(|pooling| json!(pooling).to_string()).collect();
            return Err(SaveError::Serialize {
                path: dir.to_owned(),
                message: format!(
                    "{}{TASK} does not read states of pooling {}: use {}",
                    family.class,
                    json!(pooling),
                    poolings.join(" or ")
                ),
            });
        }
        let last = last_layer(head, family.head.output);
        store::save(self, dir, TASK, options, last)?;
        let mut json = store::to_json(config, TASK, options);
        json["num_labels"] = json!(1);
        json["id2label"] = json!({"0": "reward"});
        json["label2id"] = json!({"reward": 0});
        json["problem_type"] = json!("regression");
        if family.head.poolings.len() > 1 {
            json[POOLING] = json!(pooling);
        }
        self.kept().write(dir, json)
    }

    fn save_reward_adapter(
        &self,
        head: &ScalarHead,
        pooling: Pooling,
        base: &AdapterBase<'_>,
        options: &SaveOptions,
        dir: &Path,
    ) -> Result<(), SaveError> {
        let family = self.config().family();
        let form = &family.head;
        let fail = |message| {
            Err(SaveError::Serialize {
                path: dir.to_owned(),
                message,
            })
        };
        if self.head.is_none() {
            return fail(format!(
                "PEFT has no form for a {}Model with a reward head",
                family.class
            ));
        }
        // A reader takes labels and pooling of the base model, because the folder names neither.
        let found = JsonConfig::read(base.dir).and_then(|json| {
            let class = json.architecture()?.unwrap_or_default();
            let stored = json.object("id2label")?.map(Map::len);
            let labels = json.get("num_labels")?.or(stored);
            let labels = labels.filter(|_| family.classifies(&class));
            Ok((labels.unwrap_or(1), pooling_of(&json, form.poolings)?))
        });
        match found {
            Ok((1, usual)) if usual == pooling => {}
            Ok((1, _)) => {
                return fail(format!(
                    "an adapter of a {}{TASK} cannot name the pooling {}",
                    family.class,
                    json!(pooling)
                ));
            }
            Ok((labels, _)) => {
                return fail(format!(
                    "an adapter cannot choose one of the {labels} labels of the base model"
                ));
            }
            Err(error) => return fail(error.to_string()),
        }
        let mut tensors = last_layer(head, form.output);
        tensors.extend(crate::hf::collected(self, |path| {
            let part = path.strip_prefix(store::HEAD)?;
            family.head_names(part).into_iter().next()
        }));
        // PEFT saves whole modules. It takes `classifier` as one module with all parts.
        let mut whole: Vec<Whole> = Vec::new();
        for tensor in tensors {
            let module = match tensor.name.split_once('.') {
                Some(("classifier", _)) => "classifier",
                _ => tensor
                    .name
                    .rsplit_once('.')
                    .map_or("", |(module, _)| module),
            };
            let module = module.to_owned();
            match whole.iter_mut().find(|whole| whole.module == module) {
                Some(found) => found.tensors.push(tensor),
                None => whole.push(Whole {
                    module,
                    tensors: vec![tensor],
                }),
            }
        }
        let task = ("SEQ_CLS", family.prefix);
        store::write_adapter(self, base, options, task, whole, dir)
    }
}

/// Returns the pooling of a classifier's folder.
fn pooling_of(json: &JsonConfig, poolings: &[Pooling]) -> Result<Pooling, LoadError> {
    match poolings {
        [only] => Ok(*only),
        _ => {
            json.only(POOLING, &["cls", "mean"])?;
            Ok(json.get(POOLING)?.unwrap_or(Pooling::Cls))
        }
    }
}

/// Reads the encoder of a classifier, with one label's row of the last layer.
fn classifier(
    folder: &Folder,
    label: Option<&str>,
    options: LoadOptions<'_>,
) -> Result<RewardParts<Encoder>, LoadError> {
    let device = options.device;
    let (weights, config) = (&folder.weights, &folder.config);
    let (width, output) = (config.hidden_size, config.family().head.output);
    let rows = weights.shape(&format!("{output}.weight"));
    let rows = rows.and_then(|shape| shape.first()).copied().unwrap_or(1);
    let label = Label::choose(&folder.json, rows, label)?;
    let pooling = pooling_of(&folder.json, config.family().head.poolings)?;
    let found = folder.find(config.parameters().chain(config.head_parameters()))?;
    let shapes = [
        ("weight".to_owned(), vec![label.labels, width]),
        ("bias".to_owned(), vec![label.labels]),
    ];
    let score = weights.find(shapes, |path| vec![format!("{output}.{path}")])?;
    folder.left_out(&[&found, &score], false)?;
    let blank = ScalarHead {
        weight: Param::from_tensor(Tensor::zeros([label.labels, width], device)),
        bias: Some(Param::from_tensor(Tensor::zeros([label.labels], device))),
    };
    let all = weights.fill(blank, &score)?;
    let backbone = folder.fill(&found, true, options)?;
    let kept = backbone.kept().clone();
    Ok(RewardParts {
        head: Some(match label.labels {
            1 => all,
            _ => row(all, label.row),
        }),
        backbone: match label.labels {
            1 => backbone,
            _ => backbone.with_kept(kept.with_one_label(&label.name)),
        },
        pooling,
    })
}

/// Returns one row of a last layer.
fn row(all: ScalarHead, row: usize) -> ScalarHead {
    fn only<const D: usize>(param: &Param<Tensor<D>>, row: usize) -> Param<Tensor<D>> {
        let value = param.val().detach().narrow(0, row, 1);
        Param::from_tensor(value.detach())
    }
    ScalarHead {
        weight: only(&all.weight, row),
        bias: all.bias.as_ref().map(|bias| only(bias, row)),
    }
}

/// Returns the last layer as transformers stores it.
fn last_layer(head: &ScalarHead, name: &str) -> Vec<Written> {
    let weight = head.weight.val();
    let bias = head.bias.as_ref().map(Param::val);
    let bias = bias.unwrap_or_else(|| Tensor::zeros([1], &weight.device()));
    vec![
        Written::of(format!("{name}.weight"), weight),
        Written::of(format!("{name}.bias"), bias),
    ]
}
