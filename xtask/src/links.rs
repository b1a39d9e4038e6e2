//! Links of the documentation: relative links, anchors and the list of pages.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use markdown::mdast::Node;
use markdown::{ParseOptions, to_mdast};

use crate::prose::tracked;
use crate::steps::Workspace;

/// The list of pages of the book, and the folder that it lists.
const SUMMARY: &str = "docs/SUMMARY.md";

pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let files = tracked(workspace.root(), "md")?;
    let mut pages = BTreeMap::new();
    for file in files {
        let path = workspace.root().join(&file);
        // A file that is deleted, and not committed yet, is still tracked.
        if path.exists() {
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
            pages.insert(PathBuf::from(file), Page::parse(&text)?);
        }
    }
    let exists = |path: &Path| workspace.root().join(path).exists();
    let mut problems = problems(&pages, &exists);
    problems.extend(unlisted(&pages));
    if problems.is_empty() {
        let links: usize = pages.values().map(|page| page.links.len()).sum();
        println!("{links} links in {} Markdown files", pages.len());
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// Links and headings of a Markdown file.
#[derive(Debug, Default)]
struct Page {
    /// Line and target of each link and image.
    links: Vec<(usize, String)>,
    /// Anchors of the headings.
    anchors: BTreeSet<String>,
}

impl Page {
    fn parse(text: &str) -> Result<Self, String> {
        let tree = to_mdast(text, &ParseOptions::gfm()).map_err(|error| error.to_string())?;
        let mut page = Self::default();
        page.collect(&tree, &mut HashMap::new());
        Ok(page)
    }

    /// Adds the links and headings of a node; `used` counts the headings of each name.
    fn collect(&mut self, node: &Node, used: &mut HashMap<String, usize>) {
        let target = match node {
            Node::Link(link) => Some(&link.url),
            Node::Image(image) => Some(&image.url),
            Node::Definition(definition) => Some(&definition.url),
            _ => None,
        };
        if let Some(target) = target {
            let line = node.position().map_or(0, |position| position.start.line);
            self.links.push((line, target.clone()));
        }
        if let Node::Heading(_) = node {
            let name = slug(&node.to_string());
            let count = used.entry(name.clone()).or_default();
            let anchor = match *count {
                0 => name,
                more => format!("{name}-{more}"),
            };
            *count += 1;
            self.anchors.insert(anchor);
        }
        for child in node.children().into_iter().flatten() {
            self.collect(child, used);
        }
    }
}

/// Returns the anchor of a heading as GitHub makes it: lower case, without punctuation, with a hyphen for
/// each space.
fn slug(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Returns a line for each relative link whose file or anchor does not exist.
fn problems(pages: &BTreeMap<PathBuf, Page>, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, page) in pages {
        for (line, link) in &page.links {
            if let Some(why) = fault(path, link, pages, exists) {
                problems.push(format!("{}:{line}: {link}: {why}", path.display()));
            }
        }
    }
    problems
}

/// Returns why a link of the file `from` is broken.
fn fault(
    from: &Path,
    link: &str,
    pages: &BTreeMap<PathBuf, Page>,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<String> {
    if has_scheme(link) || (is_crate_readme(from) && is_rust_path(link)) {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if file.starts_with('/') {
        return Some("an absolute path: write it relative to the file".to_owned());
    }
    let target = if file.is_empty() {
        from.to_owned()
    } else {
        match resolve(from, file) {
            Some(target) => target,
            None => return Some("a path outside the repository".to_owned()),
        }
    };
    if !exists(&target) {
        return Some(format!("there is no {}", target.display()));
    }
    let page = pages.get(&target)?;
    let broken = !anchor.is_empty() && !page.anchors.contains(anchor);
    broken.then(|| format!("{} has no heading #{anchor}", target.display()))
}

/// True for addresses such as `https://…` and `mailto:…`.
fn has_scheme(link: &str) -> bool {
    let Some((scheme, _)) = link.split_once(':') else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        && !link[scheme.len()..].starts_with("::")
}

/// True for a README that is the documentation of a crate: rustdoc checks its links to items.
fn is_crate_readme(path: &Path) -> bool {
    path.starts_with("crates") && path.file_name().is_some_and(|name| name == "README.md")
}

/// True for a path of a Rust item, such as `collimate_core::Scorer`.
fn is_rust_path(link: &str) -> bool {
    link.split("::")
        .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Returns the path of a link relative to the root, or nothing if the path leaves the root.
fn resolve(from: &Path, link: &str) -> Option<PathBuf> {
    let mut path = from.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => path.pop().then_some(())?,
            _ => {}
        }
    }
    Some(path)
}

/// Returns a line for each page of the book that its list of pages does not name exactly once.
fn unlisted(pages: &BTreeMap<PathBuf, Page>) -> Vec<String> {
    let summary = Path::new(SUMMARY);
    let Some(list) = pages.get(summary) else {
        return vec![format!("there is no {SUMMARY}")];
    };
    let listed = list.links.iter().filter_map(|(_, link)| {
        let file = link.split('#').next().unwrap_or_default();
        (!has_scheme(link))
            .then(|| resolve(summary, file))
            .flatten()
    });
    let mut counts: HashMap<PathBuf, usize> = HashMap::new();
    for page in listed {
        *counts.entry(page).or_default() += 1;
    }
    let folder = summary.parent().unwrap_or(Path::new(""));
    pages
        .keys()
        .filter(|page| page.starts_with(folder) && *page != summary)
        .filter_map(|page| {
            let count = counts.get(page).copied().unwrap_or_default();
            let page = page.display();
            (count != 1).then(|| format!("{SUMMARY} names {page} {count} times, not once"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(texts: &[(&str, &str)]) -> BTreeMap<PathBuf, Page> {
        let parsed = |(path, text): &(&str, &str)| (path.into(), Page::parse(text).unwrap());
        texts.iter().map(parsed).collect()
    }

    /// The faults of pages beside a file `docs/data.jsonl`.
    fn faults(texts: &[(&str, &str)]) -> Vec<String> {
        let pages = pages(texts);
        let exists = |path: &Path| pages.contains_key(path) || path == Path::new("docs/data.jsonl");
        problems(&pages, &exists)
    }

    #[test]
    fn good_links_are_found() {
        let guide = "# Guide\n\nSee [the data](data.jsonl), [above](#guide), [top](../README.md#a-b-c_d) and \
                     [far](https://example.org/x#y).\n\n## Results: *SER*, `x`\n";
        let readme =
            "# A b-`c_d`!\n\n[one](docs/guide.md#results-ser-x)\n\n[two]\n\n[two]: docs/guide.md\n";
        assert!(faults(&[("docs/guide.md", guide), ("README.md", readme)]).is_empty());
    }

    #[test]
    fn broken_links_are_named_with_file_and_line() {
        let text =
            "# A\n\n[x](gone.md)\n[y](#b)\n\n![z](img/z.svg) [w](/README.md) [v](../../v.md)\n";
        let found = faults(&[("docs/a.md", text)]);
        let expected = [
            "docs/a.md:3: gone.md: there is no docs/gone.md",
            "docs/a.md:4: #b: docs/a.md has no heading #b",
            "docs/a.md:6: img/z.svg: there is no docs/img/z.svg",
            "docs/a.md:6: /README.md: an absolute path: write it relative to the file",
            "docs/a.md:6: ../../v.md: a path outside the repository",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn equal_headings_are_numbered() {
        let text = "# A\n\n## B\n\n## B\n\n[1](#b) [2](#b-1) [3](#b-2)\n";
        let found = faults(&[("a.md", text)]);
        assert_eq!(found, ["a.md:7: #b-2: a.md has no heading #b-2"]);
    }

    #[test]
    fn code_is_no_link_and_items_of_crates_are_left_to_rustdoc() {
        let text =
            "`[x](gone.md)`\n\n```text\n[x](gone.md)\n```\n\n[Scorer](collimate_core::Scorer)\n";
        assert!(faults(&[("crates/x/README.md", text)]).is_empty());
        assert_eq!(faults(&[("docs/x.md", text)]).len(), 1);
    }

    #[test]
    fn each_page_is_listed_once() {
        let list = "# Summary\n\n- [A](a.md)\n- [B](how/b.md)\n- [B again](how/b.md#x)\n";
        let texts = [
            ("docs/SUMMARY.md", list),
            ("docs/a.md", ""),
            ("docs/how/b.md", ""),
            ("docs/c.md", ""),
            ("README.md", ""),
        ];
        let expected = [
            "docs/SUMMARY.md names docs/c.md 0 times, not once",
            "docs/SUMMARY.md names docs/how/b.md 2 times, not once",
        ];
        assert_eq!(unlisted(&pages(&texts)), expected);
    }
}
