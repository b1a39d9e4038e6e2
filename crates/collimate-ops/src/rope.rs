//! Rotary positions.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::{OpsError, naive};

/// Cosines and sines of every token's position, computed once per pack and shared by all layers.
///
/// Cloning copies pointers.
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// `[tokens, rotary / 2]`, on the inner (untracked) device.
    pub(crate) cos: Tensor<2>,
    /// `[tokens, rotary / 2]`, on the inner (untracked) device.
    pub(crate) sin: Tensor<2>,
    /// Cosines, then sines, of each token: `[tokens, 2, rotary / 2]`.
    pub(crate) host: Arc<Vec<f32>>,
    pub(crate) head_dim: usize,
    /// Number of elements of a head that turn, counted from the first.
    pub(crate) rotary: usize,
}

impl RopeTable {
    /// Creates a table with angles `position · theta^(-2i / head_dim)`, computed in f64.
    ///
    /// # Errors
    /// `head_dim` is odd or zero.
    pub fn new(
        positions: &[u32],
        head_dim: usize,
        theta: f64,
        device: &Device,
    ) -> Result<Self, OpsError> {
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(OpsError::RopeWidth { head_dim });
        }
        let pairs = 0..head_dim / 2;
        let frequencies: Vec<f64> = pairs
            .map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64))
            .collect();
        Self::with_frequencies(positions, &frequencies, 1.0, device)
    }

    /// Creates a table with angles `position · frequencies[i]` for the pairs of a head, computed in
    /// f64. Cosines and sines are multiplied by `scale`, so each rotated vector is too.
    ///
    /// # Errors
    /// There are no frequencies, so the head would have size zero.
    ///
    /// # Examples
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use collimate_ops::{RopeTable, rope};
    ///
    /// let device = Device::flex();
    /// let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
    /// // A frequency of zero turns nothing.
    /// let table = RopeTable::with_frequencies(&[7], &[0.0], 1.5, &device)?;
    /// assert_eq!(rope(x, &table).into_data().to_vec::<f32>().unwrap(), [1.5, 3.0]);
    /// # Ok::<(), collimate_ops::OpsError>(())
    /// ```
    pub fn with_frequencies(
        positions: &[u32],
        frequencies: &[f64],
        scale: f64,
        device: &Device,
    ) -> Result<Self, OpsError> {
        let half = frequencies.len();
        let head_dim = 2 * half;
        if half == 0 {
            return Err(OpsError::RopeWidth { head_dim });
        }
        let mut cos = Vec::with_capacity(positions.len() * half);
        let mut sin = Vec::with_capacity(positions.len() * half);
        let mut host = Vec::with_capacity(positions.len() * head_dim);
        for &position in positions {
            let row = cos.len();
            for frequency in frequencies {
                let angle = f64::from(position) * frequency;
                cos.push((scale * angle.cos()) as f32);
                sin.push((scale * angle.sin()) as f32);
            }
            host.extend_from_slice(&cos[row..]);
            host.extend_from_slice(&sin[row..]);
        }
        let device = device.clone().without_autodiff();
        let shape = [positions.len(), half];
        Ok(Self {
            cos: Tensor::from_data(TensorData::new(cos, shape), &device),
            sin: Tensor::from_data(TensorData::new(sin, shape), &device),
            host: Arc::new(host),
            head_dim,
            rotary: head_dim,
        })
    }

    /// Returns the same angles for heads of `head_dim` elements. The table's pairs turn as many
    /// first elements of a head as before; the other elements pass unchanged.
    ///
    /// # Errors
    /// The head is smaller than the part that turns.
    ///
    /// # Examples
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use collimate_ops::{RopeTable, rope};
    ///
    /// let device = Device::flex();
    /// let x = Tensor::<2>::from_floats([[1.0, 2.0, 3.0]], &device);
    /// // A quarter turn of the first two elements.
    /// let turn = [std::f64::consts::FRAC_PI_2];
    /// let table = RopeTable::with_frequencies(&[1], &turn, 1.0, &device)?.partial(3)?;
    /// assert_eq!(table.head_dim(), 3);
    /// let y: Vec<f32> = rope(x, &table).into_data().try_to_vec().unwrap();
    /// assert!((y[0] + 2.0).abs() < 1e-6 && (y[1] - 1.0).abs() < 1e-6 && y[2] == 3.0);
    /// # Ok::<(), collimate_ops::OpsError>(())
    /// ```
    pub fn partial(self, head_dim: usize) -> Result<Self, OpsError> {
        let rotary = self.rotary;
        if head_dim < rotary {
            return Err(OpsError::PartialRope { rotary, head_dim });
        }
        Ok(Self { head_dim, ..self })
    }

    /// Returns the number of tokens that the table covers.
    pub fn tokens(&self) -> usize {
        self.host.len() / self.rotary
    }

    /// Returns the size of a head, including the elements that do not turn.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }
}

/// Rotates every head of every token by its position. Element `i` is paired with element
/// `i + head_dim / 2`, as in Hugging Face's Llama.
///
/// ```text
/// y[i]            = x[i]·cos − x[i + head_dim/2]·sin
/// y[i+head_dim/2] = x[i+head_dim/2]·cos + x[i]·sin
/// ```
///
/// RoFormer, equation 34: <https://arxiv.org/abs/2104.09864>. Cosine and sine include the scale of
/// the table ([`RopeTable::with_frequencies`]). A partial table ([`RopeTable::partial`]) turns only
/// the first elements of each head, in halves of that part. The other elements pass unchanged and
/// unscaled, as in Hugging Face's GPT-NeoX and Phi-3.
///
/// # Shapes
/// `x`: `[tokens, heads · head_dim]`; the table covers the same tokens.
///
/// # Gradient
/// Rotates by the opposite angle and multiplies by the scale of the table.
///
/// # Panics
/// Panics if the table covers another number of tokens, or if the width is not a multiple of its
/// head size.
pub fn rope(x: Tensor<2>, table: &RopeTable) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let head_dim = table.head_dim;
    assert_eq!(tokens, table.tokens(), "rope: tokens of x and of the table");
    assert!(
        width.is_multiple_of(head_dim),
        "rope: width {width} is not a multiple of {head_dim}"
    );
    #[cfg(feature = "flex")]
    if crate::fused::fits(&x) {
        let kernel = crate::fused_kernels::Rope {
            table: table.host.clone(),
            sizes: crate::kernels::rows::RopeSizes {
                width,
                head_dim,
                rotary: table.rotary,
            },
        };
        return crate::fused::run(kernel, [crate::fused::input(x)], [tokens, width]);
    }
    naive::rope(x, table)
}
