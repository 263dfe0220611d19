//! The quota service.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenantry_runtime::main::<tenantry_quota::Quota>()
}
