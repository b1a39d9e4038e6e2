//! Each rule scores the texts that it is meant to prefer highest.

use collimate_cli::rules::Rule;

#[test]
fn rules_want_what_they_say() {
    let happy = "Tom was happy. He smiled and had fun with his friend.";
    let sad = "Tom was sad. He cried and sat under the old tree.";
    assert_eq!(Rule::Happy.score(happy), 0.5);
    assert_eq!(Rule::Happy.score(sad), 0.0);
    let spoken = "\"Come here and look,\" said Tom.";
    assert!((Rule::Dialogue.score(spoken) - 1.0).abs() < 1e-6);
    assert_eq!(Rule::Dialogue.score("Tom said \"come here"), 0.0);
    let short = "Tom ran very fast. Mia ran home too.";
    assert!((Rule::Short.score(short) - 1.0).abs() < 1e-6);
    assert!(Rule::Short.score(sad) > Rule::Short.score(&sad.replace('.', "")));
}

#[test]
fn saying_it_again_earns_nothing() {
    let once = "Tom was happy and had fun with Mia.";
    let again = [once; 8].join(" ");
    for rule in [Rule::Happy, Rule::Short] {
        assert!(rule.score(&again) < 0.3 * rule.score(once), "{rule:?}");
    }
    assert_eq!(Rule::Happy.score(""), 0.0);
}
