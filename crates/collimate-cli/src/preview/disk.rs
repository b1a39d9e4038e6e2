//! The disk that a run takes, and the disk that is free.

use std::path::Path;

use super::Preview;
use super::weights::Weights;
use crate::common::{self, Failure};

/// Bytes of a run on disk.
struct Disk {
    /// One checkpoint.
    checkpoint: f64,
    /// All checkpoints that stay, and one that is being written.
    checkpoints: f64,
    /// The models at the end.
    models: f64,
}

impl Disk {
    fn describe(&self) -> String {
        format!(
            "about {:.2} GB: checkpoints {:.2}, models {:.2}",
            gb(self.checkpoints + self.models),
            gb(self.checkpoints),
            gb(self.models)
        )
    }
}

fn gb(bytes: f64) -> f64 {
    bytes / 1e9
}

impl Preview {
    fn disk_of(&self, weights: &Weights) -> Disk {
        let bytes = 4.0 * weights.parameters as f64;
        // The trained parameters with AdamW's two moments; adapters are a few per cent of all.
        let checkpoint = 3.0 * if self.lora { 0.03 * bytes } else { bytes };
        let kept = self.trainings.iter().map(|training| {
            let best = u64::from(training.train.keep_best);
            training.times as f64 * (training.train.keep_last as u64 + best) as f64
        });
        Disk {
            checkpoint,
            checkpoints: checkpoint * (1.0 + kept.sum::<f64>()),
            models: bytes * self.models as f64,
        }
    }

    /// The disk that a run takes, in words.
    pub(super) fn disk(&self, weights: &Weights) -> String {
        self.disk_of(weights).describe()
    }

    /// Tells the disk that a run in the folder `out` takes. Refuses a run without room for its first
    /// checkpoint.
    pub(crate) fn check_disk(&self, out: &Path) -> Result<(), Failure> {
        // A model that cannot be read is told by the reader of models.
        let Ok(weights) = Weights::of(&self.model) else {
            return Ok(());
        };
        let disk = self.disk_of(&weights);
        let Some(free) = free_bytes(out).map(|free| free as f64) else {
            common::tell(&format!("disk: {}", disk.describe()));
            return Ok(());
        };
        if free < disk.checkpoint {
            return Err(format!(
                "{}: the first checkpoint takes about {:.2} GB, and {:.2} GB are free: make room, or give \
                 --out on another disk",
                out.display(),
                gb(disk.checkpoint),
                gb(free)
            )
            .into());
        }
        common::tell(&format!(
            "disk: {}; {:.2} GB are free",
            disk.describe(),
            gb(free)
        ));
        Ok(())
    }
}

/// Free bytes where a folder is, or will be made; nothing where the system does not say.
#[cfg(unix)]
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|path| path.is_dir());
    let found = rustix::fs::statvfs(there.unwrap_or(Path::new("."))).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(not(unix))]
pub(crate) fn free_bytes(_: &Path) -> Option<u64> {
    None
}
