//! Which token of a pack sees which.

use std::ops::Range;
use std::sync::Arc;

use collimate_core::{Segment, check_segments};

use crate::OpsError;

/// What a token sees of its own segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Itself and what comes before it (a decoder).
    Causal,
    /// All of it (an encoder).
    Bidirectional,
}

/// Numbers of heads of an attention layer.
///
/// With fewer key and value heads than query heads, consecutive query heads share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heads {
    /// Query heads.
    pub query: usize,
    /// Key and value heads, a divisor of `query`.
    pub key_value: usize,
    /// Size of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Checked head counts.
    ///
    /// # Errors
    /// A count of zero, or `query` not a multiple of `key_value`.
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

    /// Stops an operation whose caller filled the fields in without [`Self::new`]: a kernel would
    /// leave the heads beyond the last whole group at zero.
    pub(crate) fn assert_valid(self) {
        if let Err(error) = Self::new(self.query, self.key_value, self.head_dim) {
            panic!("segment_attention: {error}");
        }
    }

    /// Query heads that share one key and value head.
    pub fn group(&self) -> usize {
        self.query / self.key_value
    }
}

/// One segment's queries and the keys that they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Rows of the segment: its queries, and the last part of its keys.
    pub(crate) own: Range<usize>,
    /// Rows of its ancestors, in order, touching runs joined. All visible to every query.
    pub(crate) context: Vec<Range<usize>>,
    /// Rows in `context`.
    pub(crate) context_len: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    blocks: Vec<Block>,
    visibility: Visibility,
    tokens: usize,
}

/// The attention pattern of one pack, worked out once and shared by all layers.
///
/// A token sees its own segment (see [`Visibility`]) and every token of the segment's ancestors.
/// Cloning copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionPlan(Arc<Inner>);

impl AttentionPlan {
    /// The pattern of `segments`, which must lie end to end with parents before children.
    ///
    /// # Errors
    /// A segment table that [`collimate_core::check_segments`] refuses.
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
        Ok(Self(Arc::new(Inner {
            blocks,
            visibility,
            tokens,
        })))
    }

    /// Tokens in the pack.
    pub fn tokens(&self) -> usize {
        self.0.tokens
    }

    /// What a token sees of its own segment.
    pub fn visibility(&self) -> Visibility {
        self.0.visibility
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.0.blocks
    }
}
