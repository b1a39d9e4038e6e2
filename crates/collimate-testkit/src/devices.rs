use burn::tensor::Device;

/// The flex device with gradients.
pub fn flex() -> Device {
    Device::flex().autodiff()
}

/// The ndarray device with gradients: deprecated upstream, kept as an independent second opinion.
#[allow(deprecated)]
pub fn ndarray() -> Device {
    Device::ndarray().autodiff()
}

/// Every device of the test set, with gradients, by name.
pub fn devices() -> [(&'static str, Device); 2] {
    [("flex", flex()), ("ndarray", ndarray())]
}
