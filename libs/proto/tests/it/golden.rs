//! Compares with a committed file, or writes it when asked to.

use std::path::Path;
use std::{env, fs};

/// How to write the committed files anew.
const HOW_TO_WRITE: &str = "TENANTRY_GOLDEN=write cargo test -p tenantry-proto";

/// Asserts that the file at `path`, relative to this crate, holds `actual`.
pub(crate) fn assert_text(path: &str, actual: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("TENANTRY_GOLDEN").is_some_and(|mode| mode == "write") {
        fs::write(&file, actual).expect("the golden file can be written");
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is not what the contracts say. If the change is wanted, run `{HOW_TO_WRITE}` and commit the file.\n{}",
        file.display(),
        difference(&expected, actual)
    );
}

/// The lines that only one of the two has.
fn difference(expected: &str, actual: &str) -> String {
    let gone = expected
        .lines()
        .filter(|line| !actual.lines().any(|other| other == *line))
        .map(|line| format!("- {line}"));
    let new = actual
        .lines()
        .filter(|line| !expected.lines().any(|other| other == *line))
        .map(|line| format!("+ {line}"));
    gone.chain(new).take(40).collect::<Vec<_>>().join("\n")
}
