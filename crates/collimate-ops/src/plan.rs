//! Attention pattern of a pack: the tokens that each token sees.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use collimate_core::{Segment, check_segments};

use crate::OpsError;

/// Tokens of its own segment that a token sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// The token itself and the tokens before it (a decoder).
    Causal,
    /// All tokens (an encoder).
    Bidirectional,
}

/// Numbers and size of the heads of an attention layer.
///
/// With fewer key and value heads than query heads, consecutive query heads share a key and value
/// head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heads {
    /// Number of query heads.
    pub query: usize,
    /// Number of key and value heads, a divisor of `query`.
    pub key_value: usize,
    /// Size of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Creates heads after checking their counts.
    ///
    /// # Errors
    /// A count is zero, or `query` is not a multiple of `key_value`.
    pub fn new(query: usize, key_value: usize, head_dim: usize) -> Result<Self, OpsError> {
        if query == 0 || key_value == 0 || head_dim == 0 || !query.is_multiple_of(key_value) {
            return Err(OpsError::Heads {
                query,
                key_value,
                head_dim,
            });
        }
        Ok(Self {
            query,
            key_value,
            head_dim,
        })
    }

    /// Panics if the heads are invalid because a caller filled the fields in without [`Self::new`].
    /// A kernel would leave the heads beyond the last whole group at zero.
    pub(crate) fn assert_valid(self) {
        if let Err(error) = Self::new(self.query, self.key_value, self.head_dim) {
            panic!("segment_attention: {error}");
        }
    }

    /// Returns the number of query heads that share one key and value head.
    pub fn group(&self) -> usize {
        self.query / self.key_value
    }
}

/// Formula that turns products of queries and keys into scores, before the mask and the softmax.
///
/// ```text
/// s = scale · q·k              without a cap
/// s = c · tanh(scale · q·k / c)   with a cap of c
/// ```
///
/// The cap bounds scores to (−c, c): Gemma 2, <https://arxiv.org/abs/2408.00118>, section 2.
///
/// # Examples
/// ```
/// use collimate_core::Segment;
/// use collimate_ops::{AttentionPlan, Scores, Visibility};
///
/// let segment = Segment { start: 0, len: 3, parent: None };
/// let plan = AttentionPlan::new(&[segment], Visibility::Causal)?;
/// assert_eq!(plan.scores(), Scores::default());
/// let gemma2 = Scores { scale: Some(256f64.powf(-0.5)), softcap: Some(50.0) };
/// assert_eq!(plan.with_scores(gemma2).scores().softcap, Some(50.0));
/// # Ok::<(), collimate_ops::OpsError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scores {
    /// Factor of the products; `None` means `1 / √head_dim`.
    pub scale: Option<f64>,
    /// Bound of the scores, positive; `None` means no bound.
    pub softcap: Option<f64>,
}

impl Scores {
    /// Returns the factor of the products for heads of this size.
    pub(crate) fn factor(self, head_dim: usize) -> f64 {
        self.scale.unwrap_or(1.0 / (head_dim as f64).sqrt())
    }

    /// Panics if the scale is not finite or the cap is not positive and finite.
    pub(crate) fn assert_valid(self) {
        let Self { scale, softcap } = self;
        let (scale, cap) = (scale.unwrap_or(1.0), softcap.unwrap_or(1.0));
        assert!(scale.is_finite(), "scores: scale {scale} must be finite");
        assert!(
            cap.is_finite() && cap > 0.0,
            "scores: softcap {cap} must be positive and finite"
        );
    }
}

/// Queries of one segment and the keys that they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Rows of the segment. These are its queries and the last part of its keys.
    pub(crate) own: Range<usize>,
    /// Rows of the segment's ancestors, in order, with adjacent ranges joined.
    pub(crate) context: Vec<Range<usize>>,
    /// Number of rows in `context`.
    pub(crate) context_len: usize,
}

impl Block {
    /// Returns the rows of the keys in order, first the ancestors' and then the segment's own,
    /// without the first `skip`.
    pub(crate) fn key_rows(
        &self,
        mut skip: usize,
    ) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
        let ranges = self.context.iter().chain([&self.own]);
        let left = ranges.map(move |range| {
            let skipped = skip.min(range.len());
            skip -= skipped;
            range.start + skipped..range.end
        });
        left.filter(|range| !range.is_empty())
    }
}

/// Returns the start of a window that ends before token `end`.
pub(crate) fn window_start(window: Option<NonZeroUsize>, end: usize) -> usize {
    window.map_or(0, |window| end.saturating_sub(window.get()))
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    blocks: Vec<Block>,
    visibility: Visibility,
    tokens: usize,
}

/// Attention pattern of one pack, computed once and shared by all layers.
///
/// A token sees its own segment (see [`Visibility`]) and every token of the segment's ancestors.
/// With a window ([`Self::with_window`]) it sees only nearby tokens. Cloning copies a pointer.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionPlan {
    inner: Arc<Inner>,
    window: Option<NonZeroUsize>,
    scores: Scores,
}

