//! Selection of preference pairs by implicit reward margin (SeRA, arXiv:2410.09362) alone. Only `collimate-irm` is
//! needed: no Burn, no model, no files.
//!
//! ```text
//! cargo run --example implicit_margins
//! ```
//!
//! Log-probabilities of 2,000 pairs are simulated for a policy that has begun to learn the preference, and its
//! reference model. The labels of a quarter of the pairs are swapped. A policy gives such pairs small margins, so
//! the pairs with the largest ones have fewer wrong labels.

use collimate::core::{Key, Purpose};
use collimate::irm::{
    CutPolicy, IrmConfig, IrmError, Logps, Response, bootstrap_pairs, ensemble, share_count, top_k,
};
use rand::{Rng, RngExt};

const PAIRS: usize = 2_000;
const SWAPPED: f64 = 0.25;

fn noise(rng: &mut impl Rng) -> f64 {
    (0..3).map(|_| rng.random_range(-1.0..1.0)).sum()
}

/// Summed log-probabilities of an answer under policy and reference model: the policy has moved `gain` nats.
fn logps(gain: f64, rng: &mut impl Rng) -> [f64; 2] {
    let reference = -20.0 + 4.0 * noise(rng);
    [reference + gain + noise(rng), reference]
}

fn main() -> Result<(), IrmError> {
    let config = IrmConfig::default();
    let mut rng = Key::new(0, "pairs").rng(Purpose::Data);
    let swapped: Vec<bool> = (0..PAIRS).map(|_| rng.random_bool(SWAPPED)).collect();

    // Margins of the policy of this iteration, and of the one before, which had learnt less.
    let mut margins = |learnt: f64| -> Result<Vec<f64>, IrmError> {
        let gain = |side: f64| swapped.iter().map(move |&s| if s { -side } else { side });
        let mut side = |side| {
            gain(side)
                .map(|gain| logps(gain, &mut rng))
                .collect::<Vec<_>>()
        };
        let (chosen, rejected) = (side(learnt), side(-learnt));
        let column = |rows: &[[f64; 2]], of: usize| rows.iter().map(|row| row[of]).collect();
        let [a, b, c, d]: [Vec<f64>; 4] = [
            column(&chosen, 0),
            column(&chosen, 1),
            column(&rejected, 0),
            column(&rejected, 1),
        ];
        let of = |policy, reference| Logps {
            policy,
            reference: Some(reference),
            tokens: None,
        };
        config.implicit_reward.margins(of(&a, &b), of(&c, &d))
    };
    let (current, previous) = (margins(1.0)?, margins(0.4)?);
    // The mean of two policies is steadier than one: their errors are not the same.
    let mean = ensemble(&current, Some(&previous), config.gamma)?;

    println!("{:<34} {:>6} {:>15}", "pairs", "number", "labels swapped");
    let line = |name: &str, kept: &[usize]| {
        let wrong = kept.iter().filter(|&&index| swapped[index]).count() as f64;
        let share = 100.0 * wrong / kept.len() as f64;
        println!("{name:<34} {:>6} {share:>13.1} %", kept.len());
    };
    line("all", &(0..PAIRS).collect::<Vec<_>>());
    let count = share_count(config.offline_share, PAIRS)?;
    for (name, margins) in [
        ("largest margins, previous policy", &previous),
        ("largest margins, current policy", &current),
        ("largest margins, mean of both", &mean),
    ] {
        let kept = top_k(margins, count).kept;
        line(
            name,
            &kept.iter().map(|kept| kept.index).collect::<Vec<_>>(),
        );
    }

    // Own pairs: the best and the worst of the policy's answers to a prompt, by its own implicit reward.
    let response = |text, reward, finished| Response {
        text,
        reward,
        finished,
        unlikely: false,
    };
    let prompts = [
        vec![
            response("Paris.", 1.4, true),
            response("The capital is Paris.", 2.1, true),
            response("Lyon.", -0.8, true),
            response("The capital of France is the", 3.0, false), // cut: drop
        ],
        vec![response("Yes.", 0.2, true), response(" ", 0.9, true)], // nothing to pair with
    ];
    let own = bootstrap_pairs(&prompts, CutPolicy::Drop);
    for (prompt, pair) in own.pairs() {
        let text = |index: usize| prompts[prompt][index].text;
        println!(
            "\nown pair: {:?} over {:?}",
            text(pair.chosen),
            text(pair.rejected)
        );
    }
    for (reason, prompts) in own.dropped_by_reason() {
        println!("no pair for {prompts} prompt: {reason:?}");
    }
    Ok(())
}
