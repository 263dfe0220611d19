//! Corrections: what the log says was used is amended by a line of its own, in the window of the use, and with an event.

use std::iter;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, UsageId};
use tenantry_rpc::tenants::TenantEntry;

use super::bounds::Bound;
use super::{App, Consumed};
use crate::domain::account::AccountId;
use crate::domain::decision::Standing;
use crate::domain::entry::{Accounts, Amount, Change, Counted, Entry, Kind, Line, Part, Posted};
use crate::error::Error;
use crate::store::{accounts, series, usage};

/// What the log calls a correction.
const CORRECTED: &str = "usage.corrected";

/// What was really used.
#[derive(Clone, Debug)]
pub(crate) struct Correction {
    pub(crate) usage: UsageId,
    pub(crate) resource_type: String,
    pub(crate) amount: i64,
    pub(crate) reason: String,
}

/// A correction as it is answered, and kept for who sends it again.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    amount: i64,
    standing: Standing,
}

impl App {
    /// Amends a use. Once for its key.
    pub(crate) async fn correct(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        correction: &Correction,
    ) -> Result<Consumed, Error> {
        let Correction {
            usage: of,
            resource_type,
            ..
        } = correction;
        let bounds = self.bounds(tenant, resource_type).await?;
        let accounts = self.counted_in(tenant, (*of, resource_type), &bounds);
        let found = accounts.await?;
        let mut tx = self.store.across(tenant.id).await?;
        if let Some(replay) = tx.claim::<Answer>(key).await? {
            return Ok(consumed(resource_type, replay.answer));
        }
        let line = usage::lock(tx.conn(), tenant.id, (of.uuid(), resource_type)).await?;
        let line = line.ok_or(Error::UsageNotFound)?;
        if !Kind::CORRECTABLE
            .iter()
            .any(|kind| kind.word() == line.kind)
        {
            return Err(Error::NotCorrectable(line.kind));
        }
        let present = line.amount.saturating_add(line.corrected);
        let mut accounts = Accounts::new(accounts::lock(tx.conn(), found.iter()).await?);
        let now = accounts::now(tx.conn()).await?;
        let parts = found.into_iter().map(|account| Part {
            account,
            change: Change::Amend,
            fast: 0,
        });
        let usage_id = UsageId::new().uuid();
        let entry = Entry {
            key: (
                tenant.id,
                ctx.principal.key(),
                format!("correction-{usage_id}"),
            ),
            usage_id,
            digest: Vec::new(),
            kind: Kind::Corrected,
            description: correction.reason.clone(),
            occurred_at: Some(line.occurred_at),
            refers_to: Some(of.uuid()),
            lines: vec![Line {
                resource_type: resource_type.clone(),
                amount: Amount::By(correction.amount.saturating_sub(present)),
                parts: parts.collect(),
            }],
        };
        let counted = match accounts.post(&entry, now) {
            Posted::Done(counted) => counted,
            // Just purged, or no number says so much.
            Posted::Ended | Posted::Full(..) | Posted::Beyond(..) => {
                return Err(Error::UsageNotFound);
            }
        };
        usage::insert(tx.conn(), &[(&entry, &counted)], now).await?;
        let mut sums = series::Sums::default();
        for line_of in &counted {
            sums.add(tenant.id, resource_type, line.occurred_at, line_of.amount);
        }
        series::add(tx.conn(), &sums).await?;
        let event = event(ctx, correction, present);
        let told = vec![(tenant.id, event)];
        let own = iter::once(tenant.id);
        let closed = self.ledger.keep(&mut tx, &mut accounts, (own, told));
        if !closed.await?.is_empty() {
            return Err(Error::TenantNotFound);
        }
        let counted = counted.into_iter().next().ok_or(Error::UsageNotFound)?;
        let answer = Answer {
            amount: counted.amount,
            standing: counted.standing,
        };
        tx.finish(key, &answer).await?;
        self.ledger.free(accounts.freed()).await;
        for account in accounts.changed() {
            self.ledger.note_room(&account.id);
        }
        Ok(consumed(resource_type, answer))
    }
}

impl App {
    /// The accounts that a use counts in.
    async fn counted_in(
        &self,
        tenant: &TenantEntry,
        (of, resource_type): (UsageId, &str),
        bounds: &[Bound],
    ) -> Result<Vec<AccountId>, Error> {
        let mut tx = self.store.begin(tenant.id).await?;
        let line = usage::lock(tx.conn(), tenant.id, (of.uuid(), resource_type)).await?;
        drop(tx);
        let at = line.ok_or(Error::UsageNotFound)?.occurred_at;
        let mut known = vec![Vec::new(); bounds.len()];
        let found = self.windows(resource_type, bounds, &mut known, at).await?;
        found.ok_or(Error::UsageNotFound)
    }
}

fn event(ctx: &RequestContext, correction: &Correction, before: i64) -> Event {
    let state = |amount: i64| json!({"resource_type": correction.resource_type, "amount": amount});
    let mut after = state(correction.amount);
    after["reason"] = Value::String(correction.reason.clone());
    let id = correction.usage.uuid();
    Event::of(ctx, CORRECTED, "usage", id, state(before), after)
}

fn consumed(resource_type: &str, answer: Answer) -> Consumed {
    Consumed {
        allowed: !answer.standing.is_exceeded(),
        counted: vec![Counted {
            resource_type: resource_type.to_owned(),
            amount: answer.amount,
            standing: answer.standing,
        }],
    }
}
