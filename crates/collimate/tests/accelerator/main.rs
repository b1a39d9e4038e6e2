//! Training, generation, resume, sizes, number types and host reads on the device that the
//! variable `COLLIMATE_TEST_DEVICE` names; without it on ndarray, so that the tests themselves are
//! tested.

mod kinds;
mod numbers;
mod resume;
mod setup;
mod sizes;
mod training;
