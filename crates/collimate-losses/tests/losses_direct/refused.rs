//! Options and inputs that are refused, with the messages.

use burn::tensor::{DType, Device};
use collimate_losses::{
    Anchored, DirectLoss, PairLogps, PreferenceLoss, UnpairedLogps, UnpairedLoss,
};

use crate::batch::vector;

#[test]
fn options_out_of_range() {
    for (json, part) in [
        (
            r#"{"dpo": {"beta": 0}}"#,
            "dpo: beta is 0 but must be a finite number above 0",
        ),
        (r#"{"dpo": {"beta": -0.1}}"#, "dpo: beta is -0.1"),
        (
            r#"{"dpo": {"label_smoothing": 0.5}}"#,
            "label_smoothing is 0.5 but must be at least 0 and below 0.5",
        ),
        (
            r#"{"rdpo": {"label_smoothing": 0.5}}"#,
            "rdpo: label_smoothing is 0.5",
        ),
        (
            r#"{"exo": {"label_smoothing": 0}}"#,
            "exo: label_smoothing is 0 but must be above 0",
        ),
        (r#"{"simpo": {"gamma": -1}}"#, "simpo: gamma is -1"),
        (r#"{"orpo": {"lambda": -1}}"#, "orpo: lambda is -1"),
        (r#"{"slic_hf": {"delta": -1}}"#, "slic_hf: delta is -1"),
        (
            r#"{"slic_hf": {"nll_weight": -1}}"#,
            "slic_hf: nll_weight is -1",
        ),
        (
            r#"{"slic_hf": {"reference": "none", "divergence": "forward_kl"}}"#,
            "a divergence needs a reference",
        ),
        (
            r#"{"discopop": {"temperature": 2}}"#,
            "temperature is 2 but must be above 0 and at most 1",
        ),
        (
            r#"{"aot": {"label_smoothing": -0.1}}"#,
            "aot: label_smoothing is -0.1",
        ),
    ] {
        let loss: PreferenceLoss = serde_json::from_str(json).unwrap();
        let message = DirectLoss::check(&loss).unwrap_err().to_string();
        assert!(message.contains(part), "{json}: {message}");
        let one = || vector(&[-1.0], &Device::flex(), DType::F32);
        let logps = PairLogps::new(one(), one())
            .with_reference(one(), one())
            .with_tokens(vec![1], vec![1]);
        assert!(
            DirectLoss::forward(&loss, &logps).is_err(),
            "{json}: forward checks too"
        );
    }
    for loss in PreferenceLoss::all() {
        for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            // Without the penalty ORPO is fine-tuning.
            let allowed = beta == 0.0 && DirectLoss::name(&loss) == "orpo";
            assert_eq!(
                DirectLoss::check(&loss.with_beta(beta)).is_ok(),
                allowed,
                "{loss:?} {beta}"
            );
        }
        assert_eq!(DirectLoss::check(&loss), Ok(()));
    }
}

#[test]
fn anchors_that_do_not_fit() {
    let check = |json: &str, alpha: f64| {
        let loss: PreferenceLoss = serde_json::from_str(json).unwrap();
        let anchored = Anchored { loss, alpha };
        let one = || vector(&[-1.0], &Device::flex(), DType::F32);
        let logps = PairLogps::new(one(), one())
            .with_reference(one(), one())
            .with_tokens(vec![1], vec![1]);
        let found = DirectLoss::check(&anchored);
        assert_eq!(found.is_err(), anchored.forward(&logps).is_err(), "{json}");
        found.map_err(|error| error.to_string())
    };
    let reference = "nll_anchor needs a loss that compares with a reference: give nll_anchor = 0, or \
                     another loss";
    let twice = "nll_anchor needs a loss without a likelihood term, but this loss has one: give \
                 nll_anchor = 0, or set the weight of the loss's term";
    for (json, message) in [
        (r#"{"simpo": {}}"#, format!("simpo: {reference}")),
        (
            r#"{"slic_hf": {"reference": "none"}}"#,
            format!("slic_hf: {reference}"),
        ),
        (
            r#"{"slic_hf": {"nll_weight": 0.1}}"#,
            format!("slic_hf: {twice}"),
        ),
        (r#"{"orpo": {}}"#, format!("orpo: {twice}")),
    ] {
        assert_eq!(check(json, 0.1), Err(message), "{json}");
        assert_eq!(check(json, 0.0), Ok(()), "{json}");
    }
    for alpha in [-0.1, f64::NAN, f64::INFINITY] {
        let text = check(r#"{"dpo": {}}"#, alpha).unwrap_err();
        assert!(
            text.contains("dpo: nll_anchor is ") && text.contains("at least 0"),
            "{text}"
        );
    }
    assert_eq!(check(r#"{"slic_hf": {}}"#, 0.5), Ok(()));
    // The loss itself is checked too.
    assert!(check(r#"{"dpo": {"beta": 0}}"#, 0.5).is_err());
    let one = || vector(&[-1.0], &Device::flex(), DType::F32);
    let logps = PairLogps::new(one(), one()).with_reference(one(), one());
    let loss = Anchored {
        loss: PreferenceLoss::default(),
        alpha: 1.0,
    };
    let text = loss.forward(&logps).unwrap_err().to_string();
    assert!(text.starts_with("dpo averages over tokens"), "{text}");
}

#[test]
fn unknown_keys_and_names() {
    for json in [
        r#"{"dpo": {"gamma": 1}}"#,
        r#"{"dppo": {}}"#,
        r#"{"ipo": {"normalization": "max"}}"#,
    ] {
        assert!(
            serde_json::from_str::<PreferenceLoss>(json).is_err(),
            "{json}"
        );
    }
    let message = "dpoo".parse::<PreferenceLoss>().unwrap_err().to_string();
    assert!(
        message.contains("\"dpoo\"") && message.contains("dpo, rdpo, ipo"),
        "{message}"
    );
    for loss in PreferenceLoss::all() {
        assert_eq!(
            DirectLoss::name(&loss).parse::<PreferenceLoss>().unwrap(),
            loss
        );
        let json = serde_json::to_string(&loss).unwrap();
        assert!(
            json.starts_with(&format!("{{\"{}\"", DirectLoss::name(&loss))),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<PreferenceLoss>(&json).unwrap(), loss);
    }
}

#[test]
fn arguments_that_do_not_fit() {
    let v = |values: &[f64]| vector(values, &Device::flex(), DType::F32);
    let message = |name: &str, logps: &PairLogps| {
        let loss: PreferenceLoss = name.parse().unwrap();
        DirectLoss::forward(&loss, logps).unwrap_err().to_string()
    };
    let bare = PairLogps::new(v(&[-1.0, -2.0]), v(&[-3.0, -4.0]));
    assert_eq!(
        message("dpo", &bare),
        "dpo compares with a reference model: give the reference's log-probabilities"
    );
    assert!(message("simpo", &bare).contains("give the token counts"));
    let short = PairLogps::new(v(&[-1.0, -2.0]), v(&[-3.0]));
    assert_eq!(
        message("simpo", &short),
        "simpo: policy_rejected_logps has 1 values, but the batch has 2"
    );
    let short = bare.clone().with_reference(v(&[-1.0]), v(&[-1.0, -1.0]));
    assert!(message("nca", &short).contains("nca: reference_chosen_logps has 1"));
    let empty = bare.clone().with_tokens(vec![3, 0], vec![1, 1]);
    assert!(message("orpo", &empty).contains("chosen_tokens[1] is 0"));
    let short = bare.with_tokens(vec![3, 1], vec![1]);
    assert!(message("orpo", &short).contains("rejected_tokens has 1"));
    let unpaired = UnpairedLogps::new(v(&[-1.0, -2.0]), v(&[-1.0, -2.0]), vec![true]);
    let kto = collimate_losses::Kto::default();
    assert!(
        kto.forward(&unpaired)
            .unwrap_err()
            .to_string()
            .contains("kto: desirable has 1")
    );
    assert!(collimate_losses::Kto { beta: 0.0, ..kto }.check().is_err());
    assert!(
        collimate_losses::Kto {
            undesirable_weight: -1.0,
            ..kto
        }
        .check()
        .is_err()
    );
}
