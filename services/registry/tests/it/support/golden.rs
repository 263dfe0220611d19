//! Compares with a committed file, or writes it when asked to.

use std::fs;
use std::path::Path;

/// How to write the committed files anew.
const HOW_TO_WRITE: &str = "TENANTRY_GOLDEN=write cargo test -p tenantry-registry --test it";

/// Asserts that the file of this name in `golden/` holds `actual`; `meaning` says what a change of it means.
pub(crate) fn assert_golden(name: &str, actual: &str, meaning: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/golden")
        .join(name);
    if std::env::var_os("TENANTRY_GOLDEN").is_some_and(|mode| mode == "write") {
        fs::write(&file, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let only = |one: &str, other: &str, sign: &str| {
        one.lines()
            .filter(|line| !other.lines().any(|other| other == *line))
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    assert!(
        expected == actual,
        "{} differs. {meaning} If it is right, run `{HOW_TO_WRITE}` and commit the file.\n{}{}",
        file.display(),
        only(&expected, actual, "-"),
        only(actual, &expected, "+"),
    );
}
