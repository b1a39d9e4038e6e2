//! Columns of a Parquet file as a tree, and the values of a row.

use collimate_core::Json;
use parquet::basic::{ConvertedType, LogicalType, Repetition};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::leaf::Leaf;
use crate::read::Bad;
use crate::read::further::CALLS;

/// A column with everything inside it.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A column of values, by its place among the columns of values, and the level of the group
    /// around it.
    Leaf(usize, i16),
    /// A group that may be missing. It exists from this level.
    Optional(i16, Box<Node>),
    Group(Vec<(String, Node)>),
    /// A list. It has an item from the level `exists`. An item that continues the list has the
    /// level `depth`.
    List {
        exists: i16,
        depth: i16,
        item: Box<Node>,
    },
}

/// Column of values with damaged data, and what is wrong.
pub(super) type Damage = (usize, String);

/// Levels of the group around a column, and the number of columns of values before it.
#[derive(Debug, Clone, Copy, Default)]
struct Around {
    exists: i16,
    depth: i16,
}

impl Node {
    /// Returns the columns of a file with their names.
    pub(super) fn columns(root: &Type) -> Vec<(String, Self)> {
        let mut leaves = 0;
        fields(root, Around::default(), &mut leaves)
    }

    /// Returns the place of the first column of values.
    fn first(&self) -> usize {
        match self {
            Self::Leaf(at, _) => *at,
            Self::Optional(_, inner) => inner.first(),
            Self::Group(fields) => fields.first().map_or(0, |(_, node)| node.first()),
            Self::List { item, .. } => item.first(),
        }
    }

    /// Passes the place of every column of values to `take`.
    pub(super) fn each_leaf(&self, take: &mut impl FnMut(usize)) {
        match self {
            Self::Leaf(at, _) => take(*at),
            Self::Optional(_, inner) => inner.each_leaf(take),
            Self::Group(fields) => fields.iter().for_each(|(_, node)| node.each_leaf(take)),
            Self::List { item, .. } => item.each_leaf(take),
        }
    }

    /// Returns true if a value of the column counts as a text, a list of texts or a message. `text`
    /// says which columns of values hold texts.
    pub(super) fn holds_text(&self, text: &impl Fn(usize) -> bool) -> bool {
        match self {
            Self::Leaf(at, _) => text(*at),
            Self::Optional(_, inner) => inner.holds_text(text),
            Self::List { item, .. } => item.holds_text(text),
            Self::Group(fields) => fields.iter().any(|(name, node)| {
                let said = ["content", "text", "value"].contains(&name.as_str());
                said && matches!(node, Self::Leaf(at, _) if text(*at))
            }),
        }
    }

    /// Reads the value of the current row.
    ///
    /// # Errors
    /// The columns of values contradict each other, or a page is damaged.
    pub(super) fn read(
        &self,
        leaves: &mut [Option<Leaf>],
        bad: &mut Option<Bad>,
    ) -> Result<Value, Damage> {
        self.made(leaves, bad)
    }

    fn made<M: Made>(
        &self,
        leaves: &mut [Option<Leaf>],
        bad: &mut Option<Bad>,
    ) -> Result<M, Damage> {
        let at = self.first();
        match self {
            Self::Leaf(_, around) => {
                let leaf = open(leaves, at)?;
                if leaf.defined() < *around {
                    let what = "it has no value where its group has one".to_owned();
                    return Err((at, what));
                }
                leaf.take(bad).map(M::value).map_err(|what| (at, what))
            }
            Self::Optional(exists, inner) => match open(leaves, at)?.defined() < *exists {
                true => self.pass(leaves, bad),
                false => inner.made(leaves, bad),
            },
            Self::List {
                exists,
                depth,
                item,
            } => {
                if open(leaves, at)?.defined() < *exists {
                    self.pass::<M>(leaves, bad)?;
                    return Ok(M::list(Vec::new()));
                }
                let mut items = vec![item.made(leaves, bad)?];
                while open(leaves, at)?.continues(*depth) {
                    items.push(item.made(leaves, bad)?);
                }
                Ok(M::list(items))
            }
            Self::Group(fields) => {
                let each = fields.iter().map(|(name, node)| {
                    let value = match M::ORDERED || name != CALLS {
                        true => node.made(leaves, bad)?,
                        // The order of the keys of tool calls is the order of the tokens.
                        false => M::text(node.made::<Json>(leaves, bad)?),
                    };
                    Ok((name.clone(), value))
                });
                Ok(M::object(each.collect::<Result<_, Damage>>()?))
            }
        }
    }

