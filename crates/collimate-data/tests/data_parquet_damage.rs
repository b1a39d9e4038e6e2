//! A damaged Parquet file is an error of one line.
#![cfg(feature = "parquet")]

use std::sync::atomic::{AtomicUsize, Ordering};

use collimate_data::{ReadOptions, read_pairs};

#[test]
fn no_damage_of_a_byte_ends_the_program() {
    // The reader catches panics of the library, but their messages would still be printed.
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let whole = std::fs::read("tests/parquet/six_plain.parquet").unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("damaged.parquet");
    let (mut refused, mut read) = (0, 0);
    // Headers of pages are in the first quarter.
    let quarter = whole.len() / 4;
    for at in (4..quarter).chain((quarter..whole.len()).step_by(9)) {
        for flip in [0xff, 0x02] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            std::fs::write(&file, damaged).unwrap();
            match read_pairs(&file, &ReadOptions::default()) {
                Ok(_) => read += 1,
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.to_string().lines().count(), 1, "{error}");
                }
            }
        }
    }
    drop(std::panic::take_hook());
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    assert!(
        refused > 100 && read > 100,
        "{refused} refused, {read} read"
    );
}
