//! The cache gives the same results as a pass over the whole sequence.

use super::*;
use collimate_nn::{Adaptable, LoraConfig};
use collimate_ops::{CacheType, PackedType};
use collimate_testkit::assert_close;

/// A model, its cache, and the sequences that the cache's rows should represent.
struct Followed<'a> {
    name: &'a str,
    model: &'a Llama,
    f: Forward,
    cache: LlamaCache,
    rows: Vec<Vec<u32>>,
}

impl<'a> Followed<'a> {
    fn new(name: &'a str, model: &'a Llama, f: Forward) -> Self {
        let cache = model.new_cache(f.adapters);
        let rows = Vec::new();
        Self {
            name,
            model,
            f,
            cache,
            rows,
        }
    }

    fn push(&mut self) -> usize {
        self.rows.push(Vec::new());
        self.cache.push()
    }

    fn keep(&mut self, rows: &[usize]) {
        self.cache.keep(rows);
        self.rows = rows.iter().map(|&row| self.rows[row].clone()).collect();
    }

    /// Reads tokens and compares the logits that follow.
    fn read(&mut self, what: &str, reads: &[(usize, Vec<u32>)]) -> Vec<f32> {
        let slices: Vec<_> = reads
            .iter()
            .map(|(row, ids)| (*row, ids.as_slice()))
            .collect();
        let logits = host(&self.model.extend(&slices, &mut self.cache));
        for (row, ids) in reads {
            self.rows[*row].extend(ids);
            assert_eq!(self.cache.tokens(*row), self.rows[*row].len());
        }
        let sequences: Vec<_> = reads
            .iter()
            .map(|(row, _)| self.rows[*row].clone())
            .collect();
        let wanted = whole_logits(self.model, &sequences, self.f);
        for ((row, _), (logits, wanted)) in
            reads.iter().zip(logits.chunks_exact(VOCAB).zip(&wanted))
        {
            let wanted: Vec<f64> = wanted.iter().map(|&v| f64::from(v)).collect();
            let what = format!("{}: {what}, row {row}", self.name);
            assert_close(&what, logits, &wanted, 1e-4);
        }
        logits
    }

    fn steps(&mut self, what: &str, count: usize, noise: &mut Noise) {
        for step in 0..count {
            let reads: Vec<_> = (0..self.rows.len())
                .map(|row| (row, vec![noise.below(VOCAB) as u32]))
                .collect();
            self.read(&format!("{what} {step}"), &reads);
        }
    }
}

fn follow(name: &str, model: &Llama, f: Forward) {
    let mut noise = Noise::new(5);
    let mut ids = |n: usize| -> Vec<u32> { (0..n).map(|_| noise.below(VOCAB) as u32).collect() };
    let mut followed = Followed::new(name, model, f);
    // The lengths lie around the size of a page; they are read alone and as one pack.
    for len in [1, 16, 17] {
        let row = followed.push();
        followed.read("prompt", &[(row, ids(len))]);
    }
    let rows = [followed.push(), followed.push()];
    followed.read("two prompts", &[(rows[0], ids(40)), (rows[1], ids(5))]);
    let mut noise = Noise::new(6);
    followed.steps("step", 20, &mut noise);
    followed.keep(&[4, 1, 3]);
    followed.steps(
        "step after two rows left and the others moved",
        10,
        &mut noise,
    );
    followed.keep(&[0, 1, 2, 1, 1]);
    followed.steps("step after a fork", 12, &mut noise);
    let row = followed.push();
    let late = prompts(9, &[9, 3, 7]);
    followed.read("prompt of a late row", &[(row, late[0].clone())]);
    followed.steps("step with a late row", 3, &mut noise);
    followed.read(
        "more of some rows",
        &[(4, late[1].clone()), (1, late[2].clone())],
    );
    followed.keep(&[5, 0, 5, 0]);
    followed.steps("step at the end", 4, &mut noise);
}

#[test]
fn cached_logits_equal_those_of_whole_passes() {
    for (name, device, window) in with_windows() {
        follow(&name, &windowed_model(window, &device), Forward::EVAL);
    }
    for (name, device, model) in layered_models() {
        follow(&name, &model, Forward::EVAL);
        let cache = model.new_cache(Adapters::On);
        let kinds = model.config().layer_types.as_ref().map_or(1, |_| 2);
        assert_eq!(cache.pages().len(), kinds, "{name}, {device:?}: windows");
    }
}

