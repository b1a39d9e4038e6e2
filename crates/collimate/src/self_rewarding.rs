//! Self-rewarding language models: the policy judges its own answers and learns from them
//! ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020)).

pub use collimate_recipes::self_rewarding::*;
