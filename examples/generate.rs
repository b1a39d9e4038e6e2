//! Answers of a language model.
//!
//! ```text
//! cargo run --example generate                        # a model that is trained in seconds
//! cargo run --example generate -- path/to/model "What is a preference pair?"
//! ```

use std::path::Path;

use collimate::lm::FolderSampling;
use collimate::prelude::*;
use collimate::world::{World, WorldConfig, WorldData, WorldModel};

/// The model in a folder, with the sampling options of `generation_config.json` there.
fn from_folder(dir: &Path) -> Result<(Pretrained<Llama>, Sampling), collimate::Error> {
    let policy = Pretrained::from_folder(dir, &Device::flex())?;
    let sampling = FolderSampling::read(dir, &Sampling::default())?.sampling;
    Ok((policy, sampling))
}

/// A small model of the synthetic world, with some of the prompts there.
fn from_scratch() -> Result<(Pretrained<Llama>, Vec<Prompt>), collimate::Error> {
    let world = World::new(&WorldConfig {
        pairs: 2_000,
        ..WorldConfig::default()
    })?;
    let data = WorldData::new(&world, 0)?;
    let (device, context) = (Device::flex(), FitContext::default());
    let policy = WorldModel::small().train(&world, &data.demonstrations, &device, &context)?;
    Ok((policy, data.test_prompts(4)))
}

fn main() -> Result<(), collimate::Error> {
    let mut arguments = std::env::args().skip(1);
    let (policy, prompts, sampling) = match arguments.next() {
        Some(dir) => {
            let (policy, sampling) = from_folder(Path::new(&dir))?;
            // A prompt of one text. `Prompt::from(vec![Message::user(..)])` goes through the chat template.
            let prompts: Vec<_> = arguments.map(|text| Prompt::from(text.as_str())).collect();
            if prompts.is_empty() {
                eprintln!("give one prompt or more after the folder of the model");
                std::process::exit(2);
            }
            (policy, prompts, sampling)
        }
        None => {
            let (policy, prompts) = from_scratch()?;
            (policy, prompts, Sampling::default())
        }
    };
    let sampling = Sampling {
        // Answers to one prompt share its key-value cache.
        n: 2,
        max_new_tokens: 64,
        ..sampling
    };
    // The prompts are written as one batch that rows enter and leave.
    let generator = policy.generator();
    for (prompt, answers) in prompts.iter().zip(generator.generate(&prompts, &sampling)?) {
        println!("{}", prompt.to_plain());
        for answer in answers {
            let tokens = answer.tokens.as_ref().map_or(0, Vec::len);
            println!(
                "  {:?} after {tokens} tokens: {}",
                answer.finish, answer.text
            );
        }
    }
    Ok(())
}
