//! Licences and sources of all dependencies.

use spdx::{Expression, ParseMode};

use crate::steps::Workspace;

/// The only registry that dependencies may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that ask only for a notice.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Licences allowed for one crate only, with the reason.
const EXCEPTIONS: [(&str, &str); 6] = [
    // Copyleft for their own files alone, and these files are used unchanged.
    ("buildid", "MPL-2.0"),
    ("colored", "MPL-2.0"),
    ("option-ext", "MPL-2.0"),
    // Fonts, embedded in the binaries that draw plots.
    ("epaint_default_fonts", "OFL-1.1 AND Ubuntu-font-1.0"),
    // The fuzzer's C++ runtime: permissive, and never part of a build of this project.
    ("libfuzzer-sys", "NCSA"),
    // Mozilla's list of certificate authorities: data.
    ("webpki-roots", "CDLA-Permissive-2.0"),
];

/// Crates whose manifest gives a licence file instead of an expression; each file has been read.
const FILES: [(&str, &str); 1] = [("cfg_block", "Apache-2.0")];

pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let metadata = workspace.dependencies()?;
    let mut problems = Vec::new();
    let mut count = 0;
    for package in &metadata.packages {
        let Some(source) = &package.source else {
            if !metadata.workspace_members.contains(&package.id) {
                problems.push(format!("{} is a path outside the workspace", package.name));
            }
            continue;
        };
        count += 1;
        let name = package.name.as_str();
        if source.repr != REGISTRY {
            problems.push(format!(
                "{name} comes from {source}: only crates.io is allowed"
            ));
        }
        if let Err(why) = judge(name, package.license.as_deref()) {
            problems.push(format!("{name} {}: {why}", package.version));
        }
    }
    if problems.is_empty() {
        println!("{count} dependencies");
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// Returns an error for a crate whose licence expression is not allowed. The old form
/// `MIT/Apache-2.0` means OR.
fn judge(name: &str, expression: Option<&str>) -> Result<(), String> {
    let read = |list: &[(&str, &'static str)]| {
        let found = list.iter().find(|(known, _)| *known == name);
        found.map(|&(_, licence)| licence)
    };
    let expression = match (expression, read(&FILES)) {
        (Some(expression), _) => expression,
        (None, Some(licence)) => licence,
        (None, None) => return Err("no licence expression: read its licence file".to_owned()),
    };
    let extra: Vec<&str> =
        read(&EXCEPTIONS).map_or(Vec::new(), |list| list.split(" AND ").collect());
    let allowed = |licence: &str| ALLOWED.contains(&licence) || extra.contains(&licence);
    match Expression::parse_mode(expression, ParseMode::LAX) {
        Ok(parsed) if parsed.evaluate(|licence| allowed(&licence.to_string())) => Ok(()),
        Ok(_) => Err(format!("licence {expression:?} is not on the list")),
        Err(error) => Err(format!("licence {expression:?}: {}", error.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "MIT / Apache-2.0",
            "GPL-3.0 OR MIT",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-2.0 AND MIT OR ISC",
        ] {
            assert_eq!(judge("x", Some(good)), Ok(()), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND NCSA",
            "MIT OR",
            "MIT Apache-2.0",
            "(MIT",
            "GPL-2.0 WITH Classpath-exception-2.0",
            "ISC AND (GPL-2.0 OR MPL-2.0)",
            "",
        ] {
            assert!(judge("x", Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn exceptions_hold_for_their_crate_alone() {
        assert!(judge("colored", Some("MPL-2.0")).is_ok());
        assert!(judge("coloured", Some("MPL-2.0")).is_err());
        let fonts = Some("(MIT OR Apache-2.0) AND OFL-1.1 AND Ubuntu-font-1.0");
        assert!(judge("epaint_default_fonts", fonts).is_ok());
        assert!(judge("cfg_block", None).is_ok());
        assert!(judge("cfg_blocks", None).is_err());
    }
}
