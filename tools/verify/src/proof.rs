//! Checks the proof of one event.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tenantry_core::TenantId;
use tenantry_transparency::leaf::ERASED;
use tenantry_transparency::tree::proof_from_text;
use tenantry_transparency::{Disclosures, Leaf, check_inclusion};

use crate::cli::ProofArgs;
use crate::files;
use crate::format::decimal;
use crate::keys::Keys;
use crate::report::{Report, counted};
use crate::strict;

/// An answer of the API's proof call.
#[derive(Debug, Deserialize)]
struct Answer {
    tenant_id: TenantId,
    #[serde(deserialize_with = "decimal")]
    index: u64,
    #[serde(deserialize_with = "decimal")]
    tree_size: u64,
    leaf: String,
    #[serde(default, deserialize_with = "disclosures")]
    disclosed: Disclosures,
    inclusion: Vec<String>,
    /// Empty where it isn't the newest one.
    #[serde(default)]
    checkpoint: String,
}

/// Disclosures as they are, or as the text of their JSON; an empty one has none.
fn disclosures<'de, D: Deserializer<'de>>(from: D) -> Result<Disclosures, D::Error> {
    let parsed = match Value::deserialize(from)? {
        Value::String(text) if text.is_empty() => return Ok(Disclosures::new()),
        Value::String(text) => strict::parse(&text).map_err(D::Error::custom)?,
        value => value,
    };
    serde_json::from_value(parsed).map_err(D::Error::custom)
}

/// Checks the answer and tells what was found.
///
/// # Errors
/// For a file that can't be read.
pub(crate) fn check(args: &ProofArgs, keys: &Keys) -> anyhow::Result<Report> {
    let text = files::read(&args.file)?;
    let note = match &args.checkpoint {
        Some(file) => files::read(file)?,
        None => String::new(),
    };
    let mut report = Report::default();
    if let Err(why) = shows(&text, &note, keys, &mut report) {
        report.wrong(why);
    }
    Ok(report)
}

fn shows(text: &str, note: &str, keys: &Keys, report: &mut Report) -> Result<(), String> {
    let answer: Answer = serde_json::from_value(strict::parse(text)?)
        .map_err(|error| format!("this is no answer of the proof call: {error}"))?;
    let note = if note.is_empty() {
        &answer.checkpoint
    } else {
        note
    };
    if note.is_empty() {
        return Err(format!(
            "it has no checkpoint; give the one of {} with --checkpoint",
            counted(answer.tree_size, "event")
        ));
    }
    let signed = keys
        .open_of(note, answer.tenant_id)
        .map_err(|why| format!("the checkpoint: {why}"))?;
    let tree = signed.checkpoint.head();
    if tree.size != answer.tree_size {
        return Err(format!(
            "it is of a log of {} events, and its checkpoint of one of {}",
            answer.tree_size, tree.size
        ));
    }
    report.proved(format!(
        "The checkpoint of {} of the log {} is signed by {}.",
        counted(tree.size, "event"),
        signed.checkpoint.origin,
        signed.vkey
    ));
    let leaf = Leaf::parse(&answer.leaf).map_err(|error| error.to_string())?;
    let proof = proof_from_text(&answer.inclusion).map_err(|error| error.to_string())?;
    check_inclusion(&tree, answer.index, leaf.hash(), &proof).map_err(|_| {
        format!(
            "the event isn't in the log at index {} as it stands here, or its proof was changed",
            answer.index
        )
    })?;
    let event = leaf
        .open(&answer.disclosed)
        .map_err(|error| error.to_string())?;
    if event.get("tenant_id").and_then(Value::as_str) != Some(&answer.tenant_id.to_string()) {
        return Err("the event is of another tenant".to_owned());
    }
    report.proved(format!(
        "The event at index {} is in this log as it stands here.",
        answer.index
    ));
    if !answer.disclosed.is_empty() {
        report.proved(format!(
            "What is shown of {} is what was logged.",
            counted(answer.disclosed.len() as u64, "personal value")
        ));
    }
    if let Some(erased) = event.get(ERASED).and_then(Value::as_array) {
        report.note(format!(
            "Not shown, because erased or left out here: {}. The log holds the commitments.",
            counted(erased.len() as u64, "personal value")
        ));
    }
    Ok(())
}
