//! Holds checkpoints against each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use tenantry_core::TenantId;
use tenantry_transparency::tree::proof_from_text;
use tenantry_transparency::{
    Checkpoint, Hash, check_consistency, origin_of_fleet, origin_of_tenant,
};

use crate::cli::CheckpointsArgs;
use crate::files;
use crate::format::decimal;
use crate::keys::Keys;
use crate::report::Report;
use crate::strict;

/// An answer of the API, as far as it is about two sizes of a log.
#[derive(Debug, Deserialize)]
struct Answer {
    /// Not there where the log is the fleet's.
    tenant_id: Option<TenantId>,
    /// Not there where it was asked of the fleet's log: any of the smaller ones, then.
    #[serde(default, deserialize_with = "some_decimal")]
    consistency_from: Option<u64>,
    #[serde(deserialize_with = "decimal")]
    tree_size: u64,
    consistency: Vec<String>,
    /// Empty where it isn't the newest one.
    #[serde(default)]
    checkpoint: String,
}

fn some_decimal<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    decimal(from).map(Some)
}

/// Checkpoints by log and size, each with the file that it came in first.
#[derive(Default)]
struct Seen {
    by_size: BTreeMap<(String, u64), (Checkpoint, String)>,
    /// What was shown of two sizes of a log: the first is the beginning of the second.
    links: Vec<(String, u64, u64)>,
}

/// Checks the checkpoints and tells what was found.
///
/// # Errors
/// For a file that can't be read.
pub(crate) fn check(args: &CheckpointsArgs, keys: &Keys) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut seen = Seen::default();
    for file in &args.files {
        let note = files::read(file)?;
        if let Err(why) = seen.add(&note, file, keys, &mut report) {
            report.wrong(format!("{file}: {why}"));
        }
    }
    for file in &args.proof {
        let text = files::read(file)?;
        if let Err(why) = seen.link(&text, file, keys, &mut report) {
            report.wrong(format!("{file}: {why}"));
        }
    }
    seen.tell(&mut report);
    Ok(report)
}

impl Seen {
    fn add(
        &mut self,
        note: &str,
        file: &str,
        keys: &Keys,
        report: &mut Report,
    ) -> Result<Checkpoint, String> {
        let signed = keys.open(note)?;
        let checkpoint = signed.checkpoint;
        let key = (checkpoint.origin.clone(), checkpoint.size);
        match self.by_size.get(&key) {
            Some((other, first)) if other.root != checkpoint.root => {
                return Err(format!(
                    "SPLIT VIEW: this and {first} are both signed for the log {} with {} events, and are of different logs; keep both, they are the proof",
                    key.0, key.1
                ));
            }
            Some((_, first)) => report.proved(format!("{file}: says the same as {first}.")),
            None => report.proved(format!(
                "{file}: {} events of the log {}, root {}, signed by {}.",
                key.1, key.0, checkpoint.root, signed.vkey
            )),
        }
        self.by_size
            .entry(key)
            .or_insert_with(|| (checkpoint.clone(), file.to_owned()));
        Ok(checkpoint)
    }

    /// Checks a proof between two of the checkpoints. The larger one comes along with it.
    fn link(
        &mut self,
        text: &str,
        file: &str,
        keys: &Keys,
        report: &mut Report,
    ) -> Result<(), String> {
        let answer: Answer = serde_json::from_value(strict::parse(text)?)
            .map_err(|error| format!("this is no answer of the proof call: {error}"))?;
        let large = if answer.checkpoint.is_empty() {
            self.given(&answer)?
        } else {
            self.add(&answer.checkpoint, file, keys, report)?
        };
        if large.size != answer.tree_size {
            return Err(format!(
                "it is of a log of {} events, and its checkpoint of one of {}",
                answer.tree_size, large.size
            ));
        }
        let proof = proof_from_text(&answer.consistency).map_err(|error| error.to_string())?;
        let (small, first) = self.beginning(&answer, &large, &proof)?;
        report.proved(format!(
            "{file}: the log of {first}, {small} events, is the beginning of the one with {}.",
            large.size
        ));
        self.links.push((large.origin, small, large.size));
        Ok(())
    }

    /// The checkpoint that an answer is about, among those that were given.
    fn given(&self, answer: &Answer) -> Result<Checkpoint, String> {
        let ending = answer
            .tenant_id
            .map_or_else(|| origin_of_fleet(""), |id| origin_of_tenant("", id));
        let found = self
            .by_size
            .iter()
            .find(|((origin, size), _)| origin.ends_with(&ending) && *size == answer.tree_size);
        let (checkpoint, _) = found.map(|(_, seen)| seen).ok_or_else(|| {
            format!(
                "it has no checkpoint, and none that was given is of its log with {} events",
                answer.tree_size
            )
        })?;
        Ok(checkpoint.clone())
    }

    /// The size that the proof shows to be the beginning, and the file of its checkpoint.
    fn beginning(
        &self,
        answer: &Answer,
        large: &Checkpoint,
        proof: &[Hash],
    ) -> Result<(u64, &str), String> {
        let from = answer.consistency_from;
        let mut asked = self.by_size.values().filter(|(small, _)| {
            small.origin == large.origin
                && from.map_or(small.size < large.size, |from| from == small.size)
        });
        if asked.clone().next().is_none() {
            let from = from.map_or_else(|| "a smaller size".to_owned(), |from| from.to_string());
            return Err(format!(
                "it proves something of {from} events of {}, and no checkpoint that was given is of that size",
                large.origin
            ));
        }
        asked
            .find(|(small, _)| check_consistency(&small.head(), &large.head(), proof).is_ok())
            .map(|(small, file)| (small.size, file.as_str()))
            .ok_or_else(|| {
                format!(
                    "it doesn't show that an earlier log is the beginning of the one with {} events",
                    large.size
                )
            })
    }

    /// Tells which are not shown to be of the same log as the largest one of their name.
    fn tell(&self, report: &mut Report) {
        let mut tied: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        // From the largest to the smallest: what begins something that is tied is tied.
        for (origin, size) in self.by_size.keys().rev() {
            let tied = tied.entry(origin).or_default();
            let is_linked = |(of, from, to): &(String, u64, u64)| {
                of == origin && from == size && tied.contains(to)
            };
            if tied.is_empty() || self.links.iter().any(is_linked) {
                tied.push(*size);
            } else {
                report.note(format!(
                    "Whether the log {origin} of {size} events is the beginning of the one with {} isn't shown: give the API's proof with --proof.",
                    tied[0]
                ));
            }
        }
    }
}
