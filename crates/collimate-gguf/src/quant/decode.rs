//! Values of quantised blocks. A block holds a scale, and often a minimum, for integers of a few
//! bits. Every product and sum is rounded to 32 bits in the order of llama.cpp's reference code, so
//! that the values agree bit for bit.

use half::{bf16, f16};

use super::kind::TensorType;

type Decode = fn(&[u8], &mut [f32]);

/// Returns the function that turns one block of bytes into values, or `None` for a type that is not
/// read.
pub(crate) fn decoder(kind: TensorType) -> Option<Decode> {
    Some(match kind {
        TensorType::F32 => |block, out| out[0] = f32::from_le_bytes(first(block)),
        TensorType::F16 => |block, out| out[0] = half_at(block, 0),
        TensorType::Bf16 => |block, out| out[0] = bf16::from_le_bytes(first(block)).to_f32(),
        TensorType::F64 => |block, out| out[0] = f64::from_le_bytes(first(block)) as f32,
        TensorType::Q4_0 => |block, out| four(block, out, |d, q| d * (f32::from(q) - 8.0)),
        TensorType::Q4_1 => |block, out| {
            let minimum = half_at(block, 2);
            four(block, out, |d, q| d * f32::from(q) + minimum);
        },
        TensorType::Q5_0 => |block, out| five(block, 2, out, |d, q| d * (f32::from(q) - 16.0)),
        TensorType::Q5_1 => |block, out| {
            let minimum = half_at(block, 2);
            five(block, 4, out, |d, q| d * f32::from(q) + minimum);
        },
        TensorType::Q8_0 => q8_0,
        TensorType::Q2K => q2_k,
        TensorType::Q3K => q3_k,
        TensorType::Q4K => q4_k,
        TensorType::Q5K => q5_k,
        TensorType::Q6K => q6_k,
        _ => return None,
    })
}

/// Returns the first bytes of a block.
fn first<const N: usize>(block: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| block[index])
}

/// Returns the half-precision number at a byte of a block.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Q4_0 and Q4_1: the last 16 bytes hold the lower 16 values in their low halves, and the upper 16
/// values in their high halves.
fn four(block: &[u8], out: &mut [f32], value: impl Fn(f32, u8) -> f32) {
    let scale = half_at(block, 0);
    let packed = &block[block.len() - 16..];
    for (index, byte) in packed.iter().enumerate() {
        out[index] = value(scale, byte & 15);
        out[index + 16] = value(scale, byte >> 4);
    }
}

/// Q5_0 and Q5_1: as Q4, with the fifth bits in four bytes before the halves.
fn five(block: &[u8], high_at: usize, out: &mut [f32], value: impl Fn(f32, u8) -> f32) {
    let scale = half_at(block, 0);
    let high = u32::from_le_bytes(first(&block[high_at..]));
    let bit = |index: usize| (((high >> index) & 1) as u8) << 4;
    let packed = &block[block.len() - 16..];
    for (index, byte) in packed.iter().enumerate() {
        out[index] = value(scale, (byte & 15) | bit(index));
        out[index + 16] = value(scale, (byte >> 4) | bit(index + 16));
    }
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    for (out, byte) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(byte.cast_signed()) * scale;
    }
}

/// Returns the two-bit value of Q2_K and Q3_K at an index: 128 values share 32 bytes.
fn two_bits(packed: &[u8], index: usize) -> u8 {
    let (part, rest) = (index / 128, index % 128);
    (packed[part * 32 + rest % 32] >> (rest / 32 * 2)) & 3
}

fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, packed) = (&block[..16], &block[16..80]);
    let (scale, minimum) = (half_at(block, 80), half_at(block, 82));
    for (index, out) in out.iter_mut().enumerate() {
        let group = scales[index / 16];
        let (scale, minimum) = (
            scale * f32::from(group & 15),
            minimum * f32::from(group >> 4),
        );
        *out = scale * f32::from(two_bits(packed, index)) - minimum;
    }
}

fn q3_k(block: &[u8], out: &mut [f32]) {
    let (high, packed, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for (index, out) in out.iter_mut().enumerate() {
        let group = index / 16;
        let low = (scales[group % 8] >> (group / 8 * 4)) & 15;
        let top = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
        let group_scale = f32::from(low | (top << 4)) - 32.0;
        // A set bit means that 4 is not subtracted.
        let bit = (high[index % 32] >> (index / 32)) & 1;
        let value = f32::from(two_bits(packed, index)) - f32::from((bit ^ 1) << 2);
        *out = scale * group_scale * value;
    }
}

/// Returns the scale and the minimum of 32 values of Q4_K and Q5_K: eight pairs of six bits in
/// twelve bytes.
fn six_bits(scales: &[u8], group: usize) -> (f32, f32) {
    let (scale, minimum) = match group < 4 {
        true => (scales[group] & 63, scales[group + 4] & 63),
        false => {
            let low = scales[group + 4];
            let (scale, minimum) = (scales[group - 4] >> 6, scales[group] >> 6);
            ((low & 15) | (scale << 4), (low >> 4) | (minimum << 4))
        }
    };
    (scale.into(), minimum.into())
}

/// Returns the four low bits of Q4_K and Q5_K at an index: 64 values share 32 bytes.
fn low_bits(packed: &[u8], index: usize) -> u8 {
    let (part, rest) = (index / 64, index % 64);
    (packed[part * 32 + rest % 32] >> (rest / 32 * 4)) & 15
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    let (scales, packed) = (&block[4..16], &block[16..]);
    k_values(block, scales, out, |index| low_bits(packed, index));
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (scales, high, packed) = (&block[4..16], &block[16..48], &block[48..]);
    k_values(block, scales, out, |index| {
        let bit = (high[index % 32] >> (index / 32)) & 1;
        low_bits(packed, index) | (bit << 4)
    });
}

fn k_values(block: &[u8], scales: &[u8], out: &mut [f32], integer: impl Fn(usize) -> u8) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (group_scale, group_minimum) = six_bits(scales, group);
        let (scale, minimum) = (scale * group_scale, minimum * group_minimum);
        for (index, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(integer(group * 32 + index)) - minimum;
        }
    }
}

fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (index, out) in out.iter_mut().enumerate() {
        let (part, rest) = (index / 128, index % 128);
        let four = (low[part * 64 + rest % 64] >> (rest / 64 * 4)) & 15;
        let two = (high[part * 32 + rest % 32] >> (rest / 32 * 2)) & 3;
        let group_scale = f32::from(scales[index / 16].cast_signed());
        *out = scale * group_scale * (f32::from(four | (two << 4)) - 32.0);
    }
}
