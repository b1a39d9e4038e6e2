//! Columns that hold several answers to a prompt.

use serde_json::Value;

use super::Bad;
use super::fields::Object;

/// Columns that hold a list of answers.
const LISTS: [&str; 5] = [
    "responses",
    "answers",
    "completions",
    "candidates",
    "all_generated_responses",
];

/// Names of columns that hold one of several answers, followed by a letter or a number.
const STEMS: [&str; 6] = [
    "response",
    "answer",
    "completion",
    "candidate",
    "output",
    "generation",
];

/// Columns that name the better of two answers.
const LABELS: [&str; 5] = ["label", "winner", "preferred", "preference", "choice"];

/// Words of a label that declare two answers equally good.
const TIES: [&str; 6] = ["tie", "tied", "equal", "same", "both", "neither"];

/// The columns of a row that hold its answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Columns {
    /// One column with a list of answers.
    List(&'static str),
    /// One column for each answer, in the order of their letters or numbers.
    Each(Vec<String>),
}

/// The answer that a label names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    First,
    Second,
    Tie,
}

impl Columns {
    /// Finds the columns of answers of a row. Returns `None` if the row has none.
    ///
    /// # Errors
    /// Columns of more than one kind.
    pub(super) fn of(row: &Object) -> Result<Option<Self>, Bad> {
        let lists = LISTS.into_iter().filter(|name| is_list(row, name));
        let mut found: Vec<Self> = lists.map(Self::List).collect();
        found.extend(STEMS.into_iter().flat_map(|stem| each(row, stem)));
        if found.len() > 1 {
            let names: Vec<String> = found
                .iter()
                .flat_map(Self::names)
                .map(|name| format!("`{name}`"))
                .collect();
            return Err(Bad::fields(format!(
                "answers in several columns ({}): keep the columns of one kind",
                names.join(", ")
            )));
        }
        Ok(found.pop())
    }

    /// Returns true if a row has answers of any kind.
    pub(super) fn any(row: &Object) -> bool {
        !matches!(Self::of(row), Ok(None))
    }

    /// Returns the column of an answer in a row that has no second one, such as `response_a` alone.
    pub(super) fn alone(row: &Object) -> Option<&str> {
        let given = row.iter().filter(|(_, value)| !value.is_null());
        let mut names = given.map(|(name, _)| name.as_str());
        names.find(|name| {
            let small = name.to_lowercase();
            ending(&small).is_some_and(|(stem, _)| STEMS.contains(&stem))
        })
    }

    /// Returns the names of the columns.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::List(name) => vec![(*name).to_owned()],
            Self::Each(names) => names.clone(),
        }
    }

    /// Returns the answers, each a text or a list of messages.
    ///
    /// # Errors
    /// An object has no text.
    pub(super) fn values(&self, row: &Object) -> Result<Vec<Value>, Bad> {
        let answer = |value: &Value, name: String| match value {
            Value::Object(object) => match ["text", "content", "response"]
                .iter()
                .find_map(|key| object.get(*key))
            {
                Some(text @ Value::String(_)) => Ok(text.clone()),
                _ => Err(Bad::fields(format!("`{name}` has no `text`"))),
            },
            value => Ok(value.clone()),
        };
        match self {
            Self::List(name) => {
                let list = row.get(*name).and_then(Value::as_array);
                let values = list.into_iter().flatten().enumerate();
                values
                    .map(|(i, value)| answer(value, format!("{name}[{i}]")))
                    .collect()
            }
            Self::Each(names) => names
                .iter()
                .map(|name| answer(row.get(name).unwrap_or(&Value::Null), name.clone()))
                .collect(),
        }
    }

    /// Reads the answer that the label of the row names. Returns `None` if the row has no label.
    ///
    /// # Errors
    /// There are several labels, or the label names neither answer.
    pub(super) fn label(&self, row: &Object) -> Result<Option<Side>, Bad> {
        let given = |name: &&str| row.get(*name).is_some_and(|value| !value.is_null());
        let found: Vec<&str> = LABELS.into_iter().filter(given).collect();
        let (name, names) = match (found.as_slice(), self) {
            ([], _) | (_, Self::List(_)) => return Ok(None),
            ([name], Self::Each(names)) => (*name, names),
            ([one, other, ..], _) => {
                return Err(Bad::fields(format!(
                    "labels in `{one}` and in `{other}`: keep one of them"
                )));
            }
        };
        let said = match &row[name] {
            Value::String(text) => text.trim().to_lowercase(),
            value => value.to_string(),
        };
        let sides = [Side::First, Side::Second];
        let hit = names.iter().zip(sides).find(|(column, _)| {
            let column = column.to_lowercase();
            column == said || ending(&column).is_some_and(|(_, end)| end == said)
        });
        match hit {
            Some((_, side)) => Ok(Some(side)),
            None if TIES.contains(&said.as_str()) => Ok(Some(Side::Tie)),
            None => {
                let ends = names.iter().filter_map(|name| ending(name));
                let ends: Vec<&str> = ends.map(|(_, end)| end).collect();
                Err(Bad::fields(format!(
                    "field `{name}` is {}: it must be {} or tie",
                    row[name],
                    ends.join(", ")
                )))
            }
        }
    }

    /// Returns true if a row has a column that names the better answer.
    pub(super) fn has_label(row: &Object) -> bool {
        LABELS.iter().any(|name| row.contains_key(*name))
    }

    /// Returns the name of a column that may hold a label, in small letters.
    pub(super) fn label_name(name: &str) -> Option<&'static str> {
        LABELS
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name))
    }

    /// Returns the names of the columns that may hold a label.
    pub(super) fn labels() -> &'static [&'static str] {
        &LABELS
    }
}

fn is_list(row: &Object, name: &str) -> bool {
    row.get(name).is_some_and(Value::is_array)
}

/// Returns the columns of one stem if there are two or more, such as `response_a` and `response_b`,
/// or `answer1` and `answer2`.
fn each(row: &Object, stem: &str) -> Option<Columns> {
    let mut named: Vec<(String, &String)> = row
        .iter()
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(name, _)| {
            let small = name.to_lowercase();
            let (of, end) = ending(&small)?;
            (of == stem).then(|| (end.to_owned(), name))
        })
        .collect();
    // Sort by length first, so that ten comes after nine.
    named.sort_by_key(|(end, _)| (end.len(), end.clone()));
    let same_kind = |first: &str, end: &str| {
        let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        digit(first) == digit(end)
    };
    let first = named.first()?.0.clone();
    named.retain(|(end, _)| same_kind(&first, end));
    let begins = ["a", "0", "1"].contains(&first.as_str());
    (begins && named.len() > 1)
        .then(|| Columns::Each(named.into_iter().map(|(_, name)| name.clone()).collect()))
}

/// Splits the name of a column into the stem and the letter or number after it.
fn ending(name: &str) -> Option<(&str, &str)> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let at = match digits {
        0 => name.rfind('_')? + 1,
        digits => name.len() - digits,
    };
    let (stem, end) = name.split_at(at);
    let letter = end.len() == 1 && end.bytes().all(|b| b.is_ascii_alphabetic());
    (digits > 0 || letter).then(|| (stem.trim_end_matches('_'), end))
}
