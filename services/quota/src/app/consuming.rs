//! Using up, in the ways that callers ask for it; and what there is of gauges.

use tenantry_core::RequestContext;
use tenantry_core::request_id::RequestKey;
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use super::posting::{Posting, exceeded};
use crate::domain::entry::{Amount, Counted, Kind};
use crate::error::Error;

/// How a use that limits don't have is decided (after the modes of Google's Service Control API, `QuotaOperation.QuotaMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All of it is used, or nothing.
    #[default]
    Normal,
    /// As much of each resource type as there is.
    BestEffort,
    /// Nothing is used: it is only asked.
    CheckOnly,
    /// It is used whatever the limits are.
    AdjustOnly,
}

/// What is to be used.
#[derive(Clone, Debug)]
pub(crate) struct Consumption {
    /// How much of each resource type, each of which stands here once.
    pub(crate) amounts: Vec<(String, i64)>,
    pub(crate) mode: Mode,
    pub(crate) description: String,
}

/// What was decided.
#[derive(Clone, Debug)]
pub(crate) struct Consumed {
    pub(crate) allowed: bool,
    pub(crate) counted: Vec<Counted>,
}

impl App {
    /// Uses so much, by its mode. Once for its key.
    pub(crate) async fn consume(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        consumption: &Consumption,
    ) -> Result<Consumed, Error> {
        let kind = match consumption.mode {
            Mode::CheckOnly => return self.check_all(tenant, &consumption.amounts).await,
            Mode::AdjustOnly => Kind::Adjusted,
            Mode::Normal | Mode::BestEffort => Kind::Used,
        };
        let mut posting = Posting::new(ctx, key, tenant, kind, &consumption.description);
        for (resource_type, amount) in &consumption.amounts {
            posting = posting.line(resource_type, Amount::By(*amount));
        }
        loop {
            let refused = match self.post(&posting).await? {
                Ok(receipt) => {
                    return Ok(Consumed {
                        allowed: true,
                        counted: receipt.counted,
                    });
                }
                Err(refused) => refused,
            };
            let line = posting.entry.lines.get_mut(refused.demand);
            match line.map(|line| &mut line.amount) {
                Some(Amount::By(amount)) if consumption.mode == Mode::BestEffort && *amount > 0 => {
                    let admitted = refused.standing.admitted().unwrap_or_default();
                    *amount = admitted.min(*amount - 1);
                }
                _ => return Err(exceeded(&posting, refused)),
            }
        }
    }

    /// Whether so much could be used.
    pub(crate) async fn check_all(
        &self,
        tenant: &TenantEntry,
        amounts: &[(String, i64)],
    ) -> Result<Consumed, Error> {
        let mut consumed = Consumed {
            allowed: true,
            counted: Vec::with_capacity(amounts.len()),
        };
        for (resource_type, amount) in amounts {
            let standing = self.check(tenant, resource_type).await?;
            consumed.allowed &= standing.admits(*amount);
            consumed.counted.push(Counted {
                resource_type: resource_type.clone(),
                amount: *amount,
                standing,
            });
        }
        Ok(consumed)
    }

    /// Gives back so much of a gauge. Once for its key.
    pub(crate) async fn release(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        (resource_type, amount, description): (&str, i64, &str),
    ) -> Result<Consumed, Error> {
        let posting = Posting::new(ctx, key, tenant, Kind::Released, description);
        let posting = posting.line(resource_type, Amount::By(-amount));
        self.fact(&posting).await
    }

    /// Says how much of a gauge there is. Once for its key.
    pub(crate) async fn set_gauge(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        (resource_type, value, description): (&str, i64, &str),
    ) -> Result<Consumed, Error> {
        let posting = Posting::new(ctx, key, tenant, Kind::Set, description);
        let posting = posting.line(resource_type, Amount::To(value));
        self.fact(&posting).await
    }

    /// Counts what no limit is asked about: it is allowed where the limits have it.
    async fn fact(&self, posting: &Posting<'_>) -> Result<Consumed, Error> {
        let counted = self.post_all(posting).await?.counted;
        let exceeded = counted.iter().any(|line| line.standing.is_exceeded());
        Ok(Consumed {
            allowed: !exceeded,
            counted,
        })
    }
}
