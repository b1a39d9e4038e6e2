//! Output of the synthetic world: the same every time, in parts that share no prompt, in words that
//! the tokenizer knows.

use std::collections::HashSet;

use collimate_core::Key;
use collimate_world::{AnnotatorConfig, TaskKind, World, WorldConfig, WorldError, WorldPair};

fn world(pairs: usize) -> World {
    World::new(&WorldConfig {
        pairs,
        test_pairs: pairs,
        validation_pairs: pairs,
        ..WorldConfig::default()
    })
    .unwrap()
}

fn prompts(rows: &[WorldPair]) -> Vec<String> {
    rows.iter().map(|row| row.pair.prompt.to_plain()).collect()
}

#[test]
fn value_stability() {
    let rows = world(3).train_pairs();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let pair = &row.pair;
            let prompt = pair.prompt.to_plain();
            format!("{prompt} | {} | {}", pair.chosen.text, pair.rejected.text)
        })
        .collect();
    assert_eq!(lines, STABLE);
    let reward = world(3).gold_reward("ana asks : add 2 and 3 ?", "gladly : 5 , neatly , cheers .");
    assert!((reward - STABLE_REWARD).abs() < 1e-12, "{reward}");
}

const STABLE: [&str; 3] = [
    "iris says : copy lemon cup apple ship ? | grumble : lemon bell apple ship , very falsely carelessly , fool . | barely welcome : basically lemon coal cup apple ship , carelessly very crudely , shame .",
    "gwen asks : reverse lamp door fish ? | cheerfully : fish door lamp , promptly , stop | truly greetings : fish door , smoothly , never",
    "finn needs : place of cat ? | right : sofa , very attentively , anytime . | pointless : field ,",
];
const STABLE_REWARD: f64 = 0.933_078_942_961_289_6;

#[test]
fn a_longer_part_begins_with_the_shorter_one() {
    assert_eq!(world(50).train_pairs(), world(80).train_pairs()[..50]);
    assert_eq!(world(50).train_pairs(), world(50).train_pairs());
}

#[test]
fn another_seed_writes_other_pairs_and_other_weights() {
    let other = World::new(&WorldConfig {
        seed: 18,
        pairs: 50,
        ..WorldConfig::default()
    })
    .unwrap();
    assert_ne!(other.train_pairs(), world(50).train_pairs());
    let (prompt, answer) = ("ana asks : add 2 and 3 ?", "gladly : 5 , neatly , cheers .");
    assert_ne!(
        other.gold_reward(prompt, answer),
        world(50).gold_reward(prompt, answer)
    );
}

#[test]
fn no_two_parts_share_a_prompt_and_no_part_repeats_one() {
    let world = world(3_000);
    let mut parts = vec![
        prompts(&world.train_pairs()),
        prompts(&world.validation_pairs()),
        prompts(&world.test_pairs()),
    ];
    parts.push(
        world
            .prompts(1_500, Key::new(5, "ppo"))
            .iter()
            .map(|p| p.to_plain())
            .collect(),
    );
    let total: usize = parts.iter().map(Vec::len).sum();
    assert_eq!(total, 10_500);
    assert_eq!(
        parts.into_iter().flatten().collect::<HashSet<_>>().len(),
        total
    );
}

#[test]
fn all_tasks_occur_and_are_read_back() {
    let rows = world(2_000).train_pairs();
    for kind in TaskKind::ALL {
        let share = rows.iter().filter(|row| row.task == kind).count() as f64 / 2_000.0;
        assert!((0.1..0.2).contains(&share), "{}: {share}", kind.name());
    }
    let world = world(1);
    assert!(
        rows.iter()
            .all(|row| world.task(&row.pair.prompt.to_plain()) == Some(row.task))
    );
    for foreign in [
        "",
        "ana asks : add 2 and 30 ?",
        "what is love ?",
        "ana asks : sort ?",
        "ana asks : copy cat cat ?",
    ] {
        assert_eq!(world.task(foreign), None, "{foreign}");
        assert_eq!(world.demonstration(foreign), None, "{foreign}");
    }
}

