//! The check command.
fn main() {}
