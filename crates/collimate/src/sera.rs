//! SeRA: direct alignment that reviews its pairs by implicit reward margins and adds its own pairs
//! ([arXiv:2410.09362](https://arxiv.org/abs/2410.09362)).

pub use collimate_irm::*;
pub use collimate_recipes::sera::*;
