//! `./dev test`: every test of the workspace, on one private Postgres that ends with the run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tenantry_testkit::database::private_server;
use tenantry_testkit::environment::{TEST_DATABASE_URL, TEST_FULL};
use tenantry_testkit::paths;
use tenantry_testkit::postgres::Durability;

/// How many tests run at once, for libtest.
const THREADS: &str = "RUST_TEST_THREADS";
/// Has libtest show what tests print that pass.
const SHOW: &str = "--show-output";

/// Runs the tests and prints how many passed and failed, as the last line. The long forms have figures to show, so with them what
/// tests print is shown where they pass, too.
pub(crate) async fn run(full: bool, cargo_arguments: &[String]) -> Result<()> {
    let postgres = private_server(Durability::None).await?;
    let url = postgres.cluster().superuser_url("postgres");
    let mut command = Command::new(cargo());
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(cargo_arguments)
        .current_dir(paths::repository())
        .env(TEST_DATABASE_URL, url.as_str())
        .env(TEST_FULL, if full { "1" } else { "0" })
        .stdout(Stdio::piped());
    if full && !cargo_arguments.iter().any(|argument| argument == SHOW) {
        let begun = cargo_arguments.iter().any(|argument| argument == "--");
        command.args((!begun).then_some("--")).arg(SHOW);
    }
    if tenantry_testkit::environment::get(THREADS).is_none() {
        // One more than cores: some wait for a fleet of their own.
        let cores = std::thread::available_parallelism()?;
        command.env(THREADS, (cores.get() + 1).to_string());
    }
    let (passed, failed, success) = tokio::task::spawn_blocking(move || count(command)).await??;
    postgres.unit().stop().await?;
    paths::remove_scratch();
    println!("\n{passed} passed, {failed} failed");
    ensure!(success && failed == 0, "cargo test failed");
    ensure!(passed > 0, "no test ran");
    Ok(())
}

/// Runs cargo, shows what it writes, and sums up what the test binaries report.
fn count(mut command: Command) -> Result<(u64, u64, bool)> {
    let mut cargo = command.spawn().context("can't run cargo")?;
    let output = cargo
        .stdout
        .take()
        .context("cargo's output isn't captured")?;
    let (mut passed, mut failed) = (0, 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()?;
        if let Some(result) = line.strip_prefix("test result: ") {
            passed += number_before(result, " passed");
            failed += number_before(result, " failed");
        }
    }
    Ok((passed, failed, cargo.wait()?.success()))
}

/// The number that stands before a word: 4 in `ok. 4 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// The cargo that ran us, else the one on PATH.
pub(crate) fn cargo() -> PathBuf {
    tenantry_testkit::environment::get("CARGO")
        .map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_binaries_are_read() {
        let line =
            "FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(
            (
                number_before(line, " passed"),
                number_before(line, " failed")
            ),
            (12, 3)
        );
    }
}
