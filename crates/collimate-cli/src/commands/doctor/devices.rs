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
            name: device
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().to_owned()),
            problem: problem(*device),
        })
        .collect()
}

fn problem(name: DeviceName) -> Option<String> {
    let device = match name {
        DeviceName::Ndarray if !cfg!(feature = "ndarray") => {
            return Some("not built in (--features ndarray)".to_owned());
        }
        DeviceName::Flex if !cfg!(feature = "flex") => {
            return Some("not built in (--features flex)".to_owned());
        }
        DeviceName::Cuda if !cfg!(feature = "cuda") => {
            return Some("not built in (--features cuda)".to_owned());
        }
        name => match name.open() {
            Ok(device) => device,
            Err(error) => return Some(error.to_string()),
        },
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
