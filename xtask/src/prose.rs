//! Prose of doc comments: a summary line begins with its subject, and a few idioms are refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::steps::Workspace;

/// Words that begin a clause without a subject, such as "Which rows are read".
const OPENINGS: [&str; 7] = ["What", "Whether", "Which", "Its", "Of", "Those", "Where"];

/// Idioms of another language, each with the plain words to use.
const IDIOMS: [(&str, &str); 7] = [
    ("anew", "again"),
    ("somebody", "a name for the person, or the passive voice"),
    ("nobody", "a sentence with another subject"),
    ("goes on", "continues"),
    ("is no file", "is not a file"),
    ("stands twice", "occurs twice"),
    ("a wish to", "a request to"),
];

/// One doc comment: neighbouring lines of the same kind.
#[derive(Debug, Default)]
struct Comment<'a> {
    /// Line number and text of each line, without its slashes; lines of code blocks are left out.
    lines: Vec<(usize, &'a str)>,
}

/// Reads every tracked Rust file and lists the doc comments that are hard to read.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let mut problems = Vec::new();
    let files = tracked(workspace.root(), "rs")?;
    for file in &files {
        let path = workspace.root().join(file);
        let text = match fs::read_to_string(&path) {
            // Git lists a deleted file until the deletion is staged.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            text => text.map_err(|error| format!("{file}: {error}"))?,
        };
        problems.extend(
            problems_in(&text)
                .into_iter()
                .map(|(line, why)| format!("{file}:{line}: {why}")),
        );
    }
    if problems.is_empty() {
        println!("{} files", files.len());
        Ok(())
    } else {
        let count = problems.len();
        Err(format!("{count} in doc comments\n{}", problems.join("\n")))
    }
}

/// Returns the paths of the files with an ending that git tracks, relative to the root.
pub(crate) fn tracked(root: &Path, ending: &str) -> Result<Vec<String>, String> {
    let line = format!("git ls-files -z -- *.{ending}");
    let output = Command::new("git")
        .current_dir(root)
        .args(line.split(' ').skip(1))
        .output()
        .map_err(|error| format!("{line}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{line}: {}", stderr.trim()));
    }
    let list =
        String::from_utf8(output.stdout).map_err(|error| format!("a path of git: {error}"))?;
    let files = list.split_terminator('\0').map(str::to_owned);
    Ok(files.collect())
}

/// Returns line number and description of each problem in a source file, in the order of the file.
fn problems_in(source: &str) -> Vec<(usize, String)> {
    let mut problems: Vec<(usize, String)> = comments(source)
        .iter()
        .flat_map(|comment| comment.opening().into_iter().chain(comment.idioms()))
        .collect();
    problems.sort();
    problems
}

/// Returns the doc comments of a source file. A string with `///` at the start of a line counts too.
fn comments(source: &str) -> Vec<Comment<'_>> {
    let mut comments: Vec<Comment<'_>> = Vec::new();
    let mut last = None;
    let mut code = false;
    for (index, line) in source.lines().enumerate() {
        let kind = doc_text(line);
        if let Some((slashes, text)) = kind {
            if last != Some(slashes) {
                comments.push(Comment::default());
                code = false;
            }
            let fence = text.trim_start().starts_with("```");
            if !code
                && !fence
                && let Some(comment) = comments.last_mut()
            {
                comment.lines.push((index + 1, text));
            }
            code ^= fence;
        }
        last = kind.map(|(slashes, _)| slashes);
    }
    comments
}

/// Returns the slashes and the text of a line of a doc comment.
fn doc_text(line: &str) -> Option<(&'static str, &str)> {
    let line = line.trim_start();
    let (slashes, text) = ["///", "//!"]
        .into_iter()
        .find_map(|slashes| Some((slashes, line.strip_prefix(slashes)?)))?;
    // Rust reads four slashes as a plain comment.
    (!(slashes == "///" && text.starts_with('/'))).then_some((slashes, text))
}

