//! What one transaction signs: pure work, away from the threads that serve.

use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use tenantry_core::TenantId;
use tenantry_rpc::tasks::contained;
use tenantry_transparency::{Growth, Signers, Tiles};

use crate::domain::trees::{Alarm, Fleet, Grown, Leaves, Waiting, grow};
use crate::error::Error;
use crate::store::trees::Settled;

/// What one transaction is about.
pub(super) struct Turn {
    pub(super) signers: Arc<Signers>,
    pub(super) fleet: Fleet,
    pub(super) fleet_edge: Tiles,
    pub(super) logs: Vec<Log>,
    pub(super) now: Timestamp,
    /// The place in the queue of what is due, behind all others that are.
    pub(super) at_once: Timestamp,
}

/// A log that a transaction takes up, to which size, with what that takes.
pub(super) struct Log {
    pub(super) waiting: Waiting,
    pub(super) to: u64,
    pub(super) edge: Tiles,
    pub(super) leaves: Option<Leaves>,
}

/// What it comes to.
#[derive(Default)]
pub(super) struct Done {
    pub(super) grown: Vec<Grown>,
    /// The fleet's log with these checkpoints, and its own; none where there are none.
    pub(super) fleet: Option<(Growth, String)>,
    pub(super) settled: Vec<Settled>,
    pub(super) alarms: Vec<(TenantId, Alarm)>,
    /// Whether a log has more leaves than its share was.
    pub(super) more: bool,
}

impl Turn {
    /// Lets the trees grow and signs them. What is wrong with one log leaves the others alone.
    pub(super) fn sign(self) -> Result<Done, Error> {
        let mut done = Done::default();
        for log in &self.logs {
            let (tenant, waiting) = (log.waiting.tenant, &log.waiting);
            let mut settled = Settled {
                tenant,
                size: log.to,
                last_at: waiting.since,
                queued_at: self.now,
            };
            if waiting.size == waiting.tree.size {
                // Signed by whoever didn't come to take it out of the queue.
                done.settled.push(settled);
                continue;
            }
            let leaves = log.leaves.as_ref();
            let one = async { grow(&self.signers, waiting, log.to, &log.edge, leaves) };
            let one = contained("checkpoints", one).now_or_never().flatten();
            match one.unwrap_or(Err(Alarm::Fault)) {
                Ok(grown) => {
                    settled.last_at = leaves.map_or(waiting.since, |leaves| leaves.last_at);
                    if log.to < waiting.size {
                        settled.queued_at = self.at_once;
                        done.more = true;
                    }
                    done.grown.push(grown);
                    done.settled.push(settled);
                }
                Err(alarm) => done.alarms.push((tenant, alarm)),
            }
        }
        if !done.grown.is_empty() {
            let fleet = self
                .fleet
                .grow(&self.signers, &self.fleet_edge, &done.grown);
            done.fleet = Some(fleet.map_err(Error::NotSigned)?);
        }
        Ok(done)
    }
}