impl AttentionPlan {
    /// Creates the pattern of `segments`, which must lie end to end with parents before children.
    ///
    /// # Errors
    /// [`collimate_core::check_segments`] refuses the segment table.
    ///
    /// # Examples
    /// ```
    /// use collimate_core::Segment;
    /// use collimate_ops::{AttentionPlan, Visibility};
    ///
    /// let pair = [
    ///     Segment { start: 0, len: 3, parent: None },
    ///     Segment { start: 3, len: 2, parent: Some(0) },
    ///     Segment { start: 5, len: 4, parent: Some(0) },
    /// ];
    /// let plan = AttentionPlan::new(&pair, Visibility::Causal)?;
    /// assert_eq!(plan.tokens(), 9);
    /// # Ok::<(), collimate_ops::OpsError>(())
    /// ```
    pub fn new(segments: &[Segment], visibility: Visibility) -> Result<Self, OpsError> {
        let tokens = segments.iter().map(|segment| segment.len).sum();
        check_segments(segments, tokens)?;
        let mut blocks: Vec<Block> = Vec::with_capacity(segments.len());
        for segment in segments {
            let mut context: Vec<Range<usize>> = Vec::new();
            if let Some(parent) = segment.parent {
                // The table names parents first, so the parent's own context is complete.
                context.clone_from(&blocks[parent].context);
                let own = blocks[parent].own.clone();
                match context.last_mut() {
                    Some(last) if last.end == own.start => last.end = own.end,
                    _ => context.push(own),
                }
            }
            let context_len = context.iter().map(Range::len).sum();
            blocks.push(Block {
                own: segment.range(),
                context,
                context_len,
            });
        }
        Ok(Self {
            inner: Arc::new(Inner {
                blocks,
                visibility,
                tokens,
            }),
            window: None,
            scores: Scores::default(),
        })
    }

    /// Returns the same segments with a sliding window. A token of a causal plan sees itself and
    /// the `window − 1` tokens before it. A token of a bidirectional plan also sees the
    /// `window − 1` tokens after it. `None` removes the window.
    ///
    /// ```text
    /// causal:         token i of a sequence sees token j  ⇔  i − window < j ≤ i
    /// bidirectional:  token i of a sequence sees token j  ⇔  |i − j| < window
    /// ```
    ///
    /// A sequence is a segment together with its ancestors. In both kinds of plans, their tokens
    /// are counted in order, followed by the tokens of the segment.
    ///
    /// The causal window is that of Mistral 7B, <https://arxiv.org/abs/2310.06825>, section 2. The
    /// bidirectional window is that of ModernBERT, <https://arxiv.org/abs/2412.13663>, section
    /// 2.1.2: its `local_attention` of 128 is a distance of at most 64, a window of 65.
    ///
    /// # Examples
    /// The pack holds a prompt of three tokens and one answer of two. Under a window of two, the
    /// answer's first token still sees the prompt's last token; its second token does not.
    /// ```
    /// use std::num::NonZeroUsize;
    /// use burn::tensor::{Device, Tensor};
    /// use collimate_core::Segment;
    /// use collimate_ops::{AttentionPlan, Heads, Visibility, segment_attention};
    ///
    /// let segments = [
    ///     Segment { start: 0, len: 3, parent: None },
    ///     Segment { start: 3, len: 2, parent: Some(0) },
    /// ];
    /// let plan = AttentionPlan::new(&segments, Visibility::Causal)?.with_window(NonZeroUsize::new(2));
    /// let device = Device::flex();
    /// let q = Tensor::<2>::zeros([5, 1], &device);
    /// let v = Tensor::<2>::from_floats([[1.], [2.], [4.], [8.], [16.]], &device);
    /// let out = segment_attention(q.clone(), q, v, &plan, Heads::new(1, 1, 1)?);
    /// // Equal scores: the mean over what is seen.
    /// let out: Vec<f32> = out.into_data().try_to_vec().unwrap();
    /// assert_eq!(out, [1., 1.5, 3., 6., 12.]);
    /// # Ok::<(), collimate_ops::OpsError>(())
    /// ```
    #[must_use]
    pub fn with_window(self, window: Option<NonZeroUsize>) -> Self {
        Self { window, ..self }
    }

    /// Returns the same segments with this form of scores.
    ///
    /// # Panics
    /// Panics if the scale is not finite, or the cap is not positive and finite.
    #[must_use]
    pub fn with_scores(self, scores: Scores) -> Self {
        scores.assert_valid();
        Self { scores, ..self }
    }

    /// Returns the number of tokens in the pack.
    pub fn tokens(&self) -> usize {
        self.inner.tokens
    }

    /// Returns the tokens of its own segment that a token sees.
    pub fn visibility(&self) -> Visibility {
        self.inner.visibility
    }

    /// Returns the window ([`Self::with_window`]): the largest number of tokens that a token sees
    /// in one direction, including itself. `None` means no window.
    pub fn window(&self) -> Option<NonZeroUsize> {
        self.window
    }

    /// Returns the form of the scores.
    pub fn scores(&self) -> Scores {
        self.scores
    }

    /// Returns the largest number of tokens that a token sees in total, including itself.
    pub(crate) fn span(&self) -> Option<usize> {
        let window = self.window?.get();
        Some(match self.visibility() {
            Visibility::Causal => window,
            Visibility::Bidirectional => window.saturating_mul(2) - 1,
        })
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.inner.blocks
    }

    /// Returns the keys of a block that its query `i` sees. Both ends grow with `i`.
    pub(crate) fn seen(&self, block: &Block, i: usize) -> Range<usize> {
        let next = block.context_len + i + 1;
        let end = match (self.visibility(), self.window) {
            (Visibility::Causal, _) => next,
            (Visibility::Bidirectional, None) => usize::MAX,
            (Visibility::Bidirectional, Some(window)) => next.saturating_add(window.get() - 1),
        };
        window_start(self.window, next)..end.min(block.context_len + block.own.len())
    }
}
