//! Examples as processes.

use std::path::Path;
use std::process::Command;

/// `cargo test` builds the examples first, beside the folder of its tests.
#[test]
fn the_ser_example_refuses_arguments() {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap();
    let name = format!("examples/ser{}", std::env::consts::EXE_SUFFIX);
    let program = built.join(name);
    assert!(
        program.exists(),
        "{}: run `cargo build -p collimate-examples --examples` first",
        program.display()
    );
    for arguments in [&["--full"][..], &["--stop-after", "rm"]] {
        let output = Command::new(&program)
            .args(arguments)
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        let says = format!("error: {:?}: this example takes no arguments", arguments[0]);
        assert!(told.starts_with(&says), "{told}");
    }
}
