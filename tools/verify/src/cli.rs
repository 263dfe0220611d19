//! The command line.

use clap::{Args, Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0  it is proved; what exactly, the output says
  1  something is wrong, or can't be shown by what was given
  2  wrong use, or a file that can't be read";

const KEYS: &str = "\
Keys:
  The log's public keys are published with the service, and read <name>+<id>+<key>. Take them once, from people or a place
  that you trust, and keep them: a key that comes along with an export proves nothing.";

/// Checks exports, checkpoints and proofs of the audit log, offline.
///
/// The log is a Merkle tree (RFC 6962) for each tenant, over the canonical text (RFC 8785) of each event. Its head is signed
/// (C2SP checkpoints). Who has the public key can show with this command that an event is in the log as it was written, that
/// none is missing, and that the log of earlier is the beginning of the log of now.
#[derive(Debug, Parser)]
#[command(name = "tenantry-verify", version, verbatim_doc_comment, after_help = EXIT_CODES, after_long_help = format!("{KEYS}\n\n{EXIT_CODES}"))]
pub(crate) struct Cli {
    /// What to check.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Export(ExportArgs),
    Checkpoints(CheckpointsArgs),
    Proof(ProofArgs),
}

/// Check an export of the audit log.
///
/// Checks that the checkpoint is signed and is of this tenant's log; that each event is in the log at its index, as it was
/// written; that each personal value that is shown is the one that was logged; that what the export shows besides says the
/// same; that nothing is repeated, out of order or cut off, and in an export without a filter that nothing is missing between
/// its first and its last event, by their places in the log and by the numbers that each source gave them. An export that has
/// the whole log is built into a tree anew.
///
/// Reads NDJSON, OCSF and CSV, and any size: what it needs of memory doesn't grow with the file.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXIT_CODES, after_long_help = format!("{KEYS}\n\n{EXIT_CODES}"))]
pub(crate) struct ExportArgs {
    /// The export; - is the standard input.
    pub(crate) file: String,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// A checkpoint that you kept from earlier: the log of then must be the beginning of the log of now. Repeatable.
    ///
    /// It is shown by an export that begins with the log's first event, or has the proof in its first line; ask for an
    /// export from that size on.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) checkpoint: Vec<String>,
}

/// Check checkpoints, and hold them against each other.
///
/// Checks that each is signed. Two of one log and one size must have the same root: else the log shows itself differently to
/// different people. With a proof that the API gave, checks that the smaller one is the beginning of the larger one.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXIT_CODES, after_long_help = format!("{KEYS}\n\n{EXIT_CODES}"))]
pub(crate) struct CheckpointsArgs {
    /// Checkpoints, each a signed note in a file; - is the standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// An answer of the API with a consistency proof, as JSON. Repeatable.
    ///
    /// The checkpoint of the larger log comes along with it where it is the newest one; else it is one of those given.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) proof: Vec<String>,
}

/// Check the proof of one event, as the API answers it.
///
/// Checks that the checkpoint is signed and is of this tenant's log, that the event is in the log at its index, and that each
/// personal value that is shown is the one that was logged.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXIT_CODES, after_long_help = format!("{KEYS}\n\n{EXIT_CODES}"))]
pub(crate) struct ProofArgs {
    /// The answer, as JSON; - is the standard input.
    pub(crate) file: String,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// The checkpoint of the size that is proved for, where the answer has none.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<String>,
}

/// Whose signature counts.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// A public key of the log, or a file with some, one to a line. Repeatable: each of them counts.
    #[arg(long, required = true, value_name = "KEY|FILE")]
    pub(crate) key: Vec<String>,
}
