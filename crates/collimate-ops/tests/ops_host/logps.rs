//! Selected log-probabilities.

use super::*;

fn logp(h: &[f64], w: &[f64], width: usize, targets: &[i64], cap: f64) -> Vec<f64> {
    let rows = h.chunks(width).zip(targets).map(|(h, target)| {
        let z: Vec<f64> = w
            .chunks(width)
            .map(|w| w.iter().zip(h).map(|(a, b)| a * b).sum())
            .map(|z: f64| if cap > 0.0 { cap * (z / cap).tanh() } else { z })
            .collect();
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        z[*target as usize] - max - z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
    });
    rows.collect()
}

pub(crate) fn ids(values: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

#[test]
fn selected_logp_by_definition() {
    let (rows, width, vocab) = (4, 5, 11);
    let mut noise = Noise::new(6);
    let (h, w) = (
        noise.values(rows * width, 1.5),
        noise.values(vocab * width, 1.5),
    );
    let targets = [10, 0, 3, 3];
    // The cases are no cap, a cap that bends every logit, and a cap that bends only the large ones.
    for cap in [None, Some(1.2), Some(6.0)] {
        let limit = cap.unwrap_or(0.0);
        let run = |h, w, device: &Device| {
            let targets = ids(&targets, device);
            collimate_ops::selected_logp_capped(h, w, targets, cap).unsqueeze()
        };
        check(
            "selected_logp, hidden",
            &h,
            [rows, width],
            &|h| {
                let device = h.device();
                run(h, tensor(&w, [vocab, width], &device), &device)
            },
            &|x| logp(x, &wide(&w), width, &targets, limit),
        );
        check(
            "selected_logp, weight",
            &w,
            [vocab, width],
            &|w| {
                let device = w.device();
                run(tensor(&h, [rows, width], &device), w, &device)
            },
            &|x| logp(&wide(&h), x, width, &targets, limit),
        );
    }
}

#[test]
fn selected_logp_stays_finite_for_huge_logits() {
    for (name, device) in devices() {
        let hidden: Tensor<2> = tensor(&[1e4, -1e4], [2, 1], &device).require_grad();
        let weight: Tensor<2> = tensor(&[1.0, -1.0, 0.0], [3, 1], &device).require_grad();
        let out =
            collimate_ops::selected_logp(hidden.clone(), weight.clone(), ids(&[0, 0], &device));
        assert_close(name, &host(&out), &[0.0, -2e4], 1e-6);
        let grads = out.sum().backward();
        assert_close(
            name,
            &host(&hidden.grad(&grads).unwrap()),
            &[0.0, 2.0],
            1e-6,
        );
        assert_close(
            name,
            &host(&weight.grad(&grads).unwrap()),
            &[-1e4, 1e4, 0.0],
            1e-6,
        );
    }
}
