//! Bytes of values in the types that are written.

use half::{bf16, f16};

use super::kind::TensorType;

/// Appends the values as `kind`. The number of values is a multiple of the block.
///
/// Refuses values that are not finite, or that the type cannot hold, and types that are only read.
pub(crate) fn encode(kind: TensorType, values: &[f32], bytes: &mut Vec<u8>) -> Result<(), Refused> {
    let unfit = |value: f32| Refused::Value(value);
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(unfit(*value));
    }
    match kind {
        TensorType::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorType::F16 => {
            for value in values {
                let half = f16::from_f32(*value);
                if !half.is_finite() {
                    return Err(unfit(*value));
                }
                bytes.extend(half.to_le_bytes());
            }
        }
        TensorType::Bf16 => {
            for value in values {
                let half = bf16::from_f32(*value);
                if !half.is_finite() {
                    return Err(unfit(*value));
                }
                bytes.extend(half.to_le_bytes());
            }
        }
        TensorType::Q8_0 => {
            for block in values.chunks(kind.block_values()) {
                q8_0(block, bytes).map_err(unfit)?;
            }
        }
        _ => return Err(Refused::Type),
    }
    Ok(())
}

/// Reason why values are not written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refused {
    /// The type is only read.
    Type,
    /// The type cannot hold the value.
    Value(f32),
}

/// Writes a scale of half precision and 32 integers of 8 bits. Halves are rounded away from zero.
fn q8_0(block: &[f32], bytes: &mut Vec<u8>) -> Result<(), f32> {
    let largest = block
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    // The inverse of zero, and of numbers near zero, is infinite. Half precision holds 0 for them.
    let inverse = Some(1.0 / scale).filter(|inverse| inverse.is_finite());
    let inverse = inverse.unwrap_or(0.0);
    let half = f16::from_f32(scale);
    if !half.is_finite() {
        return Err(largest);
    }
    bytes.extend(half.to_le_bytes());
    for value in block {
        bytes.push(((value * inverse).round() as i8).cast_unsigned());
    }
    Ok(())
}
