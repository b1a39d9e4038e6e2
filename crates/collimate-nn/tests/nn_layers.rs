//! Norms and output heads compared with their formulas.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use collimate_nn::{
    LayerNorm, OutputHead, Pack, RmsNorm, parameters, token_logps, token_logps_entropy,
};
use collimate_ops::Visibility;
use collimate_testkit::{Noise, assert_close, devices, host, tensor};

fn names(found: Vec<collimate_nn::ParameterInfo>) -> Vec<String> {
    found.into_iter().map(|parameter| parameter.path).collect()
}

#[test]
fn a_unit_offset_adds_one_to_the_scale() {
    for (name, device) in devices() {
        let mut norm = RmsNorm::new(2, 0.0, &device).with_unit_offset();
        let x: Tensor<2> = tensor(&[3.0, 4.0], [1, 2], &device);
        // The root of the mean square is √12.5.
        let unit = [3.0 / 12.5f64.sqrt(), 4.0 / 12.5f64.sqrt()];
        assert_close(name, &host(&norm.forward(x.clone())), &unit, 1e-6);
        norm.weight = Param::from_tensor(tensor(&[0.5, -1.0], [2], &device));
        let y = norm.valid().forward(x.clone().inner());
        assert_close(name, &host(&y), &[1.5 * unit[0], 0.0], 1e-6);
        let grads = norm.forward(x).sum().backward();
        let grad = norm.weight.val().grad(&grads).unwrap();
        assert_close(name, &host(&grad), &unit, 1e-6);
        assert_eq!(names(parameters(&norm)), ["weight"]);
    }
}

#[test]
fn a_layer_norm_without_bias_has_one_parameter() {
    for (name, device) in devices() {
        let with = LayerNorm::new(2, 0.0, &device);
        assert_eq!(names(parameters(&with)), ["weight", "bias"]);
        let mut without = LayerNorm::without_bias(2, 0.0, &device);
        assert_eq!(names(parameters(&without)), ["weight"]);
        let x: Tensor<2> = tensor(&[1.0, 5.0], [1, 2], &device);
        for norm in [&with, &without] {
            assert_close(name, &host(&norm.forward(x.clone())), &[-1.0, 1.0], 1e-6);
        }
        without.weight = Param::from_tensor(tensor(&[2.0, 3.0], [2], &device));
        assert_close(name, &host(&without.forward(x)), &[-2.0, 3.0], 1e-6);
    }
}

#[test]
fn token_log_probabilities_follow_divisor_cap_and_temperature() {
    let (vocab, width) = (7, 3);
    let mut noise = Noise::new(5);
    let (hidden, weight) = (
        noise.values(2 * width, 4.0),
        noise.values(vocab * width, 4.0),
    );
    let (divisor, cap, temperature) = (1.5, 3.0, 0.7);
    let wanted: Vec<[f64; 2]> = hidden
        .chunks_exact(width)
        .zip([4usize, 6])
        .map(|(h, target)| {
            let logits = weight.chunks_exact(width).map(|w| {
                let product: f64 = w
                    .iter()
                    .zip(h)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum();
                cap * (product / divisor / cap).tanh() / temperature
            });
            let logits: Vec<f64> = logits.collect();
            let total = logits.iter().map(|z| z.exp()).sum::<f64>().ln();
            let entropy = logits.iter().map(|z| (z - total).exp() * (total - z)).sum();
            [logits[target] - total, entropy]
        })
        .collect();
    for (name, device) in devices() {
        let mut pack = Pack::new();
        pack.push_shared(&[1], &[&[4, 6]]);
        let batch = pack.to_device(Visibility::Causal, &device);
        let hidden: Tensor<2> = tensor(&hidden, [2, width], &device);
        let head = OutputHead {
            weight: tensor(&weight, [vocab, width], &device),
            divisor,
            softcap: Some(cap),
        }
        .at_temperature(temperature);
        let logps = host(&token_logps(hidden.clone(), head.clone(), &batch));
        assert_close(name, &logps, &[wanted[0][0], wanted[1][0]], 1e-5);
        let (logps, entropies) = token_logps_entropy(hidden.clone(), head.clone(), &batch);
        assert_close(name, &host(&logps), &[wanted[0][0], wanted[1][0]], 1e-5);
        assert_close(name, &host(&entropies), &[wanted[0][1], wanted[1][1]], 1e-5);
        let dense = burn::tensor::activation::log_softmax(head.logits(hidden), 1);
        let picked = [host(&dense)[4], host(&dense)[vocab + 6]];
        assert_close(name, &picked, &[wanted[0][0], wanted[1][0]], 1e-5);
    }
}
