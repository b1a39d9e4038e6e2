//! Templates of the reports that commands write themselves.

use collimate::run::Templates;

/// Every template, by file name.
pub(crate) const TEMPLATES: Templates = Templates::new(&[
    ("card.md", include_str!("../assets/card.md")),
    ("closed_loop.md", include_str!("../assets/closed_loop.md")),
    ("eval.md", include_str!("../assets/eval.md")),
    ("overview.md", include_str!("../assets/overview.md")),
    ("sft.md", include_str!("../assets/sft.md")),
]);
