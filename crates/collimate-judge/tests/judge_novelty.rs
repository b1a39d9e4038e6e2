//! New prompts, ROUGE-L, and training examples for judges.

use collimate_judge::{
    Item, JudgeError, NoveltyFilter, NoveltyOptions, PromptStyle, Refusal, Rubric, eft_example,
    rouge_l, tokens,
};
use proptest::prelude::*;

/// Computes ROUGE-L with the textbook table.
fn naive_rouge_l(a: &str, b: &str) -> f64 {
    let (a, b) = (tokens(a), tokens(b));
    let mut table = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in 0..a.len() {
        for j in 0..b.len() {
            table[i + 1][j + 1] = if a[i] == b[j] {
                table[i][j] + 1
            } else {
                table[i][j + 1].max(table[i + 1][j])
            };
        }
    }
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    2.0 * table[a.len()][b.len()] as f64 / (a.len() + b.len()) as f64
}

/// Compares every candidate with every prompt of the pool, without bounds.
fn naive_filter(pool: &[String], prompts: &[String], options: NoveltyOptions) -> Vec<usize> {
    let mut pool = pool.to_vec();
    let mut kept = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let words = prompt.split_whitespace().count();
        let length = options.min_words..=options.max_words;
        let new = |old: &String| naive_rouge_l(old, prompt) < options.threshold;
        if length.contains(&words) && pool.iter().all(new) {
            pool.push(prompt.clone());
            kept.push(index);
        }
    }
    kept
}

fn filter(threshold: f64) -> NoveltyFilter {
    NoveltyFilter::new(NoveltyOptions {
        threshold,
        ..NoveltyOptions::default()
    })
    .unwrap()
}

#[test]
fn words_are_runs_of_letters_and_digits() {
    assert_eq!(tokens("Für Elise, op. 59"), ["für", "elise", "op", "59"]);
    assert_eq!(tokens(" -- "), [""; 0]);
    assert_eq!(rouge_l("Straße", "STRASSE"), 0.0);
}

#[test]
fn the_threshold_itself_is_too_similar() {
    // Seven of ten words are common, so F is 0.7.
    let old = "a b c d e f g h i j";
    let at = "a b c d e f g x y z";
    let below = "a b c d e f w x y z";
    let mut filter = filter(0.7);
    filter.add(old);
    let refused = filter.offer(at);
    let to_old = Refusal::Similar {
        to: 0,
        rouge_l: 0.7,
    };
    assert_eq!(refused, Err(to_old));
    assert_eq!(filter.offer(below), Ok(()));
    assert_eq!(filter.len(), 2);
}

