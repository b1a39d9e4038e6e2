use thiserror::Error;

/// Error of an operation whose description is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpsError {
    /// The segment table does not tile the pack.
    #[error("segment table refused: {0}")]
    Segments(#[from] collimate_core::SegmentError),
    /// The number of query heads must be a multiple of the number of key and value heads.
    #[error(
        "heads refused: {query} query heads over {key_value} key/value heads of size {head_dim}, \
         all three must be at least 1, and the query heads a multiple of the key/value heads"
    )]
    Heads {
        /// Number of query heads asked for.
        query: usize,
        /// Number of key and value heads asked for.
        key_value: usize,
        /// Size of a head asked for.
        head_dim: usize,
    },
    /// Half rotation pairs element `i` with element `i + head_dim / 2`, so the head size must be
    /// even.
    #[error("rope refused: head_dim is {head_dim} but must be even and at least 2")]
    RopeWidth {
        /// Head size asked for.
        head_dim: usize,
    },
    /// Buckets of relative positions must widen with the distance.
    #[error(
        "relative positions refused: {buckets} buckets for distances below {longest}: give 0 \
         buckets, or at least 2 with distances beyond half of the buckets"
    )]
    RelativePositions {
        /// Number of buckets asked for.
        buckets: usize,
        /// Bound of the distances asked for.
        longest: usize,
    },
    /// A table can turn a whole head or a part of it, but no more than a head.
    #[error("rope refused: {rotary} elements of a head turn, but a head has only {head_dim}")]
    PartialRope {
        /// Number of elements that turn.
        rotary: usize,
        /// Head size asked for.
        head_dim: usize,
    },
}
