//! Names of repositories.

use std::path::{Component, Path};

use collimate_hub::{Hub, HubError, RepoKind, RepoName, Wanted};
use proptest::prelude::*;

fn parse(text: &str) -> Result<RepoName, HubError> {
    RepoName::parse(RepoKind::Model, text)
}

#[test]
fn names_are_those_of_the_hub() {
    for (text, owner, name, revision) in [
        ("org/name", "org", "name", "main"),
        ("Qwen/Qwen3-0.6B@main", "Qwen", "Qwen3-0.6B", "main"),
        ("a_b/c.d@v1.0", "a_b", "c.d", "v1.0"),
        ("1/_@refs/convert/parquet", "1", "_", "refs/convert/parquet"),
        ("a/b@feature/x_y", "a", "b", "feature/x_y"),
        (
            "a/b@0123456789abcdef0123456789abcdef01234567",
            "a",
            "b",
            "0123456789abcdef0123456789abcdef01234567",
        ),
    ] {
        let parsed = parse(text).unwrap();
        let parts = (parsed.owner(), parsed.name(), parsed.revision());
        assert_eq!(parts, (Some(owner), name, revision), "{text}");
        assert_eq!(parsed.commit().is_some(), revision.len() == 40);
    }
    assert_eq!(parse("a/b@main").unwrap().to_string(), "a/b");
    assert_eq!(parse("a/b@v1").unwrap().to_string(), "a/b@v1");
    assert_eq!(
        parse("a/b").unwrap().at("v2").unwrap().to_string(),
        "a/b@v2"
    );
}

#[test]
fn other_texts_are_refused_with_a_reason() {
    let long = "a".repeat(97);
    for (text, says) in [
        ("", "owner/name"),
        ("gpt2", "owner/name"),
        ("a/b/c", "more than one slash"),
        ("/b", "the owner is empty"),
        ("a/", "the name is empty"),
        ("../b", "starts or ends"),
        ("a/..", "starts or ends"),
        ("a/.b", "starts or ends"),
        ("a-/b", "starts or ends"),
        ("a/b--c", "-- or .."),
        ("a/b..c", "-- or .."),
        ("a/b.git", ".git"),
        ("a\\b/c", "other than letters"),
        ("a/b c", "other than letters"),
        ("a/b\n", "other than letters"),
        ("a/ä", "other than letters"),
        ("C:/b", "other than letters"),
        (&format!("{long}/b"), "96"),
        ("a/b@", "unsafe"),
        ("a/b@..", "unsafe"),
        ("a/b@x/../y", "unsafe"),
        ("a/b@/etc", "unsafe"),
        ("a/b@x\\y", "unsafe"),
        ("a/b@x\0", "unsafe"),
        ("a/b@x y", "space"),
        ("a/b@x@y", "space"),
        ("a/b@xx:y", "space"),
        ("a/b@-x", "starts with -"),
        ("a/b@x..y", ".."),
        ("a/b@.x", "starts or ends with ."),
        ("a/b@x.lock", ".lock"),
        (&format!("a/b@{}", "x".repeat(256)), "255"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, HubError::Name { .. }));
        let error = error.to_string();
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains('\n') && !error.contains('\0'), "{error:?}");
    }
    assert!(parse("a/b").unwrap().at("../x").is_err());
}

#[test]
fn a_name_without_an_owner_needs_its_own_constructor() {
    let name = RepoName::without_owner(RepoKind::Model, "gpt2@v1").unwrap();
    assert_eq!(
        (name.owner(), name.name(), name.revision()),
        (None, "gpt2", "v1")
    );
    assert_eq!(name.repository(), "gpt2");
    for bad in ["", "a/b", "..", ".", "a..b", "a--b", "@main", "a@"] {
        assert!(
            RepoName::without_owner(RepoKind::Model, bad).is_err(),
            "{bad}"
        );
    }
}

fn stays_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn accepted_names_show_themselves_and_stay_inside(
        text in "[a-zA-Z0-9._/@\\\\: \u{0}\u{7f}~-]{0,24}",
        dataset: bool,
    ) {
        let kind = if dataset { RepoKind::Dataset } else { RepoKind::Model };
        for parsed in [RepoName::parse(kind, &text), RepoName::without_owner(kind, &text)] {
            let Ok(name) = parsed else { continue };
            let shown = name.to_string();
            let with_main = format!("{shown}@main");
            prop_assert!(text == shown || text == with_main);
            prop_assert!(stays_inside(Path::new(&name.repository())));
            prop_assert!(stays_inside(Path::new(name.revision())));
        }
    }

    #[test]
    fn names_of_this_form_are_accepted(
        owner in "[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}",
        name in "[A-Za-z0-9_]{1,8}(\\.[a-z0-9]{1,4}){0,2}",
        revision in "[a-z0-9_]{1,8}(/[a-z0-9]{1,4}){0,2}",
    ) {
        prop_assume!(!name.ends_with(".git"));
        let parsed = parse(&format!("{owner}/{name}@{revision}")).unwrap();
        prop_assert_eq!(parsed.owner(), Some(owner.as_str()));
        prop_assert_eq!(parsed.name(), name);
        prop_assert_eq!(parsed.revision(), revision);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A wanted path either is refused, or is looked up inside the folder of the commit.
    #[test]
    fn no_wanted_path_leaves_the_cache(wanted in "[a-z./\\\\\u{0}:]{0,16}") {
        let root = tempfile::tempdir().unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let snapshot = root.path().join("hub/models--a--b/snapshots").join(commit);
        std::fs::create_dir_all(&snapshot).unwrap();
        for outside in ["a", "b", "c.d"] {
            std::fs::write(root.path().join(outside), "secret").unwrap();
            std::fs::write(snapshot.parent().unwrap().join(outside), "secret").unwrap();
        }
        let hub = Hub::from_vars(&|_| None).unwrap().cache(root.path().join("hub"));
        let name = parse(&format!("a/b@{commit}")).unwrap();
        // The folder of the commit is empty, so nothing may be found.
        let found = hub.cached(&name, &Wanted::new().require(wanted));
        prop_assert!(!matches!(found, Ok(Some(_))));
    }
}
