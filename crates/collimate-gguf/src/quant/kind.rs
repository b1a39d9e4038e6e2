//! Types of tensors: their numbers in the file, names and block sizes.

use std::fmt;

macro_rules! kinds {
    ($($variant:ident $name:literal $code:literal $values:literal $bytes:literal,)*) => {
        /// Type of the values of a tensor in a GGUF file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum TensorType {
            $(#[doc = concat!("`", $name, "`: ", $bytes, " bytes for ", $values, " values.")] $variant,)*
        }

        impl TensorType {
            /// Returns the type with a number of the format, or `None` for an unknown number.
            pub(crate) fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Returns the number of the type in the format.
            pub(crate) fn code(self) -> u32 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// Returns the name that llama.cpp gives to the type.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns the number of values in a block.
            pub fn block_values(self) -> usize {
                match self {
                    $(Self::$variant => $values,)*
                }
            }

            /// Returns the number of bytes of a block.
            pub fn block_bytes(self) -> usize {
                match self {
                    $(Self::$variant => $bytes,)*
                }
            }
        }
    };
}

kinds! {
    F32 "F32" 0 1 4,
    F16 "F16" 1 1 2,
    Q4_0 "Q4_0" 2 32 18,
    Q4_1 "Q4_1" 3 32 20,
    Q5_0 "Q5_0" 6 32 22,
    Q5_1 "Q5_1" 7 32 24,
    Q8_0 "Q8_0" 8 32 34,
    Q8_1 "Q8_1" 9 32 40,
    Q2K "Q2_K" 10 256 84,
    Q3K "Q3_K" 11 256 110,
    Q4K "Q4_K" 12 256 144,
    Q5K "Q5_K" 13 256 176,
    Q6K "Q6_K" 14 256 210,
    Q8K "Q8_K" 15 256 292,
    Iq2Xxs "IQ2_XXS" 16 256 66,
    Iq2Xs "IQ2_XS" 17 256 74,
    Iq3Xxs "IQ3_XXS" 18 256 98,
    Iq1S "IQ1_S" 19 256 50,
    Iq4Nl "IQ4_NL" 20 32 18,
    Iq3S "IQ3_S" 21 256 110,
    Iq2S "IQ2_S" 22 256 82,
    Iq4Xs "IQ4_XS" 23 256 136,
    I8 "I8" 24 1 1,
    I16 "I16" 25 1 2,
    I32 "I32" 26 1 4,
    I64 "I64" 27 1 8,
    F64 "F64" 28 1 8,
    Iq1M "IQ1_M" 29 256 56,
    Bf16 "BF16" 30 1 2,
    Tq1_0 "TQ1_0" 34 256 54,
    Tq2_0 "TQ2_0" 35 256 66,
    Mxfp4 "MXFP4" 39 32 17,
    Nvfp4 "NVFP4" 40 64 36,
    Q1_0 "Q1_0" 41 128 18,
}

/// Names of the types that [`crate::Gguf::values`] reads.
pub(crate) const READ: &str =
    "F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K and Q6_K";

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
