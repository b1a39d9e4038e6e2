//! Values of Parquet columns as JSON.

use parquet::data_type::{AsBytes, ByteArray, FixedLenByteArray, Int96};
use serde_json::{Value, json};

/// Form of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The type of the values says it all.
    Plain,
    Unsigned,
    /// A whole number that counts units of 10 to the power of minus the scale.
    Decimal(i32),
    /// A floating-point number in two bytes.
    Half,
    Text,
}

/// A value of a Parquet column.
pub(super) trait FromParquet {
    /// Returns the value as JSON, or `None` for a text that is not UTF-8.
    fn to_json(&self, form: &Form) -> Option<Value>;
}

impl FromParquet for bool {
    fn to_json(&self, _: &Form) -> Option<Value> {
        Some((*self).into())
    }
}

impl FromParquet for i32 {
    fn to_json(&self, form: &Form) -> Option<Value> {
        Some(match form {
            Form::Unsigned => self.cast_unsigned().into(),
            Form::Decimal(scale) => decimal(i128::from(*self), *scale),
            _ => (*self).into(),
        })
    }
}

impl FromParquet for i64 {
    fn to_json(&self, form: &Form) -> Option<Value> {
        Some(match form {
            Form::Unsigned => self.cast_unsigned().into(),
            Form::Decimal(scale) => decimal(i128::from(*self), *scale),
            _ => (*self).into(),
        })
    }
}

impl FromParquet for Int96 {
    /// Returns the point of time in milliseconds since 1970.
    fn to_json(&self, _: &Form) -> Option<Value> {
        Some(self.to_millis().into())
    }
}

impl FromParquet for f32 {
    fn to_json(&self, _: &Form) -> Option<Value> {
        Some(float(f64::from(*self)))
    }
}

impl FromParquet for f64 {
    fn to_json(&self, _: &Form) -> Option<Value> {
        Some(float(*self))
    }
}

impl FromParquet for ByteArray {
    fn to_json(&self, form: &Form) -> Option<Value> {
        // A value that was never set has no bytes.
        bytes(self.as_bytes(), form)
    }
}

impl FromParquet for FixedLenByteArray {
    fn to_json(&self, form: &Form) -> Option<Value> {
        bytes(self.as_bytes(), form)
    }
}

fn bytes(bytes: &[u8], form: &Form) -> Option<Value> {
    match form {
        Form::Decimal(scale) => {
            Some(whole(bytes).map_or_else(|| length(bytes), |n| decimal(n, *scale)))
        }
        Form::Half => match bytes {
            [low, high] => Some(float(half(u16::from_le_bytes([*low, *high])))),
            _ => Some(length(bytes)),
        },
        Form::Text => Some(std::str::from_utf8(bytes).ok()?.into()),
        // Some writers do not mark their texts. Other bytes, such as pictures, are no text.
        _ => Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => length(bytes),
        }),
    }
}

/// Describes bytes that JSON cannot hold. No reader takes this for a text, a list or a number.
fn length(bytes: &[u8]) -> Value {
    json!({ "bytes": bytes.len() })
}

/// Returns a number. JSON has no NaN, which libraries write for a missing value, and no infinity.
fn float(value: f64) -> Value {
    match value {
        value if value.is_nan() => Value::Null,
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        value => value.into(),
    }
}

fn decimal(value: i128, scale: i32) -> Value {
    if scale == 0
        && let Ok(value) = i64::try_from(value)
    {
        return value.into();
    }
    let number = format!("{value}e{}", -i64::from(scale)).parse();
    number.map_or(Value::Null, float)
}

/// Returns the number in two's complement, the first byte the largest. Returns `None` for more than
/// 16 bytes.
fn whole(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > 16 {
        return None;
    }
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let start = if negative { -1 } else { 0 };
    Some(
        bytes
            .iter()
            .fold(start, |n: i128, byte| n << 8 | i128::from(*byte)),
    )
}

fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}
