//! Models that are split into several files `NAME-00001-of-00003.gguf`.

use std::path::{Path, PathBuf};

use super::header::Header;
use crate::GgufError;

/// Key of the number of parts.
pub(crate) const COUNT: &str = "split.count";
/// Key of the number of tensors in all parts.
pub(crate) const TENSORS: &str = "split.tensors.count";
/// Key of the number of a part, from 0.
const NUMBER: &str = "split.no";
/// Greatest number of parts that the file names can express.
const MOST: u64 = 99_999;

/// Returns the paths of all parts of the model that the file at `path` belongs to, in order. A
/// model that is not split has one part.
pub(crate) fn parts(path: &Path, header: &Header) -> Result<Vec<PathBuf>, GgufError> {
    let Some(count) = header.get(COUNT) else {
        return Ok(vec![path.to_owned()]);
    };
    let count = match count.as_u64() {
        Some(0 | 1) => return Ok(vec![path.to_owned()]),
        Some(count @ 2..=MOST) => count,
        _ => return Err(GgufError::metadata(path, COUNT, "is not a number of parts")),
    };
    let number = number(path, header)?;
    let end = format!("-{:05}-of-{count:05}.gguf", number.saturating_add(1));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = name.strip_suffix(&end) else {
        let message = format!(
            "says that the file is part {} of {count}, so the name of the file must end with {end}",
            number.saturating_add(1)
        );
        return Err(GgufError::metadata(path, COUNT, message));
    };
    let mut parts = Vec::new();
    for number in 1..=count {
        let part = path.with_file_name(format!("{stem}-{number:05}-of-{count:05}.gguf"));
        if !part.is_file() {
            return Err(GgufError::MissingPart {
                path: path.to_owned(),
                part,
                count,
            });
        }
        parts.push(part);
    }
    Ok(parts)
}

/// Checks that a file is part number `index` of `count`.
pub(crate) fn check(
    path: &Path,
    header: &Header,
    index: usize,
    count: usize,
) -> Result<(), GgufError> {
    let same = header.get(COUNT).and_then(|value| value.as_u64()) == Some(count as u64);
    match same && number(path, header)? == index as u64 {
        true => Ok(()),
        false => {
            let message = format!(
                "does not say that the file is part {} of {count}",
                index + 1
            );
            Err(GgufError::metadata(path, NUMBER, message))
        }
    }
}

fn number(path: &Path, header: &Header) -> Result<u64, GgufError> {
    let number = header.get(NUMBER).and_then(|value| value.as_u64());
    number.ok_or_else(|| GgufError::metadata(path, NUMBER, "is missing or not a number of a part"))
}
