//! A completion does not depend on the completions beside it.

use super::*;

fn sampling(n: usize) -> Sampling {
    Sampling {
        n,
        seed: 11,
        temperature: 1.2,
        top_p: 0.98,
        top_k: 20,
        repetition_penalty: 1.1,
        max_new_tokens: 30,
        stop: vec!["zz".into()],
    }
}

fn write(
    generator: &TextGenerator<Llama>,
    prompts: &[Vec<u32>],
    sampling: &Sampling,
) -> Vec<Vec<Completion>> {
    generator.continue_ids(prompts, sampling, &mut ()).unwrap()
}

fn lanes(rows: usize, lanes: usize) -> BatchLimits {
    BatchLimits {
        lanes: Some(lanes),
        ..limits(rows, 10_000)
    }
}

#[test]
fn batch_mates_size_and_order_change_nothing() {
    let prompts = prompts(30, &[1, 7, 16, 33, 2, 20, 5]);
    for (name, device) in common::plain_devices() {
        let model = random_model(&device);
        let wanted = write(&generator(model.clone()), &prompts, &sampling(3));
        let all: std::collections::HashSet<_> = wanted.iter().flatten().collect();
        assert_eq!(
            all.len(),
            7 * 3,
            "{name}: completions differ from each other"
        );
        for limits in [
            limits(1, 1),
            limits(2, 100),
            limits(5, 300),
            limits(64, 100_000),
            lanes(8, 2),
            lanes(7, 3),
            lanes(2, 16),
        ] {
            let generator = generator(model.clone()).with_limits(limits).unwrap();
            let found = write(&generator, &prompts, &sampling(3));
            assert_eq!(found, wanted, "{name}, {limits:?}");
        }
        let generator = generator(model);
        for (prompt, wanted) in prompts.iter().zip(&wanted) {
            let found = write(&generator, std::slice::from_ref(prompt), &sampling(3));
            assert_eq!(&found[0], wanted, "{name}: alone");
        }
        let backwards: Vec<_> = prompts.iter().rev().cloned().collect();
        let mut found = write(&generator, &backwards, &sampling(3));
        found.reverse();
        assert_eq!(found, wanted, "{name}: in the other order");
    }
}

#[test]
fn more_samples_begin_with_the_same_ones() {
    let prompts = prompts(31, &[6, 17]);
    let generator = generator(random_model(&Device::flex()));
    let many = write(&generator, &prompts, &sampling(5));
    for n in 1..5 {
        let few = write(&generator, &prompts, &sampling(n));
        for (few, many) in few.iter().zip(&many) {
            assert_eq!(few[..], many[..n]);
        }
    }
    // A repeated prompt continues with the samples that a larger n would have given.
    let twice = [prompts[0].clone(), prompts[1].clone(), prompts[0].clone()];
    let found = write(&generator, &twice, &sampling(2));
    assert_eq!(found[0][..], many[0][..2]);
    assert_eq!(found[1][..], many[1][..2]);
    assert_eq!(found[2][..], many[0][2..4]);
}

#[test]
fn the_seed_decides() {
    let prompts = prompts(32, &[4, 9]);
    let generator = generator(random_model(&Device::flex()));
    let of = |seed| {
        let sampling = Sampling {
            seed,
            ..sampling(2)
        };
        write(&generator, &prompts, &sampling)
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn value_stability() {
    let generator = generator(random_model(&Device::flex()));
    let sampling = Sampling {
        max_new_tokens: 8,
        ..Sampling::default()
    };
    let found = write(&generator, &prompts(33, &[4]), &sampling);
    assert_eq!(tokens(&found[0][0]), STABLE);
}

const STABLE: [u32; 8] = [11, 2, 25, 13, 10, 12, 5, 15];

#[test]
fn samples_follow_the_distribution() {
    // If the last normalisation is zero, all logits are equal and every token is equally likely.
    let model = common::changed(&random_model(&Device::flex()), |path, values| {
        if path == "model.norm.weight" {
            values.fill(0.0);
        }
    });
    let generator = generator(model).with_eos(vec![]);
    let sampling = Sampling {
        n: 40,
        max_new_tokens: 80,
        ..Sampling::default()
    };
    let found = write(&generator, &prompts(34, &[3]), &sampling);
    let mut counts = [0usize; VOCAB];
    for &id in found[0].iter().flat_map(tokens) {
        counts[id as usize] += 1;
    }
    let draws = counts.iter().sum::<usize>() as f64;
    assert_eq!(draws, 3200.0);
    let expected = draws / VOCAB as f64;
    let chi: f64 = counts
        .iter()
        .map(|&c| (c as f64 - expected).powi(2) / expected)
        .sum();
    // χ² with 31 degrees of freedom exceeds 61.1 once in a thousand draws.
    assert!(chi < 61.1, "χ² = {chi}: {counts:?}");
}
