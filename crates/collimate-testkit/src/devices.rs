use burn::tensor::{Device, FloatDType};

/// Name of the environment variable that adds one more device to [`devices`]: `vulkan`, `wgpu`,
/// `metal` or `cuda`. The build needs the feature of the same name.
pub const TEST_DEVICE: &str = "COLLIMATE_TEST_DEVICE";

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

/// Returns the device that [`TEST_DEVICE`] names, with gradients; `None` without the variable.
///
/// # Panics
/// Panics if the name is unknown or its feature is not built in. A test run that asks for a device
/// never passes without it.
pub fn accelerator() -> Option<(&'static str, Device)> {
    let name = std::env::var(TEST_DEVICE)
        .ok()
        .filter(|name| !name.is_empty())?;
    let (name, device) = opened(&name).unwrap_or_else(|| {
        panic!("{TEST_DEVICE}={name}: no such device, or a build without its feature")
    });
    Some((name, device.autodiff()))
}

/// Opens a device by name, if its feature is built in.
fn opened(name: &str) -> Option<(&'static str, Device)> {
    #[cfg(feature = "cuda")]
    if name == "cuda" {
        return Some(("cuda", Device::cuda(0)));
    }
    #[cfg(feature = "vulkan")]
    if name == "vulkan" {
        let kind = burn::tensor::DeviceKind::DefaultDevice;
        return Some(("vulkan", Device::vulkan(kind)));
    }
    #[cfg(feature = "wgpu")]
    if name == "wgpu" {
        let kind = burn::tensor::DeviceKind::DefaultDevice;
        return Some(("wgpu", Device::wgpu(kind)));
    }
    #[cfg(feature = "metal")]
    if name == "metal" {
        let kind = burn::tensor::DeviceKind::DefaultDevice;
        return Some(("metal", Device::metal(kind)));
    }
    let _ = name;
    None
}

/// Returns the [`devices`] that compute in f64. Many GPUs do not; laws that need finite differences
/// run on the others.
pub fn f64_devices() -> Vec<(&'static str, Device)> {
    let mut all = devices();
    all.retain(|(_, device)| device.supports_dtype(FloatDType::F64));
    all
}

/// Returns every device of the test set, with gradients, by name: flex, ndarray and the
/// [`accelerator`].
pub fn devices() -> Vec<(&'static str, Device)> {
    let mut all = vec![("flex", flex()), ("ndarray", ndarray())];
    all.extend(accelerator());
    all
}
