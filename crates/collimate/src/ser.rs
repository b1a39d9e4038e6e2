//! Self-evolved reward learning: a reward model labels pairs, a filter keeps some, the model is
//! trained again ([arXiv:2411.00418](https://arxiv.org/abs/2411.00418)).

pub use collimate_recipes::ser::*;
pub use collimate_status::*;
