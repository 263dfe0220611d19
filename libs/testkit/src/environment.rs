//! The one place where the testkit reads environment variables.

/// Superuser URL of a Postgres that all tests of a run share; `./dev test` sets it.
pub const TEST_DATABASE_URL: &str = "TENANTRY_TEST_DATABASE_URL";
/// Folder of the service binaries, where it isn't the one of the running executable.
pub const BIN_DIR: &str = "TENANTRY_BIN_DIR";
/// Postgres to use instead of a private one (superuser URL).
pub const EXTERNAL_DATABASE_URL: &str = "TENANTRY_EXTERNAL_DATABASE_URL";
/// Redis to use instead of a private one.
pub const EXTERNAL_REDIS_URL: &str = "TENANTRY_EXTERNAL_REDIS_URL";
/// Asks for the long form of the crash tests; `./dev test --full` sets it.
pub const TEST_FULL: &str = "TENANTRY_TEST_FULL";

/// The value of a variable; none where it is unset, empty or not UTF-8.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn get(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the long form of the crash tests is asked for.
#[must_use]
pub fn full() -> bool {
    get(TEST_FULL).is_some_and(|value| value == "1")
}
