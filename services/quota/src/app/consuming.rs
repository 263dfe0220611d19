//! Using up: spent first, then committed to the ledger, and acknowledged only then.

use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId, UsageId};
use tenantry_counter::How;
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use super::committing::{Outcome, Part, UNANSWERED, Use};
use super::spending::{Spending, Tried, Trying};
use crate::domain::decision::Standing;
use crate::error::Error;
use crate::store::usage::{self, Kept, Record};

/// What is to be used.
#[derive(Clone, Debug)]
pub(crate) struct Consumption {
    pub(crate) resource_type: String,
    pub(crate) amount: i64,
    pub(crate) description: String,
}

impl App {
    /// Uses so much, or nothing where a limit doesn't have it. Once for its key.
    pub(crate) async fn consume(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        consumption: &Consumption,
    ) -> Result<Standing, Error> {
        let usage_id = UsageId::new().uuid();
        let record = Record {
            key: (
                tenant.id,
                ctx.principal.key(),
                key.map_or_else(|| usage_id.to_string(), |key| key.request_id.clone()),
            ),
            usage_id,
            // Without an id nobody can repeat it.
            digest: key.map(|key| key.digest.to_vec()).unwrap_or_default(),
            resource_type: consumption.resource_type.clone(),
            amount: consumption.amount,
            description: consumption.description.clone(),
            answer: UNANSWERED,
        };
        let trying = Trying::new();
        let decided = loop {
            let tried = self.try_to_consume(tenant, &record).await?;
            if let Some(decided) = trying.decided(tried).await? {
                break decided;
            }
        };
        match decided {
            Ok(standing) => Ok(standing),
            Err(standing) => self.admitted_before(&record).await?.ok_or_else(|| {
                let Consumption {
                    resource_type,
                    amount,
                    ..
                } = consumption.clone();
                Error::QuotaExceeded {
                    resource_type,
                    amount,
                    standing,
                }
            }),
        }
    }

    async fn try_to_consume(
        &self,
        tenant: &TenantEntry,
        record: &Record,
    ) -> Result<Tried<Standing>, Error> {
        let what = (record.resource_type.as_str(), record.amount);
        let bounds = self.bounds(tenant, &record.resource_type).await?;
        let spending = match self.spend(&bounds, what, How::Durably).await? {
            Tried::Done(spending) => spending,
            Tried::Full(standing) => return Ok(Tried::Full(standing)),
            Tried::Again => return Ok(Tried::Again),
            Tried::Pending => return Ok(Tried::Pending),
        };
        match self.commit(tenant.id, record, &spending).await? {
            Outcome::Done(standing) => Ok(Tried::Done(standing)),
            Outcome::Again(kept) => {
                // Ours, where a first try was committed and nobody was told.
                if kept.usage_id != record.usage_id {
                    self.give_back(&spending).await?;
                }
                Ok(Tried::Done(same(record, &kept)?))
            }
            Outcome::Ended => {
                self.give_back(&spending).await?;
                for open in &spending.opens {
                    self.ledger.forget(open.id.tenant, &record.resource_type);
                }
                Ok(Tried::Again)
            }
            Outcome::Full(standing) => {
                self.give_back(&spending).await?;
                self.ledger
                    .note_full(&record.resource_type, standing, &spending);
                Ok(Tried::Full(standing))
            }
        }
    }

    /// Commits what was spent.
    async fn commit(
        &self,
        tenant: TenantId,
        record: &Record,
        spending: &Spending,
    ) -> Result<Outcome, Error> {
        let parts = spending.parts().map(|(open, counter)| Part {
            account: open.id.clone(),
            opening: open.opening().map(str::to_owned),
            limit: open.limit,
            fast: counter.map_or(0, |counter| counter.fast),
        });
        let used = Use {
            parts: parts.collect(),
            record: record.clone(),
        };
        let root = spending.opens.first().map_or(tenant, |open| open.root);
        self.committer.commit(used, root).await
    }

    /// The first answer, where the same request was admitted before.
    async fn admitted_before(&self, record: &Record) -> Result<Option<Standing>, Error> {
        if record.digest.is_empty() {
            return Ok(None);
        }
        let mut tx = self.store.read(record.key.0).await?;
        let kept = usage::kept(tx.conn(), &[&record.key]).await?;
        kept.first().map(|(_, kept)| same(record, kept)).transpose()
    }
}

/// The first answer to the same request; refused where the request was another.
fn same(record: &Record, kept: &Kept) -> Result<Standing, Error> {
    if kept.digest != record.digest {
        return Err(tenantry_store::Error::RequestIdReused.into());
    }
    let answer = serde_json::from_value(kept.answer.clone());
    Ok(answer.map_err(tenantry_store::Error::from)?)
}
