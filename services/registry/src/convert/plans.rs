//! Plans between the contract's messages and the domain.

use tenantry_core::refusal::Violations;
use tenantry_core::{LimitPolicy, Refusal, TenantId, TenantStatus};
use tenantry_proto::registry::v1 as wire;
use tenantry_rpc::convert::timestamp;
use tenantry_rpc::limit_policy;

use super::mask;
use crate::app::Preview;
use crate::domain::plan::{AfterTrial, Definition, Limit, LimitChange, Patch, Plan};

pub(crate) fn plan(plan: Plan) -> wire::Plan {
    let etag = plan.etag();
    let definition = plan.definition;
    wire::Plan {
        key: definition.key,
        aliases: definition.aliases,
        name: definition.name,
        version: plan.version,
        limits: definition.limits.into_iter().map(limit).collect(),
        default_features: definition.default_features,
        available_features: definition.available_features,
        retention_days: definition.retention_days,
        security_level: definition.security_level,
        price_minor: definition.price_minor,
        currency: definition.currency,
        id: plan.id.to_string(),
        project: plan.project,
        after_trial: Some(wire::AfterTrial {
            status: definition.after_trial.status.name().to_owned(),
            plan: definition.after_trial.plan,
        }),
        created_at: Some(timestamp(plan.created_at)),
        etag,
    }
}

fn limit(limit: Limit) -> wire::PlanLimit {
    wire::PlanLimit {
        resource_type: limit.resource_type,
        limit: limit.limit,
        reset_period: limit.reset_period,
        policy: limit_policy::to_wire(&limit.policy),
    }
}

pub(crate) fn preview(tenant: TenantId, preview: Preview) -> wire::PlanChangePreview {
    let difference = preview.difference;
    wire::PlanChangePreview {
        tenant_id: tenant.to_string(),
        from: Some(plan(preview.from)),
        to: Some(plan(preview.to)),
        changed_fields: difference.fields.into_iter().map(str::to_owned).collect(),
        limits: difference.limits.into_iter().map(limit_change).collect(),
        features_gained: difference.features_gained,
        features_lost: difference.features_lost,
    }
}

fn limit_change(change: LimitChange) -> wire::LimitChange {
    wire::LimitChange {
        resource_type: change.resource_type,
        from: change.from.map(limit),
        to: change.to.map(limit),
    }
}

/// The first version of a plan that a create asks for.
pub(crate) fn new_plan(message: wire::CreatePlanRequest) -> Result<Definition, Refusal> {
    Ok(Definition {
        name: if message.name.is_empty() {
            message.key.clone()
        } else {
            message.name
        },
        key: message.key,
        aliases: message.aliases,
        limits: limits(message.limits)?,
        default_features: message.default_features,
        available_features: message.available_features,
        retention_days: message.retention_days,
        security_level: message.security_level,
        price_minor: message.price_minor,
        currency: message.currency,
        after_trial: match message.after_trial {
            Some(after) => after_trial(after)?,
            None => AfterTrial::default(),
        },
    })
}

/// What an update of a plan asks for: with a mask the fields that it names, else those that the message carries.
pub(crate) fn plan_patch(mut message: wire::UpdatePlanRequest) -> Result<Patch, Refusal> {
    const PATHS: &[&str] = &[
        "aliases",
        "name",
        "limits",
        "default_features",
        "available_features",
        "retention_days",
        "security_level",
        "price_minor",
        "currency",
        "after_trial",
    ];
    let mask = mask(message.update_mask.take(), PATHS)?;
    fn list<T>(mask: &super::Mask, path: &str, carried: Vec<T>) -> Option<Vec<T>> {
        mask.names(path, !carried.is_empty()).then_some(carried)
    }
    Ok(Patch {
        aliases: list(&mask, "aliases", message.aliases),
        name: mask.pick("name", message.name),
        limits: list(&mask, "limits", limits(message.limits)?),
        default_features: list(&mask, "default_features", message.default_features),
        available_features: list(&mask, "available_features", message.available_features),
        retention_days: mask.pick("retention_days", message.retention_days),
        security_level: mask.pick("security_level", message.security_level),
        price_minor: mask.pick("price_minor", message.price_minor),
        currency: mask.pick("currency", message.currency),
        after_trial: if mask.names("after_trial", message.after_trial.is_some()) {
            Some(match message.after_trial {
                Some(after) => after_trial(after)?,
                None => AfterTrial::default(),
            })
        } else {
            None
        },
    })
}

fn limits(limits: Vec<wire::PlanLimit>) -> Result<Vec<Limit>, Refusal> {
    let mut wrong = Violations::new();
    let limits = limits.into_iter().enumerate().map(|(i, limit)| {
        let at = format!("limits[{i}].policy");
        let at = (at.as_str(), limit.reset_period == "never");
        let policy = limit.policy.as_ref();
        Limit {
            policy: policy.map_or_else(LimitPolicy::default, |policy| {
                limit_policy::from_wire(policy, at, &mut wrong)
            }),
            resource_type: limit.resource_type,
            limit: limit.limit,
            reset_period: limit.reset_period,
        }
    });
    let limits = limits.collect();
    wrong.check()?;
    Ok(limits)
}

fn after_trial(after: wire::AfterTrial) -> Result<AfterTrial, Refusal> {
    let status: TenantStatus = after
        .status
        .parse()
        .map_err(|_| Refusal::field("after_trial.status", "must be active or suspended"))?;
    Ok(AfterTrial {
        status,
        plan: after.plan,
    })
}
