//! Metadata values and their types.

/// A metadata value of a GGUF file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// Unsigned integer of 8 bits.
    U8(u8),
    /// Signed integer of 8 bits.
    I8(i8),
    /// Unsigned integer of 16 bits.
    U16(u16),
    /// Signed integer of 16 bits.
    I16(i16),
    /// Unsigned integer of 32 bits.
    U32(u32),
    /// Signed integer of 32 bits.
    I32(i32),
    /// Floating-point number of 32 bits.
    F32(f32),
    /// Truth value.
    Bool(bool),
    /// Text.
    String(String),
    /// List of values of one type.
    Array(MetadataArray),
    /// Unsigned integer of 64 bits.
    U64(u64),
    /// Signed integer of 64 bits.
    I64(i64),
    /// Floating-point number of 64 bits.
    F64(f64),
}

/// A list of metadata values of one type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MetadataArray {
    /// Unsigned integers of 8 bits.
    U8(Vec<u8>),
    /// Signed integers of 8 bits.
    I8(Vec<i8>),
    /// Unsigned integers of 16 bits.
    U16(Vec<u16>),
    /// Signed integers of 16 bits.
    I16(Vec<i16>),
    /// Unsigned integers of 32 bits.
    U32(Vec<u32>),
    /// Signed integers of 32 bits.
    I32(Vec<i32>),
    /// Floating-point numbers of 32 bits.
    F32(Vec<f32>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    String(Vec<String>),
    /// Lists, each of values of one type.
    Array(Vec<MetadataArray>),
    /// Unsigned integers of 64 bits.
    U64(Vec<u64>),
    /// Signed integers of 64 bits.
    I64(Vec<i64>),
    /// Floating-point numbers of 64 bits.
    F64(Vec<f64>),
}

impl MetadataValue {
    /// Returns the value of an integer type, or `None` for other types and for negative integers.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::U8(value) => Some((*value).into()),
            Self::U16(value) => Some((*value).into()),
            Self::U32(value) => Some((*value).into()),
            Self::U64(value) => Some(*value),
            Self::I8(value) => (*value).try_into().ok(),
            Self::I16(value) => (*value).try_into().ok(),
            Self::I32(value) => (*value).try_into().ok(),
            Self::I64(value) => (*value).try_into().ok(),
            _ => None,
        }
    }

    /// Returns the value of a floating-point type, or `None` for other types.
    ///
    /// A number of 32 bits becomes the double that has the same shortest decimal form: the
    /// nearest 32-bit number to 1e-5 becomes 1e-5.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F32(value) => value.to_string().parse().ok(),
            Self::F64(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the truth value, or `None` for other types.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the text, or `None` for other types.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the list, or `None` for other types.
    pub fn as_array(&self) -> Option<&MetadataArray> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Returns the number that the format gives to the type.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => STRING,
            Self::Array(_) => ARRAY,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }
}

/// Number of the type of texts.
pub(crate) const STRING: u32 = 8;
/// Number of the type of lists.
pub(crate) const ARRAY: u32 = 9;

/// Returns the smallest number of bytes that a value of a type takes, or `None` for an unknown type.
pub(crate) fn least_bytes(code: u32) -> Option<u64> {
    Some(match code {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        STRING | 10..=12 => 8,
        ARRAY => 12,
        _ => return None,
    })
}

impl MetadataArray {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(list) => list.len(),
            Self::I8(list) => list.len(),
            Self::U16(list) => list.len(),
            Self::I16(list) => list.len(),
            Self::U32(list) => list.len(),
            Self::I32(list) => list.len(),
            Self::F32(list) => list.len(),
            Self::Bool(list) => list.len(),
            Self::String(list) => list.len(),
            Self::Array(list) => list.len(),
            Self::U64(list) => list.len(),
            Self::I64(list) => list.len(),
            Self::F64(list) => list.len(),
        }
    }

    /// Returns true if the list has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the texts, or `None` for other types.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::String(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the elements of an integer type, or `None` for other types and negative integers.
    pub fn to_u64s(&self) -> Option<Vec<u64>> {
        fn all<T: Copy + TryInto<u64>>(list: &[T]) -> Option<Vec<u64>> {
            list.iter().map(|value| (*value).try_into().ok()).collect()
        }
        match self {
            Self::U8(list) => all(list),
            Self::I8(list) => all(list),
            Self::U16(list) => all(list),
            Self::I16(list) => all(list),
            Self::U32(list) => all(list),
            Self::I32(list) => all(list),
            Self::U64(list) => all(list),
            Self::I64(list) => all(list),
            _ => None,
        }
    }

    /// Returns the number that the format gives to the type of the elements.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => STRING,
            Self::Array(_) => ARRAY,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }
}
