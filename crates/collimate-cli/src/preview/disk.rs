//! Disk space that a run needs, and free disk space.

use std::path::Path;

use super::Preview;
use super::weights::Weights;
use crate::common::{self, Failure};

/// Sizes of a run on disk, in bytes.
struct Disk {
    /// Size of one checkpoint.
    checkpoint: f64,
    /// Size of all checkpoints that are kept, and of one that is being written.
    checkpoints: f64,
    /// Size of the models at the end.
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
        // A checkpoint has the trained parameters and AdamW's two moments. Adapters are a few per
        // cent of all parameters.
        let checkpoint = 3.0 * if self.lora { 0.03 * bytes } else { bytes };
        let kept = self.trainings.iter().map(|training| {
            let best = u64::from(training.train.keep_best);
            let at_once = training.at_once.unwrap_or(u64::MAX).min(training.times);
            at_once as f64 * (training.train.keep_last as u64 + best) as f64
        });
        Disk {
            checkpoint,
            checkpoints: checkpoint * (1.0 + kept.sum::<f64>()),
            models: bytes * self.models as f64,
        }
    }

    /// Describes the disk space that a run needs.
    pub(super) fn disk(&self, weights: &Weights) -> String {
        self.disk_of(weights).describe()
    }

    /// Reports the disk space that a run in the folder `out` needs. Refuses a run without space for
    /// its first checkpoint.
    pub(crate) fn check_disk(&self, out: &Path) -> Result<(), Failure> {
        // A model that cannot be read is reported when it is loaded.
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
                "{}: the first checkpoint takes about {:.2} GB, but {:.2} GB are free: make room, \
                 or give --out on another disk",
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

/// Returns the free bytes at a folder, which need not exist yet; `None` if the system does not
/// report them.
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
