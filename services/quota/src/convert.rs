//! Between the contract's messages and the use cases.

pub(crate) mod health;
pub(crate) mod hold;
pub(crate) mod rate_limit;
pub(crate) mod reservation;
pub(crate) mod usage;
pub(crate) mod usage_event;

use prost::Message as _;
use tenantry_core::refusal::Violations;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Permission, Refusal, RequestContext};
use tenantry_proto::quota::v1 as wire;
use tenantry_rpc::convert::{instant, timestamp};
use tenantry_rpc::limit_policy;

use crate::app::{Consumed, Consumption, Mode, NewOverride, Quota, tightest};
use crate::domain::entry::Counted;
use crate::domain::limit::{self, MAX_AMOUNT};
use crate::domain::period::ResetPeriod;

/// Longest reason and description, in characters.
const MAX_TEXT: usize = 500;
/// Most resource types of one decision.
const MAX_RESOURCES: usize = 16;
/// Most uses of a batch.
const MAX_USES: usize = 1_000;

/// A limit as it is shown; why it is set apart, and by whom, to those who may change it.
pub(crate) fn quota(ctx: &RequestContext, quota: Quota) -> wire::Quota {
    let Quota {
        resource_type,
        reset_period,
        standing,
        source,
        shared,
        policy,
        set,
    } = quota;
    let manages =
        ctx.allows(Permission::TenantsManage) || ctx.allows(Permission::PlatformTenantsManage);
    wire::Quota {
        resource_type,
        limit: standing.limit,
        usage: standing.usage,
        remaining: standing.remaining(),
        reset_period: reset_period.word().to_owned(),
        reset_at: standing.reset_at.map(timestamp),
        source: source.unwrap_or_default(),
        shared,
        policy: limit_policy::to_wire(&policy),
        overage: standing.overage(),
        r#override: set.map(|set| wire::LimitOverride {
            id: set.id.to_string(),
            reason: if manages { set.reason } else { String::new() },
            expires_at: set.expires_at.map(timestamp),
            created_at: Some(timestamp(set.created_at)),
            created_by: if !manages {
                String::new()
            } else if set.created_by.name.is_empty() {
                set.created_by.id.to_string()
            } else {
                set.created_by.name
            },
        }),
    }
}

/// What was decided: of several resource types the one that binds most stands first, and then each of them.
pub(crate) fn decision(consumed: Consumed) -> wire::QuotaDecision {
    let mut decision = wire::QuotaDecision {
        allowed: consumed.allowed,
        ..wire::QuotaDecision::default()
    };
    if let Some(line) = tightest(&consumed.counted).cloned().map(standing) {
        decision.resource_type = line.resource_type;
        decision.amount = line.amount;
        decision.limit = line.limit;
        decision.usage = line.usage;
        decision.remaining = line.remaining;
        decision.reset_at = line.reset_at;
        decision.limit_tenant_id = line.limit_tenant_id;
        decision.overage = line.overage;
    }
    if consumed.counted.len() > 1 {
        decision.resources = consumed.counted.into_iter().map(standing).collect();
    }
    decision
}

pub(crate) fn standing(counted: Counted) -> wire::ResourceStanding {
    let standing = counted.standing;
    wire::ResourceStanding {
        resource_type: counted.resource_type,
        amount: counted.amount,
        limit: standing.limit,
        usage: standing.usage,
        remaining: standing.remaining(),
        reset_at: standing.reset_at.map(timestamp),
        limit_tenant_id: standing.tenant.to_string(),
        overage: standing.overage(),
    }
}

/// What became of one of many uses.
pub(crate) fn result(
    request_id: String,
    consumed: Result<Consumed, Refusal>,
) -> wire::ConsumeQuotaResult {
    let result = wire::ConsumeQuotaResult {
        request_id,
        ..wire::ConsumeQuotaResult::default()
    };
    match consumed {
        Ok(consumed) => wire::ConsumeQuotaResult {
            decision: Some(decision(consumed)),
            ..result
        },
        Err(refusal) => wire::ConsumeQuotaResult {
            reason: refusal.reason.word().to_owned(),
            message: refusal.message,
            ..result
        },
    }
}

