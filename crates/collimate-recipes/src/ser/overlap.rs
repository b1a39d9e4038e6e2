//! Overlap of the test pairs with the training rows.

use std::collections::HashSet;

use collimate_core::{PreferencePair, Prompt};

use super::data::SerData;

/// Returns true for each test pair that is unseen. The prompt of an unseen pair does not occur in
/// the fine-tuning data, seed, pool or validation part (by which options are chosen). For a pair
/// without a prompt, neither text occurs there.
pub(crate) fn unseen(data: &SerData) -> Vec<bool> {
    let mut prompts: HashSet<&Prompt> = HashSet::new();
    let mut texts: HashSet<&str> = HashSet::new();
    let labelled = data
        .seed
        .iter()
        .chain(&data.validation)
        .map(|p| (&p.prompt, &p.chosen, &p.rejected));
    let pool = data
        .pool
        .pairs()
        .iter()
        .map(|p| (&p.prompt, &p.first, &p.second));
    let fine_tuned = data
        .fine_tuned_on
        .iter()
        .map(|e| (&e.prompt, &e.completion, &e.completion));
    for (prompt, a, b) in labelled.chain(pool).chain(fine_tuned) {
        if prompt.is_empty() {
            texts.extend([a.text.as_str(), b.text.as_str()]);
        } else {
            prompts.insert(prompt);
        }
    }
    let is_new = |pair: &PreferencePair| match pair.prompt.is_empty() {
        true => [&pair.chosen, &pair.rejected]
            .iter()
            .all(|answer| !texts.contains(answer.text.as_str())),
        false => !prompts.contains(&pair.prompt),
    };
    data.test.iter().map(is_new).collect()
}

#[cfg(test)]
mod tests {
    use super::super::data::SplitPlan;
    use super::*;
    use collimate_core::Key;
    use collimate_data::SftExample;

    #[test]
    fn shared_texts_and_prompts_are_found() {
        let pair = PreferencePair::new;
        let train = vec![pair("", "a", "b"), pair("", "c", "d"), pair("q", "x", "y")];
        let test = vec![
            pair("", "b", "new"),
            pair("", "e", "f"),
            pair("q", "u", "v"),
            pair("p", "x", "y"),
            pair("", "new", "g"),
            pair("fine-tuned", "new", "newer"),
        ];
        let validation = vec![pair("", "g", "h")];
        let key = Key::new(0, "test");
        let plan = SplitPlan {
            seed_share: 0.4,
            keep_labels: false,
            key,
        };
        let mut data = SerData::split(train, validation, test, &plan).unwrap();
        assert_eq!(unseen(&data), [false, true, false, true, false, true]);
        data.fine_tuned_on = vec![SftExample {
            prompt: "fine-tuned".into(),
            completion: "some".into(),
        }];
        assert_eq!(unseen(&data), [false, true, false, true, false, false]);
    }
}
