//! Models and data that are refused, with the messages.

use burn_train::TrainStep;
use collimate_core::Key;
use collimate_data::{TokenizedExample, TokenizedPair};
use collimate_direct::{PairLogp, Reference};
use collimate_learner::{
    DirectTask, LearnerError, ReferencedPair, RewardTask, SftTask, Task, Trainee,
};
use collimate_losses::{Dpo, PairwiseLoss};
use collimate_nn::Forward;

use crate::setup::{model, pairs, reward_model};

fn key() -> Key {
    Key::new(0, "learner")
}

fn text<T>(result: Result<T, LearnerError>) -> String {
    match result {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn spoilt(change: impl Fn(&mut TokenizedPair)) -> Vec<TokenizedPair> {
    let mut rows = pairs(4, 1);
    change(&mut rows[2]);
    rows
}

#[test]
fn tasks() {
    let margin = f64::NAN;
    let loss = PairwiseLoss::Hinge { margin };
    assert!(text(RewardTask::new(loss)).contains("margin"));
    let loss = Dpo {
        beta: -1.0,
        ..Dpo::default()
    };
    assert!(
        text(DirectTask::<collimate_lm::Llama, _>::new(
            loss,
            Reference::None
        ))
        .contains("beta")
    );
    let stored = Reference::<collimate_lm::Llama>::Logps {
        train: vec![],
        held_out: vec![],
    };
    let message = text(DirectTask::new(Dpo::default(), stored));
    assert!(
        message.contains("store the log-probabilities in each pair"),
        "{message}"
    );
}

#[test]
fn models() {
    let task = DirectTask::new(Dpo::default(), Reference::AdaptersOff).unwrap();
    let message = text(Trainee::new(model(1), task, key()));
    assert!(message.contains("has no adapters"), "{message}");
}

#[test]
fn items() {
    let direct = |reference| {
        let task = DirectTask::new(Dpo::default(), reference).unwrap();
        Trainee::new(model(1), task, key()).unwrap()
    };
    let reward = RewardTask::new(PairwiseLoss::default()).unwrap();
    let reward = Trainee::new(reward_model(1), reward, key()).unwrap();
    let live = direct(Reference::Model(model(5)));
    type Change = fn(&mut TokenizedPair);
    let cases: [(Change, &str); 3] = [
        (
            |p| p.rejected.clear(),
            "item 2 has a completion without tokens",
        ),
        (|p| p.chosen = vec![7; 40], "item 2: sequence 0 has"),
        (|p| p.rejected[0] = 20, "item 2: sequence 1 has token id 20"),
    ];
    for (change, wanted) in cases {
        for message in [
            text(live.dataset(spoilt(change))),
            text(reward.dataset(spoilt(change))),
        ] {
            assert!(message.starts_with(wanted), "{message}");
        }
    }
    // Without a prompt no token predicts the first one.
    let sft = Trainee::new(model(1), SftTask, key()).unwrap();
    let lone = TokenizedExample {
        prompt: vec![],
        completion: vec![2],
        truncated: false,
    };
    let message = text(sft.dataset([lone]));
    assert!(message.starts_with("item 0 has a completion"), "{message}");

    let message = text(direct(Reference::None).dataset(pairs(2, 1)));
    assert!(
        message.contains("dpo compares with a reference"),
        "{message}"
    );
    let logp = PairLogp {
        chosen: -1.0,
        rejected: f32::NAN,
    };
    let rows = pairs(1, 1).into_iter();
    let message = text(live.dataset(rows.map(|pair| ReferencedPair::new(pair, logp))));
    assert!(message.contains("of item 0 are not finite"), "{message}");
}

#[test]
fn a_batch_names_the_item_at_fault() {
    let task = DirectTask::new(Dpo::default(), Reference::Model(model(5))).unwrap();
    let items = spoilt(|p| p.rejected[0] = 20);
    let items: Vec<_> = items.into_iter().map(ReferencedPair::from).collect();
    let message = text(task.forward(&model(1), &items, Forward::EVAL));
    assert!(message.starts_with("item 2: sequence 5 has"), "{message}");
}

#[test]
#[should_panic(expected = "training batch 0: item 2: sequence 5 has token id 20")]
fn an_unchecked_batch_ends_the_step() {
    let task = RewardTask::new(PairwiseLoss::default()).unwrap();
    let trainee = Trainee::new(reward_model(1), task, key()).unwrap();
    TrainStep::step(&trainee, spoilt(|p| p.rejected[0] = 20));
}
