//! Tries each device with a small computation.

use std::panic::{self, AssertUnwindSafe};

use burn::tensor::Tensor;
use clap::ValueEnum;
use serde::Serialize;

use crate::common::DeviceName;

/// A device that was tried.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    /// Name of the device, as --device takes it.
    pub(super) name: String,
    /// Reason why the device cannot be used; absent if it works.
    pub(super) problem: Option<String>,
}

/// Tries every device with a small sum.
pub(super) fn all() -> Vec<Tried> {
    let devices = DeviceName::value_variants().iter();
    devices
        .map(|device| Tried {
            name: device.name(),
            problem: problem(*device),
        })
        .collect()
}

fn problem(name: DeviceName) -> Option<String> {
    let Some(device) = name.built() else {
        return Some(format!("not built in (--features {})", name.name()));
    };
    // Backends panic if a driver is missing, and would report this on standard error.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let sum = panic::catch_unwind(AssertUnwindSafe(|| {
        let values = Tensor::<1>::from_data([1.0_f32, 2.0], &device);
        values.sum().into_scalar::<f32>()
    }));
    panic::set_hook(hook);
    match sum {
        Ok(3.0) => None,
        Ok(sum) => Some(format!(
            "computes 1 + 2 = {sum}: the driver or the device is broken"
        )),
        Err(panicked) => Some(format!("cannot be opened: {}", said(&*panicked))),
    }
}

fn said(panicked: &(dyn std::any::Any + Send)) -> String {
    let text = panicked
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panicked.downcast_ref::<&str>().copied());
    one_line(text.unwrap_or("no reason was given"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