#[test]
fn cached_logits_know_whether_adapters_are_on() {
    for (name, device) in common::plain_devices() {
        let lora = LoraConfig {
            rank: 2,
            ..LoraConfig::default()
        };
        let plain = random_model(&device);
        let model = plain.clone().with_lora(&lora, Key::new(1, "lora")).unwrap();
        let model = common::changed(&model, |path, values| {
            if path.contains("lora.b") {
                *values = Noise::new(2).values(values.len(), 0.3);
            }
        });
        let prompt = prompts(3, &[6]);
        let after = |model: &Llama, f| {
            let mut followed = Followed::new(name, model, f);
            let row = followed.push();
            followed.read("prompt", &[(row, prompt[0].clone())]);
            followed.read("step", &[(row, vec![7])])
        };
        let off = after(&model, Forward::REFERENCE);
        assert_eq!(off, after(&plain, Forward::EVAL), "{name}");
        assert_ne!(off, after(&model, Forward::EVAL), "{name}");
    }
}

#[test]
fn a_row_does_not_depend_on_the_others_bit_by_bit() {
    for window in [None, Some(20)] {
        check_alone(windowed_model(window, &Device::flex()).config());
    }
    for (_, config) in common::layered(random_model(&Device::flex()).config()) {
        check_alone(&config);
    }
}

fn check_alone(config: &LlamaConfig) {
    // The width is large enough for a general product to sum one row in another order than several
    // rows.
    let config = LlamaConfig {
        hidden_size: 192,
        intermediate_size: 320,
        ..config.clone()
    };
    let model = Llama::new(&config, Key::new(4, "init"), &Device::flex()).unwrap();
    let small = model.clone().with_packed(Some(PackedType::Int8));
    for model in [model, small.with_cache_type(CacheType::Int8)] {
        rows_are_alone(&model);
    }
}

fn rows_are_alone(model: &Llama) {
    let rows = prompts(1, &[3, 30, 16, 1, 47]);
    let logits = |chosen: &[usize]| {
        let mut cache = model.new_cache(Adapters::On);
        for &row in chosen {
            let at = cache.push();
            model.extend(&[(at, &rows[row])], &mut cache);
        }
        let mut steps = Vec::new();
        for id in [4u32, 9, 2] {
            let ids = [id];
            let reads: Vec<_> = (0..chosen.len()).map(|row| (row, &ids[..])).collect();
            steps.push(host(&model.extend(&reads, &mut cache)));
        }
        steps
    };
    let together = logits(&[0, 1, 2, 3, 4]);
    for row in 0..rows.len() {
        for (alone, together) in logits(&[row]).iter().zip(&together) {
            let bits = |logits: &[f32]| logits.iter().map(|l| l.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(alone),
                bits(&together[row * VOCAB..(row + 1) * VOCAB]),
                "row {row}"
            );
        }
    }
}

/// A generator shares its copies of the weights with its clones, but never with another choice of
/// adapters.
#[test]
fn copies_of_weights_are_those_of_the_generator() {
    let lora = LoraConfig {
        rank: 2,
        ..LoraConfig::default()
    };
    let model = random_model(&Device::flex());
    let model = model.with_lora(&lora, Key::new(1, "lora")).unwrap();
    let model = common::changed(&model, |path, values| {
        if path.contains("lora.b") {
            *values = Noise::new(2).values(values.len(), 0.5);
        }
    });
    let sampling = Sampling {
        seed: 3,
        n: 4,
        ..greedy_sampling(20)
    };
    let sampling = Sampling {
        temperature: 1.0,
        ..sampling
    };
    let write = |generator: &TextGenerator<Llama>| {
        let prompts = prompts(3, &[6, 2]);
        generator
            .continue_ids(&prompts, &sampling, &mut ())
            .unwrap()
    };
    let new = |adapters| generator(model.clone()).with_adapters(adapters);
    let (on, off) = (write(&new(Adapters::On)), write(&new(Adapters::Off)));
    assert_ne!(on, off);
    let generator = new(Adapters::On);
    for _ in 0..2 {
        assert_eq!(write(&generator), on);
        assert_eq!(write(&generator.clone()), on);
        generator.forget();
    }
    write(&generator);
    assert_eq!(write(&generator.with_adapters(Adapters::Off)), off);
}

#[test]
fn forked_rows_hold_their_prompt_once() {
    let model = random_model(&Device::flex());
    let mut cache = model.new_cache(Adapters::On);
    let row = cache.push();
    let prompt = &prompts(2, &[48])[0];
    model.extend(&[(row, prompt)], &mut cache);
    assert_eq!(cache.pages()[0].capacity(), 48);
    cache.fork(row, 8);
    assert_eq!((cache.rows(), cache.pages()[0].capacity()), (8, 48));
    let ids = [5u32];
    let reads: Vec<_> = (0..8).map(|row| (row, &ids[..])).collect();
    model.extend(&reads, &mut cache);
    assert_eq!(cache.pages()[0].capacity(), 48 + 8 * 16);
}