pub(crate) fn resource_type(text: &str) -> Result<(), Refusal> {
    limit::resource_type(text).map_err(|why| Refusal::field("resource_type", why))
}

/// The amount that is asked for.
pub(crate) fn asked(resource_type: &str, asked: Option<i64>) -> Result<i64, Refusal> {
    let mut wrong = Violations::new();
    wrong.take("resource_type", limit::resource_type(resource_type));
    let amount = wrong.take("amount", amount(asked.unwrap_or(1)));
    wrong.check()?;
    Ok(amount.unwrap_or_default())
}

pub(crate) fn consumption(message: wire::ConsumeQuotaRequest) -> Result<Consumption, Refusal> {
    let mut wrong = Violations::new();
    let one = (message.resource_type, message.amount);
    let amounts = amounts(&mut wrong, one, message.resources);
    if let Some(why) = text(&message.description) {
        wrong.add("description", why);
    }
    let mode = match message.mode.as_str() {
        "" | "normal" => Mode::Normal,
        "best_effort" => Mode::BestEffort,
        "check_only" => Mode::CheckOnly,
        "adjust_only" => Mode::AdjustOnly,
        _ => {
            let words = "must be normal, best_effort, check_only or adjust_only";
            wrong.add("mode", words);
            Mode::Normal
        }
    };
    wrong.check()?;
    Ok(Consumption {
        amounts,
        mode,
        description: message.description,
    })
}

/// One use of a batch.
pub(crate) struct BatchUse {
    /// Its id as it was given.
    pub(crate) request_id: String,
    /// Its key, and what it asks for.
    pub(crate) parsed: Result<(Option<RequestKey>, Consumption), Refusal>,
}

/// The uses of a batch.
pub(crate) fn uses(
    ctx: &RequestContext,
    batch: Option<&RequestKey>,
    message: wire::BatchConsumeQuotaRequest,
) -> Result<Vec<BatchUse>, Refusal> {
    if !(1..=MAX_USES).contains(&message.uses.len()) {
        return Err(Refusal::field("uses", format!("must be 1 to {MAX_USES}")));
    }
    let tenant = message.tenant;
    let foreign = |of: &wire::ConsumeQuotaRequest| !of.tenant.is_empty() && of.tenant != tenant;
    if message.uses.iter().any(foreign) {
        return Err(Refusal::field(
            "uses",
            "name another tenant than the batch; leave theirs empty",
        ));
    }
    let uses = message.uses.into_iter().enumerate();
    let uses = uses.map(|(place, message)| {
        let by_place = batch.map(|batch| format!("{}/{place}", batch.request_id));
        one_use(ctx, by_place.as_deref().unwrap_or_default(), message)
    });
    Ok(uses.collect())
}

/// One of several uses, which is counted once for its own id, or for this one where it has none.
pub(crate) fn one_use(
    ctx: &RequestContext,
    id: &str,
    mut message: wire::ConsumeQuotaRequest,
) -> BatchUse {
    message.tenant.clear();
    let request_id = std::mem::take(&mut message.request_id);
    let id = if request_id.is_empty() {
        id
    } else {
        &request_id
    };
    let key = RequestKey::new(ctx, id, None, &message.encode_to_vec());
    BatchUse {
        parsed: key.and_then(|key| Ok((key, consumption(message)?))),
        request_id,
    }
}

/// The amounts that are asked for: of one resource type, or of several.
fn amounts(
    wrong: &mut Violations,
    (resource_type, one): (String, Option<i64>),
    several: Vec<wire::ResourceAmount>,
) -> Vec<(String, i64)> {
    if several.is_empty() {
        wrong.take("resource_type", limit::resource_type(&resource_type));
        let amount = wrong.take("amount", amount(one.unwrap_or(1)));
        return vec![(resource_type, amount.unwrap_or_default())];
    }
    if !resource_type.is_empty() || one.is_some() {
        wrong.add(
            "resources",
            "stand in the place of resource_type and amount; send one or the other",
        );
    }
    if several.len() > MAX_RESOURCES {
        wrong.add("resources", format!("must be at most {MAX_RESOURCES}"));
    }
    several_amounts(wrong, several)
}

