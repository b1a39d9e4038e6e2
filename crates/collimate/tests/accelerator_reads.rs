//! The number of times that a training step waits for the device and copies from it.
//!
//! wgpu logs its commands. To read, CubeCL submits copies and then maps their targets into host
//! memory. Each submission that is followed by mappings is one wait, however many buffers it copies.
//! All waits count: those of collimate, of Burn and of the tuner. The test trains three times and
//! counts in the last two, when no kernel is left to tune. It is a program of its own, so that no other
//! test reads at the same time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use collimate_testkit::accelerator;
use log::{LevelFilter, Log, Metadata, Record};

#[path = "accelerator/kinds.rs"]
mod kinds;
#[path = "accelerator/setup.rs"]
mod setup;

use kinds::TRAININGS;

static WAITS: AtomicUsize = AtomicUsize::new(0);
static KERNELS: AtomicUsize = AtomicUsize::new(0);
/// True after commands were submitted, until a buffer is mapped.
static SUBMITTED: AtomicBool = AtomicBool::new(false);

struct Counter;

impl Log for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu_core")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            if text == "Queue::submit" {
                SUBMITTED.store(true, Ordering::SeqCst);
            } else if text.starts_with("ComputePass::dispatch") {
                KERNELS.fetch_add(1, Ordering::SeqCst);
            } else if text.starts_with("Buffer::map_async")
                && text.contains("host: Read")
                && SUBMITTED.swap(false, Ordering::SeqCst)
            {
                WAITS.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn flush(&self) {}
}

/// Waits of one step of one micro-batch: for the loss, for the gradient norm, and for the logged
/// values. DPO also reads the log-probabilities of its reference model.
const EXPECTED: [(&str, usize); 3] = [("sft", 2), ("dpo", 4), ("reward", 3)];

#[test]
fn a_step_waits_only_for_what_it_logs() {
    let Some((name, device)) = accelerator().filter(|(name, _)| *name != "cuda") else {
        println!("no device that logs its commands: nothing to count");
        return;
    };
    let device = device.without_autodiff();
    log::set_logger(&Counter).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for (kind, train) in TRAININGS {
        let count = |steps: u64| {
            let before = [&WAITS, &KERNELS].map(|count| count.load(Ordering::SeqCst));
            train(steps, &device);
            let after = [&WAITS, &KERNELS].map(|count| count.load(Ordering::SeqCst));
            [after[0] - before[0], after[1] - before[1]]
        };
        count(6);
        let (short, long) = (count(3), count(6));
        let [waits, kernels] = [0, 1].map(|i| (long[i] - short[i]) as f64 / 3.0);
        println!("{kind} on {name}: {waits:.1} waits and {kernels:.0} kernels a step");
        assert!(waits > 0.0 && kernels > 0.0, "{kind}: nothing was counted");
        if let Some((_, expected)) = EXPECTED.iter().find(|(of, _)| *of == kind) {
            assert_eq!(waits, *expected as f64, "{kind} on {name}");
        }
    }
}
