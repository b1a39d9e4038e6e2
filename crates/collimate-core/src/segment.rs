//! The segment table: it defines which tokens of a packed batch see each other.

use thiserror::Error;

/// A run of consecutive tokens of a pack.
///
/// A token sees its own segment: causally, or all of it in a bidirectional model. It also sees
/// every token of the segment's ancestors. A preference pair is three segments: the prompt, and the
/// two answers with the prompt as parent. So the prompt is processed only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Index in the pack of the segment's first token.
    pub start: usize,
    /// Number of tokens, at least one.
    pub len: usize,
    /// Index in the table of the parent, the segment that this one continues; it comes earlier.
    pub parent: Option<usize>,
}

impl Segment {
    /// Returns the token indices of the segment.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

/// Reason why a segment table is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// A segment without tokens.
    #[error("segment {index} is empty: remove the segment from the table")]
    Empty {
        /// Index of the segment.
        index: usize,
    },
    /// Segments must lie in order, without gap or overlap.
    #[error(
        "segment {index} starts at token {start}, expected {expected}: segments lie end to end"
    )]
    Gap {
        /// Index of the segment.
        index: usize,
        /// Token at which the segment starts.
        start: usize,
        /// Token at which the segment must start.
        expected: usize,
    },
    /// A parent must come before its children.
    #[error("segment {index} names segment {parent} as parent, which does not come before it")]
    Parent {
        /// Index of the segment.
        index: usize,
        /// Index of the parent that the segment names.
        parent: usize,
    },
    /// The table covers another number of tokens than the pack has.
    #[error("the segments cover {covered} tokens, the pack has {tokens}")]
    Length {
        /// Number of tokens that the segments cover.
        covered: usize,
        /// Number of tokens in the pack.
        tokens: usize,
    },
}

/// Checks that `segments` tile a pack of `tokens` tokens and that parents come first.
///
/// # Errors
/// Returns the first violation found.
pub fn check_segments(segments: &[Segment], tokens: usize) -> Result<(), SegmentError> {
    let mut expected = 0;
    for (index, segment) in segments.iter().enumerate() {
        if segment.len == 0 {
            return Err(SegmentError::Empty { index });
        }
        if segment.start != expected {
            return Err(SegmentError::Gap {
                index,
                start: segment.start,
                expected,
            });
        }
        if let Some(parent) = segment.parent.filter(|&parent| parent >= index) {
            return Err(SegmentError::Parent { index, parent });
        }
        expected += segment.len;
    }
    if expected != tokens {
        return Err(SegmentError::Length {
            covered: expected,
            tokens,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seg(start: usize, len: usize, parent: Option<usize>) -> Segment {
        Segment { start, len, parent }
    }

    #[test]
    fn a_pair_is_accepted() {
        let pair = [seg(0, 3, None), seg(3, 2, Some(0)), seg(5, 4, Some(0))];
        assert_eq!(check_segments(&pair, 9), Ok(()));
    }

    #[test]
    fn each_violation_has_its_error() {
        assert_eq!(
            check_segments(&[seg(0, 0, None)], 0),
            Err(SegmentError::Empty { index: 0 })
        );
        assert_eq!(
            check_segments(&[seg(0, 2, None), seg(3, 1, None)], 4),
            Err(SegmentError::Gap {
                index: 1,
                start: 3,
                expected: 2
            })
        );
        assert_eq!(
            check_segments(&[seg(0, 2, Some(0))], 2),
            Err(SegmentError::Parent {
                index: 0,
                parent: 0
            })
        );
        assert_eq!(
            check_segments(&[seg(0, 2, None)], 3),
            Err(SegmentError::Length {
                covered: 2,
                tokens: 3
            })
        );
    }
}
