//! The method of a run, for the card of a model: title, formula, letters and parameters.

use collimate::losses::{DirectLoss, FORMULA_SYMBOLS, PairwiseLoss, PreferenceLoss};
use collimate::ppo::Estimator;
use serde_json::{Value, json};

/// Letters of the losses over scores.
const SCORES: &str = "w is the chosen answer, l the rejected answer, s the score of an answer, σ the logistic \
                      function. m (`margin`) and c (`center_coefficient`) are options of the loss.";

/// Returns the method of a command with these options. `formula`, `parameters` and `loss` are null if
/// the method has none.
pub(super) fn of(command: &str, options: &Value) -> Value {
    match command {
        "dpo" => direct("Direct alignment", &options["align"]["loss"]),
        "sera" => direct(
            "Self-reviewed alignment (SeRA, arXiv:2410.09362)",
            &options["align"]["loss"],
        ),
        "self_rewarding" => direct(
            "Self-Rewarding language models (arXiv:2401.10020)",
            &options["recipe"]["loss"],
        ),
        "rule" => direct("Direct alignment to a rule", &options["align"]["loss"]),
        "kto" => json!({
            "title": "Kahneman-Tversky optimisation (KTO, arXiv:2402.01306) on labelled answers",
            "formula": "λ_D (1 − σ(β (r − z))) for a desirable answer,  λ_U (1 − σ(β (z − r))) for an undesirable one",
            "symbols": "r = log π − log ρ of an answer, with the policy π and the reference model ρ. z is the mean \
                        log-ratio of mismatched answers, at least 0. β, λ_D and λ_U are options.",
            "parameters": options["align"]["kto"].to_string(),
            "loss": null,
        }),
        "reward" => scores(
            "Reward model on preference pairs",
            &options["reward"]["loss"],
        ),
        "ser" => {
            let recipe = options["ser"]["recipe"].as_str().unwrap_or_default();
            let title =
                format!("Self-evolved reward learning (SER, arXiv:2411.00418), recipe `{recipe}`");
            let mut method = scores(&title, &options["ser"]["loss"]);
            if recipe == "noisy_ensemble" {
                method["formula"] = json!("−t log σ(s(w) − s(l)) − (1 − t) log σ(s(l) − s(w))");
                method["symbols"] = json!(format!(
                    "{SCORES} t is the probability of the label: 1 for a human label."
                ));
            }
            method
        }
        "ppo" => {
            let estimator = &options["policy"]["ppo"]["estimator"];
            let name = serde_json::from_value::<Estimator>(estimator.clone());
            let name = match name.as_ref().map(Estimator::name) {
                Ok("critic") => "PPO with a critic",
                Ok("rloo") => "RLOO",
                Ok("grpo") => "GRPO",
                _ => "a policy gradient",
            };
            json!({
                "title": format!("Reinforcement learning from a reward by {name}"),
                "formula": "−min(q A, clip(q, 1 − ε, 1 + ε) A) for each token",
                "symbols": "q is the ratio of the new and the old probability of a token, A the advantage, ε the clip \
                            range.",
                "parameters": estimator.to_string(),
                "loss": null,
            })
        }
        _ => json!({
            "title": "Supervised fine-tuning",
            "formula": "−log π(y_t | x, y_<t), the mean over the answers' tokens of a step",
            "symbols": "x is the prompt, y the answer, y_t a token of the answer, π the model.",
            "parameters": null,
            "loss": null,
        }),
    }
}

fn direct(title: &str, options: &Value) -> Value {
    let loss: Option<PreferenceLoss> = serde_json::from_value(options.clone()).ok();
    let Some(loss) = loss else {
        return json!({
            "title": title, "formula": null, "symbols": null, "parameters": null, "loss": null,
        });
    };
    let divergence = &options[loss.name()]["divergence"];
    let other = match divergence.is_null() || divergence == "reverse_kl" {
        true => String::new(),
        false => format!(" r is replaced by the divergence `{divergence}`."),
    };
    json!({
        "title": format!("{title} with the loss `{}`", loss.name()),
        "formula": loss.formula(),
        "symbols": format!("{FORMULA_SYMBOLS}{other}"),
        "parameters": options.to_string(),
        "loss": loss.name(),
    })
}

fn scores(title: &str, options: &Value) -> Value {
    let loss: Option<PairwiseLoss> = serde_json::from_value(options.clone()).ok();
    json!({
        "title": title,
        "formula": loss.map(|loss| loss.formula()),
        "symbols": SCORES,
        "parameters": options.to_string(),
        "loss": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_that_of_the_options() {
        let dpo = |divergence: &str| {
            let loss = json!({"dpo": {"beta": 0.2, "divergence": divergence}});
            of("dpo", &json!({"align": {"loss": loss}}))
        };
        assert_eq!(dpo("reverse_kl")["symbols"], FORMULA_SYMBOLS);
        let other = dpo("forward_kl")["symbols"].to_string();
        assert!(
            other.contains("divergence") && other.contains("forward_kl"),
            "{other}"
        );
        let hinge = json!({"reward": {"loss": {"hinge": {"margin": 2.0}}}});
        assert_eq!(of("reward", &hinge)["formula"], "max(0, m − (s(w) − s(l)))");
        for (estimator, says) in [
            (json!({"critic": {}}), "PPO with a critic"),
            (json!("rloo"), "RLOO"),
            (json!({"grpo": {"scale": true}}), "GRPO"),
        ] {
            let method = of("ppo", &json!({"policy": {"ppo": {"estimator": estimator}}}));
            let title = method["title"].as_str().unwrap().to_owned();
            assert!(title.ends_with(says), "{title}");
        }
    }
}
