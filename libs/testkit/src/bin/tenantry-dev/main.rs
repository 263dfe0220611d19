//! What the `dev` script runs once everything is built: the developer's fleet, and the tests.

mod control;
mod demo;
mod prepare;
mod state;
mod supervise;
mod test;
mod tour;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "./dev",
    about = "Runs Tenantry on this machine",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the fleet; Ctrl-C ends all of it
    Up {
        /// Return when it is ready; `./dev down` ends it
        #[arg(long)]
        detach: bool,
    },
    /// The fleet's own process, which `up --detach` leaves behind
    #[command(hide = true)]
    Supervise,
    /// End the fleet; its data stays
    Down,
    /// Show each process, its address, and whether it is ready
    Status,
    /// Show the end of the logs, of one process or of all
    Logs {
        /// Its name as `./dev status` shows it, or a service's
        name: Option<String>,
        /// Lines of each log
        #[arg(long, short = 'n', default_value_t = 40)]
        lines: usize,
    },
    /// Run every test, on a Postgres of their own
    Test {
        /// The long form of the crash tests
        #[arg(long)]
        full: bool,
        /// Further arguments for `cargo test`, after `--`
        #[arg(last = true)]
        cargo: Vec<String>,
    },
    /// End the fleet and remove its data and credentials
    Reset,
    /// Check every query against a database and renew .sqlx/
    Prepare,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up { detach: false } => up::foreground().await,
        Command::Up { detach: true } => up::detached().await,
        Command::Supervise => supervise::run(supervise::Place::Background).await,
        Command::Down => control::down().await,
        Command::Status => control::status().await,
        Command::Logs { name, lines } => control::logs(name.as_deref(), lines),
        Command::Test { full, cargo } => test::run(full, &cargo).await,
        Command::Reset => control::reset().await,
        Command::Prepare => prepare::run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
