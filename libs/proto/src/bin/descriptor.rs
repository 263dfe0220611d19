//! Writes the public descriptor set to a file, for Envoy: `cargo run -p tenantry-proto --bin tenantry-descriptor -- <path>`.

use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1) else {
        eprintln!("name the file to write: tenantry-descriptor <path>");
        return ExitCode::FAILURE;
    };
    if let Err(error) = fs::write(&path, tenantry_proto::DESCRIPTOR_SET) {
        eprintln!(
            "can't write {}: {error}; make its folder first, or name another file",
            path.display()
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
