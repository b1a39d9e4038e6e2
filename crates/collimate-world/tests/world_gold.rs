//! The gold reward: bounded and graded for any text, best for correct, kind and complete answers.

use std::collections::HashSet;
use std::sync::LazyLock;

use collimate_core::{Completion, Key, Prompt, Scorer};
use collimate_world::{Corruption, World, WorldConfig};
use proptest::prelude::*;

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(&WorldConfig::default()).unwrap());
static PROMPTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    WORLD
        .prompts(400, Key::new(3, "gold"))
        .iter()
        .map(|prompt| prompt.to_plain())
        .collect()
});

fn prompt_and_demonstration() -> impl Strategy<Value = (String, String)> {
    (0..PROMPTS.len()).prop_map(|i| {
        (
            PROMPTS[i].clone(),
            WORLD.demonstration(&PROMPTS[i]).unwrap(),
        )
    })
}

/// Sequences of vocabulary words, as a model with random weights samples them.
fn random_words() -> impl Strategy<Value = String> {
    let words = WORLD.vocabulary().to_vec();
    prop::collection::vec(prop::sample::select(words), 8..60).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_a_bounded_reward(prompt in any::<String>(), text in any::<String>()) {
        for prompt in [prompt.as_str(), PROMPTS[0].as_str()] {
            let reward = WORLD.gold_reward(prompt, &text);
            prop_assert!((0.0..=1.0).contains(&reward), "{reward}");
            let parts = WORLD.gold_parts(prompt, &text);
            for part in [parts.content, parts.tone, parts.form, parts.health, parts.relevance] {
                prop_assert!((0.0..=1.0).contains(&part), "{parts:?}");
            }
        }
    }

    #[test]
    fn demonstrations_are_in_the_top_band((prompt, good) in prompt_and_demonstration()) {
        prop_assert!(WORLD.gold_reward(&prompt, &good) >= 0.85);
        prop_assert_eq!(WORLD.gold_parts(&prompt, &good).content, 1.0);
        prop_assert_eq!(WORLD.demonstration(&prompt), Some(good));
    }

    #[test]
    fn random_words_stay_out_of_the_top_band(
        (prompt, good) in prompt_and_demonstration(),
        text in random_words(),
    ) {
        let reward = WORLD.gold_reward(&prompt, &text);
        prop_assert!(reward < 0.6 && reward < WORLD.gold_reward(&prompt, &good), "{reward} {text}");
    }

    #[test]
    fn each_corruption_lowers_the_reward((prompt, good) in prompt_and_demonstration(), draw: u64) {
        let reward = WORLD.gold_reward(&prompt, &good);
        for corruption in Corruption::ALL {
            let Some(worse) = WORLD.corrupted(&good, corruption, Key::new(draw, "worse")) else {
                prop_assert_eq!(corruption, Corruption::WrongOrder);
                continue;
            };
            let lower = WORLD.gold_reward(&prompt, &worse);
            prop_assert!(lower < reward - 0.01, "{corruption:?}: {lower} {reward}\n{good}\n{worse}");
        }
    }

    #[test]
    fn junk_lowers_the_reward(
        (prompt, good) in prompt_and_demonstration(),
        at in any::<prop::sample::Index>(),
        junk in prop::sample::select(vec!["zyx", "é", "basically", "ana", "add", "7", "cat", ".", ","]),
    ) {
        let mut words: Vec<&str> = good.split(' ').collect();
        words.insert(at.index(words.len() + 1), junk);
        let lower = WORLD.gold_reward(&prompt, &words.join(" "));
        prop_assert!(lower < WORLD.gold_reward(&prompt, &good), "{words:?}");
    }

    #[test]
    fn no_other_order_of_the_words_is_better(
        (prompt, good) in prompt_and_demonstration(),
        draw in Just(()).prop_perturb(|(), mut rng| rng.next_u64()),
    ) {
        let modifiers = HashSet::from(["very", "truly", "so", "most", "hardly", "barely", "not", "never"]);
        // A modifier changes the meaning of the word after it.
        let mut words: Vec<&str> =
            good.split(' ').filter(|word| !modifiers.contains(word)).collect();
        let reward = WORLD.gold_reward(&prompt, &words.join(" "));
        let backwards: Vec<&str> = words.iter().rev().copied().collect();
        let mut state = draw;
        for last in (1..words.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            words.swap(last, (state >> 33) as usize % (last + 1));
        }
        prop_assert!(WORLD.gold_reward(&prompt, &words.join(" ")) <= reward + 1e-12);
        prop_assert!(WORLD.gold_reward(&prompt, &backwards.join(" ")) < reward - 0.05);
    }

    #[test]
    fn corrupting_any_text_does_not_fail(text in any::<String>(), words in random_words(), draw: u64) {
        for corruption in Corruption::ALL {
            let _ = WORLD.corrupted(&text, corruption, Key::new(draw, "any"));
            let _ = WORLD.corrupted(&words, corruption, Key::new(draw, "any"));
        }
    }
}

#[test]
fn degenerate_answers_score_low() {
    for prompt in PROMPTS.iter() {
        let good = WORLD.demonstration(prompt).unwrap();
        let reward = |text: &str| WORLD.gold_reward(prompt, text);
        assert_eq!(reward(""), 0.0);
        assert_eq!(reward(" \n\t"), 0.0);
        assert_eq!(reward("zyx qqq wvu"), 0.0);
        assert_eq!(reward(&"[UNK] ".repeat(50)), 0.0);
        for (text, most) in [
            (".".to_owned(), 0.10),
            (prompt.clone(), 0.25),
            ("gladly ".repeat(20), 0.05),
            ("gladly : , neatly , cheers .".to_owned(), 0.15),
            (format!("{good} {good} {good}"), 0.35),
            ([good.as_str(); 10].join(" "), 0.10),
            (format!("{good} {}", "well like ".repeat(20)), 0.20),
            (WORLD.vocabulary().join(" "), 0.05),
        ] {
            assert!(
                reward(&text) < most,
                "{} is not below {most}: {prompt} {text}",
                reward(&text)
            );
        }
        // An answer that is cut anywhere is worse than a finished one.
        let words: Vec<&str> = good.split(' ').collect();
        for cut in 0..words.len() {
            assert!(
                reward(&words[..cut].join(" ")) < reward(&good) - 0.05,
                "{good} cut at {cut}"
            );
        }
    }
}

