//! Benchmarks and the sweep runner.
