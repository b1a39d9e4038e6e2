//! A recomputed part has the values and gradients of the plain one.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use collimate_ops::{linear, recomputed, rms_norm};
use collimate_testkit::{Noise, assert_close, devices, host, tensor};

#[derive(Module, Debug)]
struct Part {
    norm: Param<Tensor<1>>,
    up: Param<Tensor<2>>,
    frozen: Param<Tensor<2>>,
}

const WIDTH: usize = 48;
const ROWS: usize = 17;

impl Part {
    fn new(device: &Device) -> Self {
        let mut noise = Noise::new(3);
        let mut matrix = || {
            let values = noise.values(WIDTH * WIDTH, 0.3);
            Param::from_tensor(tensor(&values, [WIDTH, WIDTH], device))
        };
        let (up, frozen) = (matrix(), matrix());
        let norm = Noise::new(4).values(WIDTH, 1.0);
        Self {
            norm: Param::from_tensor(tensor(&norm, [WIDTH], device)),
            up,
            frozen: frozen.map(|weight| weight.set_require_grad(false)),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = rms_norm(x.clone(), self.norm.val(), 1e-6);
        // One weight is used twice, so its gradient is a sum.
        let y = linear(linear(y, self.up.val(), None).tanh(), self.up.val(), None);
        x + linear(y, self.frozen.val(), None)
    }
}

/// Returns the output, then the gradients of the input and the parameters.
fn run(
    device: &Device,
    trained_input: bool,
    call: impl Fn(&Part, Tensor<2>) -> Tensor<2>,
) -> Vec<Option<Vec<f32>>> {
    let part = Part::new(device);
    let x: Tensor<2> = tensor(
        &Noise::new(5).values(ROWS * WIDTH, 1.0),
        [ROWS, WIDTH],
        device,
    );
    let x = x.set_require_grad(trained_input);
    // Operations before and after ensure that neither end of the part is an end of the graph.
    let inner = if trained_input {
        x.clone().mul_scalar(1.5)
    } else {
        x.clone()
    };
    let y = call(&part, inner);
    let loss = y.clone().powi_scalar(3).sum();
    let grads = loss.backward();
    vec![
        Some(host(&y)),
        x.grad(&grads).map(|grad| host(&grad)),
        part.norm.val().grad(&grads).map(|grad| host(&grad)),
        part.up.val().grad(&grads).map(|grad| host(&grad)),
        part.frozen.val().grad(&grads).map(|grad| host(&grad)),
    ]
}

#[test]
fn values_and_gradients_are_the_plain_ones_bit_by_bit() {
    for (name, device) in devices() {
        for trained_input in [true, false] {
            let plain = run(&device, trained_input, Part::forward);
            let found = run(&device, trained_input, |part, x| {
                recomputed(part, x, Part::forward)
            });
            assert_eq!(found, plain, "{name}, input trained: {trained_input}");
            let given: Vec<bool> = found.iter().map(Option::is_some).collect();
            assert_eq!(given, [true, trained_input, true, true, false], "{name}");
            let twice = run(&device, trained_input, |part, x| {
                recomputed(part, x, |part, x| recomputed(part, x, Part::forward))
            });
            assert_eq!(twice, plain, "{name}, one in another");
        }
    }
}

#[test]
fn beside_burns_own_strategy() {
    let device = Device::flex().autodiff().gradient_checkpointing();
    let plain = run(&device, true, Part::forward);
    let found = run(&device, true, |part, x| recomputed(part, x, Part::forward));
    assert_eq!(found, plain);
}

#[test]
fn two_parts_that_share_their_parameters() {
    for (name, device) in devices() {
        let plain = run(&device, true, |part, x| part.forward(part.forward(x)));
        let found = run(&device, true, |part, x| {
            let x = recomputed(part, x, Part::forward);
            recomputed(part, x, Part::forward)
        });
        for (found, plain) in found.iter().zip(&plain) {
            assert_eq!(found.is_some(), plain.is_some());
            let (found, plain) = (found.iter().flatten(), plain.iter().flatten());
            let (found, plain): (Vec<f32>, Vec<f32>) =
                (found.copied().collect(), plain.copied().collect());
            let plain: Vec<f64> = plain.into_iter().map(f64::from).collect();
            assert_close(name, &found, &plain, 1e-5);
        }
    }
}

#[test]
fn forward_runs_again_only_where_something_is_trained() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let device = Device::flex();
    for (device, trained, runs) in [
        (device.clone(), false, 1),
        (device.clone().autodiff(), false, 1),
        (device.autodiff(), true, 2),
    ] {
        let mut part = Part::new(&device);
        if !trained {
            part = part.no_grad();
        }
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let x = tensor(&Noise::new(5).values(WIDTH, 1.0), [1, WIDTH], &device);
        let y = recomputed(&part, x, move |part, x| {
            seen.fetch_add(1, Ordering::Relaxed);
            part.forward(x)
        });
        assert_eq!(y.is_tracked(), trained);
        if trained {
            y.sum().backward();
        }
        assert_eq!(count.load(Ordering::Relaxed), runs);
    }
}