#[test]
fn a_nearer_result_scores_higher() {
    let reward = |prompt, result: &str| {
        WORLD.gold_reward(prompt, &format!("gladly : {result} , neatly , cheers ."))
    };
    let add = "ana asks : add 4 and 5 ?";
    assert!(reward(add, "9") > reward(add, "8"));
    assert!(reward(add, "8") > reward(add, "5"));
    assert!(reward(add, "5") > reward(add, "cat"));
    let sort = "ana asks : sort 9 2 7 4 ?";
    assert!(reward(sort, "2 4 7 9") > reward(sort, "2 4 7"));
    assert!(reward(sort, "2 4 7") > reward(sort, "2 4"));
    assert!(reward(sort, "2 4 7 9") > reward(sort, "2 4 9 7"));
    let results = [
        ("ana asks : copy cat lamp ?", "cat lamp"),
        ("ana asks : reverse cat lamp ?", "lamp cat"),
        ("ana asks : color of lemon ?", "yellow"),
        ("ana asks : place of fish ?", "lake"),
        ("ana asks : opposite of cold ?", "hot"),
        ("ana asks : opposite of hot ?", "cold"),
        ("ana asks : bring the cup to the hall ?", "cup to hall"),
    ];
    for (prompt, result) in results {
        assert_eq!(WORLD.gold_parts(prompt, result).content, 1.0, "{prompt}");
        assert!(
            reward(prompt, result) > reward(prompt, "sofa star"),
            "{prompt}"
        );
    }
}

/// The formula, worked out by hand for answers without tone words.
#[test]
fn parts_add_up() {
    let prompt = "ana asks : add 4 and 5 ?";
    // Correct result; tone neutral ½; three empty slots cost 0.45 of the form.
    assert!((WORLD.gold_reward(prompt, "9 .") - (0.32 + 0.5 * 0.5 + 0.18 * 0.55)).abs() < 1e-12);
    // The missing full stop costs another 0.5 of the form.
    assert!((WORLD.gold_reward(prompt, "9") - (0.32 + 0.25 + 0.18 * 0.05)).abs() < 1e-12);
    // One off: the cost of the edit is 0.55 + 0.35/5 = 0.62, hence similarity 0.38 and content 0.266.
    let near = 0.32 * 0.7 * 0.38 + 0.25 + 0.18 * 0.55;
    assert!((WORLD.gold_reward(prompt, "8 .") - near).abs() < 1e-12);
    // One word of three is unknown: (2/3)³ of the reward remains.
    let unknown = (2.0_f64 / 3.0).powi(3) * (0.32 + 0.25 + 0.18 * 0.55);
    assert!((WORLD.gold_reward(prompt, "zyx 9 .") - unknown).abs() < 1e-12);
}

#[test]
fn order_repetition_and_modifiers_count() {
    let parts = |text: &str| WORLD.gold_parts("ana asks : add 4 and 5 ?", text);
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    // Two slots are empty; a manner before the content is one part too early.
    near(parts("9 neatly .").form, 0.7);
    near(parts("neatly 9 .").form, 0.5);
    near(parts("9 , basically neatly .").form, 0.55);
    near(parts("9 .").health, 1.0);
    // One word of three is repeated; five words of twenty are beyond the fifteen allowed.
    near(parts("9 . .").health, (2.0_f64 / 3.0).powi(2));
    near(parts("9 : 9 : 9").health, (3.0_f64 / 5.0).powi(2));
    let long: Vec<&str> = WORLD
        .vocabulary()
        .iter()
        .copied()
        .skip_while(|w| *w != "gladly")
        .take(20)
        .collect();
    near(parts(&long.join(" ")).health, 0.75_f64.powi(2));
    let weight = |text: &str| parts(text).tone - 0.5;
    assert!(weight("gladly 9 .") > 0.03);
    near(weight("very gladly 9 ."), 1.4 * weight("gladly 9 ."));
    near(weight("hardly gladly 9 ."), -0.7 * weight("gladly 9 ."));
    near(
        weight("gladly : 9 , neatly ."),
        weight("gladly .") + weight("neatly ."),
    );
    near(weight("gladly gladly 9 ."), weight("gladly 9 ."));
}

#[test]
fn the_reward_is_a_scorer() {
    let items = [(
        Prompt::from("ana asks : add 4 and 5 ?"),
        Completion::from("9 ."),
    )];
    let scores = WORLD.scorer().score(&items).unwrap();
    assert!((f64::from(scores[0]) - 0.669).abs() < 1e-6);
}

#[test]
fn better_levels_write_better_answers() {
    let mean = |level: f64| {
        let rewards = PROMPTS.iter().zip(0..).map(|(prompt, i)| {
            WORLD.gold_reward(
                prompt,
                &WORLD.answer(prompt, level, Key::new(i, "level")).unwrap(),
            )
        });
        rewards.sum::<f64>() / PROMPTS.len() as f64
    };
    let means = [-2.0, -1.0, 0.0, 1.0, 2.0].map(mean);
    assert!(
        means.windows(2).all(|two| two[1] > two[0] + 0.03),
        "{means:?}"
    );
}