    /// Takes the entry that stands for a missing value or an empty list in all columns of values.
    fn pass<M: Made>(
        &self,
        leaves: &mut [Option<Leaf>],
        bad: &mut Option<Bad>,
    ) -> Result<M, Damage> {
        let mut result = Ok(());
        self.each_leaf(&mut |at| {
            if result.is_ok() {
                let taken =
                    open(leaves, at).and_then(|leaf| leaf.take(bad).map_err(|what| (at, what)));
                result = taken.and_then(|value| match value {
                    Value::Null => Ok(()),
                    _ => Err((at, "it has a value where its group has none".to_owned())),
                });
            }
        });
        result.map(|()| M::value(Value::Null))
    }
}

fn open(leaves: &mut [Option<Leaf>], at: usize) -> Result<&mut Leaf, Damage> {
    let leaf = leaves.get_mut(at).and_then(Option::as_mut);
    leaf.ok_or_else(|| (at, "it is missing".to_owned()))
}

/// A value of JSON, with or without the order of keys.
trait Made: Sized {
    /// True if objects keep the order of their keys.
    const ORDERED: bool;

    fn value(value: Value) -> Self;
    fn list(items: Vec<Self>) -> Self;
    fn object(fields: Vec<(String, Self)>) -> Self;
    /// Keeps a value as its JSON text.
    fn text(value: Json) -> Self;
}

impl Made for Value {
    const ORDERED: bool = false;

    fn value(value: Value) -> Self {
        value
    }

    fn list(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn object(fields: Vec<(String, Self)>) -> Self {
        Self::Object(Map::from_iter(fields))
    }

    fn text(value: Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Text(text) => Self::String(text),
            calls => Self::String(calls.to_string()),
        }
    }
}

impl Made for Json {
    const ORDERED: bool = true;

    fn value(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::value).collect()),
            Value::Object(map) => {
                let fields = map
                    .into_iter()
                    .map(|(name, value)| (name, Self::value(value)));
                Self::Map(fields.collect())
            }
        }
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
    }

    fn object(fields: Vec<(String, Self)>) -> Self {
        Self::Map(fields)
    }

    fn text(value: Json) -> Self {
        value
    }
}

fn fields(group: &Type, around: Around, leaves: &mut usize) -> Vec<(String, Node)> {
    let fields = group.get_fields().iter();
    fields
        .map(|field| (field.name().to_owned(), node(field, around, leaves)))
        .collect()
}

/// Makes the node of a column by its repetition.
fn node(column: &Type, around: Around, leaves: &mut usize) -> Node {
    let info = column.get_basic_info();
    // Only the root has no repetition.
    let repetition = match info.has_repetition() {
        true => info.repetition(),
        false => Repetition::REQUIRED,
    };
    match repetition {
        Repetition::REQUIRED => content(column, around, leaves),
        Repetition::OPTIONAL => {
            let exists = around.exists + 1;
            let inside = content(column, Around { exists, ..around }, leaves);
            match inside {
                // A column of values knows itself whether a value is missing.
                Node::Leaf(..) => Node::Leaf(inside.first(), around.exists),
                _ => Node::Optional(exists, Box::new(inside)),
            }
        }
        // A list that is not marked as one.
        Repetition::REPEATED => list(around, |inside| content(column, inside, leaves)),
    }
}

fn list(around: Around, item: impl FnOnce(Around) -> Node) -> Node {
    let inside = Around {
        exists: around.exists + 1,
        depth: around.depth + 1,
    };
    Node::List {
        exists: inside.exists,
        depth: inside.depth,
        item: Box::new(item(inside)),
    }
}

/// Makes the node of a column that exists.
fn content(column: &Type, around: Around, leaves: &mut usize) -> Node {
    if column.is_primitive() {
        *leaves += 1;
        return Node::Leaf(*leaves - 1, around.exists);
    }
    if let Some(items) = items(column) {
        return list(around, |inside| match element(column, items) {
            // Three levels: the list, its repeated group, the item.
            Some(element) => node(element, inside, leaves),
            // Two levels: the list, and its repeated item.
            None => content(items, inside, leaves),
        });
    }
    Node::Group(fields(column, around, leaves))
}

/// Returns the repeated column inside a group that is marked as a list or a map.
fn items(group: &Type) -> Option<&Type> {
    let info = group.get_basic_info();
    let marked = matches!(
        info.converted_type(),
        ConvertedType::LIST | ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE
    ) || matches!(
        info.logical_type_ref(),
        Some(LogicalType::List | LogicalType::Map)
    );
    match group.get_fields() {
        [only] if marked => {
            let info = only.get_basic_info();
            let repeated = info.has_repetition() && info.repetition() == Repetition::REPEATED;
            repeated.then_some(only)
        }
        _ => None,
    }
}

/// Returns the item of a list of three levels. The rules are those of the Parquet format.
fn element<'a>(list: &Type, items: &'a Type) -> Option<&'a Type> {
    if items.is_primitive() {
        return None;
    }
    let name = items.name();
    match items.get_fields() {
        [only] if name != "array" && name != format!("{}_tuple", list.name()) => Some(only),
        _ => None,
    }
}