/// Amounts of several resource types, each of which stands there once.
fn several_amounts(
    wrong: &mut Violations,
    several: Vec<wire::ResourceAmount>,
) -> Vec<(String, i64)> {
    let mut amounts: Vec<(String, i64)> = Vec::with_capacity(several.len().min(MAX_RESOURCES));
    for resource in several.into_iter().take(MAX_RESOURCES) {
        wrong.take("resources", limit::resource_type(&resource.resource_type));
        let amount = wrong.take("resources", amount(resource.amount.unwrap_or(1)));
        if amounts
            .iter()
            .any(|(known, _)| *known == resource.resource_type)
        {
            wrong.add(
                "resources",
                format!("name {} twice; add it up", resource.resource_type),
            );
        }
        amounts.push((resource.resource_type, amount.unwrap_or_default()));
    }
    amounts
}

/// An amount of a resource type that a text says more about.
pub(crate) fn described(
    (field, number): (&'static str, Option<i64>),
    (resource_type, description): (&str, &str),
) -> Result<i64, Refusal> {
    let mut wrong = Violations::new();
    wrong.take("resource_type", limit::resource_type(resource_type));
    let number = match number {
        Some(number) => wrong.take(field, amount(number)),
        None => {
            wrong.add(field, "must be given: how much there is, 0 or more");
            None
        }
    };
    if let Some(why) = text(description) {
        wrong.add("description", why);
    }
    wrong.check()?;
    Ok(number.unwrap_or_default())
}

pub(crate) fn new_override(message: wire::OverrideLimitRequest) -> Result<NewOverride, Refusal> {
    let mut wrong = Violations::new();
    wrong.take(
        "resource_type",
        limit::resource_type(&message.resource_type),
    );
    let limit = match message.limit {
        Some(limit) => wrong.take("limit", amount(limit)),
        None => {
            wrong.add("limit", "must be given: most of it, 0 or more");
            None
        }
    };
    let period = match message.reset_period.as_str() {
        "" => None,
        word => {
            let words: Vec<_> = ResetPeriod::ALL
                .iter()
                .map(|period| period.word())
                .collect();
            let why = format!("must be one of {}", words.join(", "));
            wrong.take("reset_period", word.parse().map_err(|_| why))
        }
    };
    let policy = message.policy.as_ref().map(|policy| {
        let at = ("policy", period.is_some_and(ResetPeriod::is_never));
        limit_policy::from_wire(policy, at, &mut wrong)
    });
    let reason = message.reason.trim();
    if reason.is_empty() {
        wrong.add(
            "reason",
            format!("must say why, in 1 to {MAX_TEXT} characters"),
        );
    } else if let Some(why) = text(reason) {
        wrong.add("reason", why);
    }
    let expires_at = message
        .expires_at
        .as_ref()
        .map(|at| instant("expires_at", at));
    let expires_at = expires_at.transpose();
    wrong.check_with(expires_at.as_ref().map(|_| ()).map_err(Clone::clone))?;
    Ok(NewOverride {
        reason: reason.to_owned(),
        resource_type: message.resource_type,
        limit: limit.unwrap_or_default(),
        reset_period: period,
        shared: message.shared,
        policy,
        expires_at: expires_at?,
        force: message.force,
    })
}

fn amount(amount: i64) -> Result<i64, String> {
    if (0..=MAX_AMOUNT).contains(&amount) {
        Ok(amount)
    } else {
        Err(format!("must be 0 to {MAX_AMOUNT}"))
    }
}

/// What is wrong with a text for people.
fn text(text: &str) -> Option<String> {
    if text.contains('\0') {
        return Some("must not have a NUL character".to_owned());
    }
    (text.chars().count() > MAX_TEXT).then(|| format!("must be at most {MAX_TEXT} characters"))
}
