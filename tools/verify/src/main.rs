//! Checks what the audit log gives out, offline: with a public key and nothing else of the service.

mod checkpoints;
mod cli;
mod export;
mod files;
mod format;
mod keys;
mod proof;
mod report;
mod shown;
mod strict;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::keys::Keys;
use crate::report::{Report, plain};

/// What ends with this couldn't be looked at.
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(report) => {
            print!("{report}");
            report.exit_code()
        }
        Err(error) => {
            eprintln!("{}", plain(&format!("Can't look at it: {error:#}")));
            ExitCode::from(UNREADABLE)
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Report> {
    match &cli.command {
        Command::Export(args) => export::check(args, &Keys::read(&args.keys.key)?),
        Command::Checkpoints(args) => checkpoints::check(args, &Keys::read(&args.keys.key)?),
        Command::Proof(args) => proof::check(args, &Keys::read(&args.keys.key)?),
    }
}
