//! AdamW and the gradient norm.

use super::*;

#[test]
fn adamw_follows_its_formula_for_many_steps() {
    let cfg = AdamW {
        beta1: 0.8,
        beta2: 0.95,
        eps: 1e-6,
        weight_decay: 0.1,
    };
    let count = 20_000;
    let start = Noise::new(8).values(count, 1.0);
    for (name, device) in devices() {
        let mut param: Tensor<2> = tensor(&start, [100, 200], &device);
        let mut state = AdamWState::zeros([100, 200], &device);
        let mut p = wide(&start);
        let (mut m, mut v) = (vec![0.0; count], vec![0.0; count]);
        for step in 1..=5u64 {
            let grad = Noise::new(100 + step).values(count, 2.0);
            let lr = 0.01 * step as f64;
            param = adamw_step(
                param,
                tensor(&grad, [100, 200], &device),
                &mut state,
                step,
                lr,
                &cfg,
            );
            for i in 0..count {
                let g = f64::from(grad[i]);
                m[i] = cfg.beta1 * m[i] + (1.0 - cfg.beta1) * g;
                v[i] = cfg.beta2 * v[i] + (1.0 - cfg.beta2) * g * g;
                let m_hat = m[i] / (1.0 - cfg.beta1.powi(step as i32));
                let v_hat = v[i] / (1.0 - cfg.beta2.powi(step as i32));
                p[i] -= lr * cfg.weight_decay * p[i];
                p[i] -= lr * m_hat / (v_hat.sqrt() + cfg.eps);
            }
        }
        assert_close(&format!("parameter on {name}"), &host(&param), &p, 1e-6);
        assert_close(
            &format!("first moment on {name}"),
            &host(&state.first),
            &m,
            1e-6,
        );
        assert_close(
            &format!("second moment on {name}"),
            &host(&state.second),
            &v,
            1e-6,
        );
        assert!(!param.device().is_autodiff());
    }
}

#[test]
fn adamw_leaves_other_holders_of_the_parameter_alone() {
    for (name, device) in devices() {
        let device = device.inner();
        let param: Tensor<1> = tensor(&[1.0, 2.0, 3.0], [3], &device);
        let view = param.clone().narrow(0, 1, 2);
        let mut state = AdamWState::zeros([2], &device);
        let grad = tensor(&[1.0, -1.0], [2], &device);
        let cfg = AdamW {
            weight_decay: 0.0,
            ..AdamW::default()
        };
        let updated = adamw_step(view, grad, &mut state, 1, 0.5, &cfg);
        assert_close(name, &host(&param), &[1.0, 2.0, 3.0], 0.0);
        assert_close(name, &host(&updated), &[1.5, 3.5], 1e-6);
    }
}

#[test]
fn a_scaled_step_is_a_step_with_the_scaled_gradient() {
    for (name, device) in devices() {
        let put = |values: &[f32]| tensor::<1>(values, [3], &device);
        let run = |grad: &[f32], scale: f64| {
            let mut state = AdamWState::zeros([3], &device);
            let cfg = AdamW::default();
            let param = put(&[1.0, 2.0, 3.0]);
            let param = adamw_step_scaled(param, put(grad), scale, &mut state, 1, 0.1, &cfg);
            [host(&param), host(&state.first), host(&state.second)]
        };
        assert_eq!(
            run(&[4.0, -2.0, 8.0], 0.25),
            run(&[1.0, -0.5, 2.0], 1.0),
            "{name}"
        );
    }
}

#[test]
fn gradient_norm() {
    for (name, device) in devices() {
        let mut noise = Noise::new(9);
        let values = noise.values(50_001, 3.0);
        let expected: f64 = wide(&values).iter().map(|x| x * x).sum();
        let t: Tensor<1> = tensor(&values, [50_001], &device);
        let part = sum_of_squares(t.clone());
        assert!(
            (part / expected - 1.0).abs() < 1e-5,
            "{name}: {part} for {expected}"
        );
        let more: Tensor<1> = tensor(&[3.0, -4.0], [2], &device);
        let norm = collimate_ops::gradient_norm([t, more]);
        let expected = (expected + 25.0).sqrt();
        assert!((norm / expected - 1.0).abs() < 1e-5, "{name}: {norm}");
    }
}