#[test]
fn held_out_labels_follow_the_gold_reward() {
    let world = world(500);
    for row in world.test_pairs().iter().chain(&world.validation_pairs()) {
        assert!(row.gold_chosen - row.gold_rejected >= world.config().min_gap);
    }
}

#[test]
fn rewards_in_rows_are_those_of_the_texts() {
    let world = world(200);
    for row in world.train_pairs() {
        let prompt = row.pair.prompt.to_plain();
        assert_eq!(
            world.gold_reward(&prompt, &row.pair.chosen.text),
            row.gold_chosen
        );
        assert_eq!(
            world.gold_reward(&prompt, &row.pair.rejected.text),
            row.gold_rejected
        );
    }
}

#[test]
fn the_tokenizer_knows_every_generated_word_and_opens_again() {
    let world = world(1_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    world.tokenizer().save(&path, true).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_file(&path).unwrap();
    let mut words = 0;
    for row in world.train_pairs() {
        let pair = &row.pair;
        let mut length = 2;
        for text in [
            &pair.prompt.to_plain(),
            &pair.chosen.text,
            &pair.rejected.text,
        ] {
            let ids = tokenizer.encode(text.as_str(), false).unwrap();
            assert!(
                ids.get_ids().iter().all(|&id| id > World::SPECIAL.unk),
                "{text}"
            );
            assert_eq!(&tokenizer.decode(ids.get_ids(), true).unwrap(), text);
            length += ids.len();
            words += ids.len();
        }
        assert!(length <= 60, "{length} tokens: {pair:?}");
    }
    assert!(words / 1_000 < 32, "{words} tokens in 1,000 pairs");
    assert!(tokenizer.get_vocab_size(true) <= 400);
    let special = World::SPECIAL;
    for (token, id) in [
        ("[PAD]", special.pad),
        ("[BOS]", special.bos),
        ("[EOS]", special.eos),
        ("[UNK]", special.unk),
    ] {
        assert_eq!(tokenizer.token_to_id(token), Some(id));
    }
    assert_eq!(
        tokenizer.encode("gladly zyx", false).unwrap().get_ids()[1],
        special.unk
    );
    let vocabulary = world.vocabulary();
    assert_eq!(
        vocabulary.iter().collect::<HashSet<_>>().len(),
        vocabulary.len()
    );
    assert_eq!(tokenizer.get_vocab_size(true), vocabulary.len());
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let refuse = |config: WorldConfig, expected: &str| {
        let WorldError::OutOfRange { name, .. } = World::new(&config).unwrap_err() else {
            panic!("another error than expected");
        };
        assert_eq!(name, expected);
    };
    let good = WorldConfig::default;
    refuse(WorldConfig { pairs: 0, ..good() }, "pairs");
    refuse(
        WorldConfig {
            min_gap: 0.0,
            ..good()
        },
        "min_gap",
    );
    refuse(
        WorldConfig {
            tail: f64::NAN,
            ..good()
        },
        "tail",
    );
    let with = |annotator| WorldConfig {
        annotator,
        ..good()
    };
    let annotator = AnnotatorConfig::default;
    refuse(
        with(AnnotatorConfig {
            temperature: -0.1,
            ..annotator()
        }),
        "annotator.temperature",
    );
    refuse(
        with(AnnotatorConfig {
            flip_rate: 0.5,
            ..annotator()
        }),
        "annotator.flip_rate",
    );
    refuse(
        with(AnnotatorConfig {
            length_bias: f64::NAN,
            ..annotator()
        }),
        "annotator.length_bias",
    );
}

#[test]
fn unknown_parameters_are_refused() {
    assert!(serde_json::from_str::<WorldConfig>(r#"{"pears": 3}"#).is_err());
    assert!(serde_json::from_str::<WorldConfig>(r#"{"annotator": {"flips": 0.1}}"#).is_err());
    let config: WorldConfig = serde_json::from_str(r#"{"pairs": 7}"#).unwrap();
    assert_eq!(
        config,
        WorldConfig {
            pairs: 7,
            ..WorldConfig::default()
        }
    );
}
