//! Mean and spread in two passes over the numbers.

use crate::Spread;

/// The start of a sum that adds number by number, as `Iterator::sum` does.
const NOTHING: f64 = -0.0;

/// The first pass: count, sum, minimum and maximum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    count: usize,
    sum: f64,
    min: f64,
    max: f64,
}

impl Sum {
    pub(crate) fn new() -> Self {
        Self {
            count: 0,
            sum: NOTHING,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Starts the second pass.
    pub(crate) fn squares(self) -> Squares {
        Squares {
            of: self,
            mean: self.sum / self.count as f64,
            sum: NOTHING,
        }
    }
}

/// The second pass: the sum of the squared distances from the mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Squares {
    of: Sum,
    mean: f64,
    sum: f64,
}

impl Squares {
    pub(crate) fn add(&mut self, value: f64) {
        self.sum += (value - self.mean) * (value - self.mean);
    }

    /// Returns mean, deviation, minimum and maximum; all are 0 if there are no numbers.
    pub(crate) fn spread(self) -> Spread {
        let Sum {
            count, min, max, ..
        } = self.of;
        if count == 0 {
            return Spread::default();
        }
        Spread {
            mean: self.mean,
            sd: (self.sum / count as f64).sqrt(),
            min,
            max,
        }
    }
}
