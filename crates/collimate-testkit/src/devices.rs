use burn::tensor::Device;

/// Returns the flex device with gradients.
pub fn flex() -> Device {
    Device::flex().autodiff()
}

/// Returns the ndarray device with gradients. Burn deprecates it; it is kept as an independent
/// second opinion.
#[allow(deprecated)]
pub fn ndarray() -> Device {
    Device::ndarray().autodiff()
}

/// Returns every device of the test set, with gradients, by name.
pub fn devices() -> [(&'static str, Device); 2] {
    [("flex", flex()), ("ndarray", ndarray())]
}
