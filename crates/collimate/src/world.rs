//! The synthetic world: tasks with a known gold reward, pairs of a noisy annotator, and a small language
//! model of its texts.

pub use collimate_recipes::world::*;
pub use collimate_world::*;