impl Comment<'_> {
    /// Reports the first line with text if it begins with a word that leaves the subject out.
    fn opening(&self) -> Option<(usize, String)> {
        let (line, text) = self
            .lines
            .iter()
            .find(|(_, text)| !text.trim().is_empty())?;
        let text = text.trim_start_matches(|c: char| c.is_whitespace() || "*_".contains(c));
        let word = text.split(|c: char| !c.is_alphanumeric()).next()?;
        OPENINGS.contains(&word).then(|| {
            let why = format!("the summary starts with {word:?}: begin with subject and verb");
            (*line, why)
        })
    }

    /// Reports every idiom, at the line on which it begins; line ends count as spaces.
    fn idioms(&self) -> Vec<(usize, String)> {
        let words: Vec<(usize, String)> = self
            .lines
            .iter()
            .flat_map(|(line, text)| words(text).map(|word| (*line, word)))
            .collect();
        IDIOMS
            .iter()
            .flat_map(|(idiom, better)| {
                let parts: Vec<&str> = idiom.split(' ').collect();
                let found = words.windows(parts.len()).filter(move |window| {
                    window
                        .iter()
                        .map(|(_, word)| word.as_str())
                        .eq(parts.clone())
                });
                found.map(move |window| (window[0].0, format!("{idiom:?}: write {better:?}")))
            })
            .collect()
    }
}

/// Returns the words of a line in lower case. The end of a sentence is a word by itself, so that no
/// idiom spans it.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().flat_map(|word| {
        let end = word.ends_with(['.', ',', ';', ':', ')']);
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        [
            word.to_lowercase(),
            if end { ".".to_owned() } else { String::new() },
        ]
        .into_iter()
        .filter(|word| !word.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &str) -> Vec<usize> {
        problems_in(source)
            .into_iter()
            .map(|(line, _)| line)
            .collect()
    }

    #[test]
    fn plain_comments_pass() {
        for good in [
            "//! Readers of pairs.\n\n/// Returns the rows that occur twice.\nfn f() {}",
            "/// Number of rows.\n///\n/// What is left out is counted.",
            "/// Reads a row. A row is read\n/// Which or What is fine here.",
            "/// Iteration of the loop: Its, Of and Those do not begin the line.",
            "/// Offsets, Whichever, Whatever: other words.",
            "/// Offset of the row.",
            "/// It's fine to begin like this.",
            "// What a plain comment says is not read, nor is anew.\nlet a = 1; // goes on",
            "//// What is a plain comment, too.",
            "let text = \"/// What\";",
            "/// The run goes.\n/// On Monday it stops.",
            "/// The run goes, on the whole, well: renewed, `anew_key`, nobody_knows.",
            "/// Merges rows.\n///\n/// ```text\n/// What goes on anew\n/// ```\n/// Done.",
            "",
        ] {
            assert_eq!(problems_in(good), [], "{good}");
        }
    }

    #[test]
    fn a_summary_that_starts_without_its_subject() {
        for word in OPENINGS {
            for bad in [
                format!("fn f() {{}}\n/// {word} is read."),
                format!("\n//! {word} is read."),
                format!("\n    ///{word}: read."),
                format!("///\n/// **{word}** is read."),
                format!("/// Reads.\n//! {word} is read."),
            ] {
                assert_eq!(lines(&bad), [2], "{bad}");
            }
        }
        let after_code = "/// ```\n/// f();\n/// ```\nfn f() {}\n/// Of f.";
        assert_eq!(lines(after_code), [5]);
    }

    #[test]
    fn each_idiom_on_one_line_or_two() {
        for (idiom, better) in IDIOMS {
            let bad = format!("/// Reads a row.\n///\n/// Then {idiom} the end.\nfn f() {{}}");
            let expected = (3, format!("{idiom:?}: write {better:?}"));
            assert_eq!(problems_in(&bad), [expected], "{bad}");
            let upper = format!("//! Reads ({}).", idiom.to_uppercase());
            assert_eq!(lines(&upper), [1], "{upper}");
            let wrapped = format!("/// Then {}.", idiom.replace(' ', "\n    /// "));
            assert_eq!(lines(&wrapped), [1], "{wrapped}");
        }
    }

    #[test]
    fn every_problem_is_listed_in_the_order_of_the_file() {
        let source =
            "/// Which row goes on.\nfn f() {}\n\n/// Reads anew, for\n/// nobody.\nfn g() {}";
        assert_eq!(lines(source), [1, 1, 4, 5]);
    }
}