#[test]
fn lengths_are_counted_in_words() {
    let mut filter = filter(0.7);
    assert_eq!(
        filter.offer("two words"),
        Err(Refusal::TooShort { words: 2 })
    );
    assert_eq!(
        filter.offer("! ? -- ..."),
        Err(Refusal::TooShort { words: 0 })
    );
    assert_eq!(filter.offer("three small words"), Ok(()));
    let numbered = |n: usize| {
        (0..n)
            .map(|i| format!("w{i}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        filter.offer(&numbered(151)),
        Err(Refusal::TooLong { words: 151 })
    );
    assert_eq!(filter.offer(&numbered(150)), Ok(()));
}

#[test]
fn the_nearest_is_named_and_reasons_are_counted() {
    let mut filter = filter(0.7);
    for prompt in ["a b c d e", "a b c d x", "a b c d e"] {
        filter.add(prompt);
    }
    let report = filter.filter(&["a b c d e", "no", "p q r s", "p q r s t", "b c d e f g"]);
    assert_eq!(report.kept, [2]);
    let similar = |to, rouge_l| Refusal::Similar { to, rouge_l };
    let expected = [
        (0, similar(0, 1.0)),
        (1, Refusal::TooShort { words: 1 }),
        (3, similar(3, 8.0 / 9.0)),
        (4, similar(0, 8.0 / 11.0)),
    ];
    assert_eq!(report.refused, expected);
    assert_eq!(
        (report.similar, report.too_short, report.too_long),
        (3, 1, 0)
    );
}

#[test]
fn options_out_of_range_are_named() {
    for threshold in [0.0, 1.1, f64::NAN] {
        let options = NoveltyOptions {
            threshold,
            ..NoveltyOptions::default()
        };
        let error = NoveltyFilter::new(options).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("threshold is {threshold} but must be above 0, at most 1")
        );
    }
    let options = NoveltyOptions {
        min_words: 151,
        ..NoveltyOptions::default()
    };
    NoveltyFilter::new(options).unwrap_err();
}

#[test]
fn examples_that_would_be_read_differently_are_refused() {
    let item = Item::new("q", "a");
    let example = |rubric: &Rubric, justification: &str, score| {
        eft_example(rubric, &item, justification, score, PromptStyle::Chat)
            .map(|example| example.completion.text)
    };
    let additive = Rubric::additive();
    assert_eq!(
        example(&additive, " Fine. \n", 3.0).unwrap(),
        "Fine.\nScore: 3"
    );
    assert_eq!(example(&additive, "", 0.0).unwrap(), "Score: 0");
    let rating = example(&Rubric::mt_bench(), "Fine.", 7.5).unwrap();
    assert_eq!(rating, "Fine.\nRating: [[7.5]]");
    for (justification, score) in [
        ("", 6.0),
        ("", -1.0),
        ("", 2.5),
        ("", f64::NAN),
        ("", f64::INFINITY),
        ("Score: 2\nOr more.", 3.0),
    ] {
        let error = example(&additive, justification, score);
        assert!(matches!(error, Err(JudgeError::Example { .. })), "{score}");
    }
    let message = example(&additive, "", 6.0).unwrap_err().to_string();
    assert_eq!(
        message,
        "the judge-format text with score 6 cannot be read back: OutOfRange"
    );
}

/// Long prompts with common and rare words, like a pool of instructions.
#[test]
fn long_prompts_are_kept_as_by_the_plain_filter() {
    let mut state = 1_u64;
    let mut draw = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % n
    };
    let mut prompt = || {
        let words = 8 + draw(40);
        // Squares make some words common and most words rare.
        let word = |_| format!("w{}", draw(70) * draw(70));
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    };
    let pool: Vec<String> = (0..300).map(|_| prompt()).collect();
    let mut candidates: Vec<String> = (0..20).map(|_| prompt()).collect();
    candidates.push(format!("{} more", pool[7]));
    let mut filter = NoveltyFilter::new(NoveltyOptions::default()).unwrap();
    pool.iter().for_each(|prompt| filter.add(prompt));
    let report = filter.filter(&candidates);
    assert_eq!(
        report.kept,
        naive_filter(&pool, &candidates, NoveltyOptions::default())
    );
    assert!(!report.kept.is_empty());
    assert_eq!(report.refused.last().map(|(index, _)| *index), Some(20));
}

fn text(words: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "c", "d", "e", "F"]),
        words,
    )
    .prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn rouge_is_the_textbooks(a in text(0..200), b in text(0..200)) {
        prop_assert_eq!(rouge_l(&a, &b), naive_rouge_l(&a, &b));
        prop_assert_eq!(rouge_l(&a, &b), rouge_l(&b, &a));
        prop_assert!(a.is_empty() || rouge_l(&a, &a) == 1.0);
    }

    #[test]
    fn the_filter_keeps_what_the_plain_one_keeps(
        pool in prop::collection::vec(text(0..20), 0..8),
        prompts in prop::collection::vec(text(0..20), 0..12),
        threshold in 0.3_f64..=1.0,
    ) {
        let options = NoveltyOptions { threshold, min_words: 2, max_words: 15 };
        let mut filter = NoveltyFilter::new(options).unwrap();
        pool.iter().for_each(|prompt| filter.add(prompt));
        let report = filter.filter(&prompts);
        prop_assert_eq!(&report.kept, &naive_filter(&pool, &prompts, options));
        prop_assert_eq!(report.kept.len() + report.refused.len(), prompts.len());
        prop_assert_eq!(filter.len(), pool.len() + report.kept.len());
        for (index, refusal) in &report.refused {
            if let Refusal::Similar { to, rouge_l: similarity } = refusal {
                let old = pool.get(*to).unwrap_or_else(|| &prompts[report.kept[to - pool.len()]]);
                prop_assert_eq!(*similarity, rouge_l(old, &prompts[*index]));
            }
        }
    }

    #[test]
    fn a_written_score_is_read_back(score in 0_u32..=5, justification in "[ -~]{0,80}") {
        let rubric = Rubric::additive();
        let (item, score) = (Item::new("q", "a"), f64::from(score));
        match eft_example(&rubric, &item, &justification, score, PromptStyle::Chat) {
            Ok(example) => {
                let read = rubric.format().parse(&example.completion, rubric.range());
                prop_assert_eq!(read, Ok(score));
                prop_assert!(example.completion.text.starts_with(justification.trim()));
            }
            Err(_) => prop_assert!(justification.contains("Score:")),
        }
    }

    #[test]
    fn a_written_rating_is_read_back(tenths in 10_u32..=100) {
        let rubric = Rubric::mt_bench();
        let score = f64::from(tenths) / 10.0;
        let text = rubric.format().write(score);
        prop_assert_eq!(rubric.format().parse(&text.as_str().into(), rubric.range()), Ok(score));
    }
}
