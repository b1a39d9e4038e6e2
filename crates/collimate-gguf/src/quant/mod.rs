//! Types of tensors, and the conversion of their blocks to and from values.

mod decode;
mod encode;
mod kind;

pub(crate) use decode::decoder;
pub(crate) use encode::{Refused, encode};
pub(crate) use kind::READ;
pub use kind::TensorType;
