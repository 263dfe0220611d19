//! Between the contract's messages and the domain.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_core::Refusal;
use tenantry_proto::internal::registry::v1 as internal;
use tenantry_proto::registry::v1 as wire;
use tenantry_rpc::convert::{json, proto_struct, timestamp};

use crate::domain::plan::Plan;
use crate::domain::project::Project;
use crate::domain::tenant::{NewTenant, Patch, Tenant};

/// The domain's defaults of a create.
const DEFAULT_PROJECT: &str = "default";
const DEFAULT_TIMEZONE: &str = "UTC";
const DEFAULT_LOCALE: &str = "en-US";

pub(crate) fn tenant(tenant: Tenant) -> wire::Tenant {
    wire::Tenant {
        etag: tenant.etag(),
        id: tenant.id.to_string(),
        project: tenant.project,
        name: tenant.name,
        slug: tenant.slug,
        is_active: tenant.status.is_active(),
        status: tenant.status.name().to_owned(),
        subscription_tier: tenant.plan,
        parent_id: tenant
            .parent_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        external_id: tenant.external_id.unwrap_or_default(),
        email: tenant.email,
        billing_email: tenant.billing_email,
        contact_phone: tenant.contact_phone,
        timezone: tenant.timezone,
        locale: tenant.locale,
        region: tenant.region,
        trial_ends_at: tenant.trial_ends_at.map(timestamp),
        labels: tenant
            .labels
            .into_iter()
            .map(|(key, value)| wire::Label { key, value })
            .collect(),
        metadata: Some(proto_struct(&tenant.metadata)),
        sub_tenants_count: None,
        created_at: Some(timestamp(tenant.created_at)),
        updated_at: Some(timestamp(tenant.updated_at)),
        archived_at: tenant.archived_at.map(timestamp),
        suspended_by: tenant
            .suspended_by
            .map(|id| id.to_string())
            .unwrap_or_default(),
        deleted_at: tenant.deleted_at.map(timestamp),
        purge_at: tenant.purge_at.map(timestamp),
        suspend_reason: tenant.suspend_reason,
    }
}

pub(crate) fn entry(tenant: Tenant) -> internal::TenantEntry {
    internal::TenantEntry {
        id: tenant.id.to_string(),
        project: tenant.project,
        slug: tenant.slug,
        status: tenant.status.name().to_owned(),
        plan: tenant.plan,
        parent_id: tenant
            .parent_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        version: tenant.version,
        name: String::new(),
    }
}

pub(crate) fn project(project: Project) -> wire::Project {
    wire::Project {
        id: project.id.to_string(),
        key: project.key,
        name: project.name,
        created_at: Some(timestamp(project.created_at)),
    }
}

pub(crate) fn plan(plan: &Plan) -> wire::Plan {
    wire::Plan {
        key: plan.key.clone(),
        aliases: plan.aliases.clone(),
        name: plan.name.clone(),
        version: plan.version,
        limits: plan
            .limits
            .iter()
            .map(|limit| wire::PlanLimit {
                resource_type: limit.resource_type.clone(),
                limit: limit.limit,
                reset_period: limit.reset_period.clone(),
            })
            .collect(),
        default_features: plan.default_features.clone(),
        available_features: plan.available_features.clone(),
        retention_days: plan.retention_days,
        security_level: plan.security_level.clone(),
        price_minor: plan.price_minor,
        currency: plan.currency.clone(),
    }
}

/// What a create asks for; the plan's key is already known.
pub(crate) fn new_tenant(
    message: wire::CreateTenantRequest,
    plan: &Plan,
) -> Result<NewTenant, Refusal> {
    let or = |text: String, default: &str| {
        if text.is_empty() {
            default.to_owned()
        } else {
            text
        }
    };
    Ok(NewTenant {
        project: or(message.project, DEFAULT_PROJECT),
        name: message.name,
        slug: message.slug,
        plan: plan.key.clone(),
        parent_id: None,
        external_id: message.external_id,
        email: message.email,
        billing_email: message.billing_email,
        contact_phone: message.contact_phone,
        timezone: or(message.timezone, DEFAULT_TIMEZONE),
        locale: or(message.locale, DEFAULT_LOCALE),
        region: message.region,
        trial_days: message.trial_days,
        labels: labels(message.labels)?,
        metadata: match message.metadata {
            Some(object) => json("metadata", object)?,
            None => Value::Object(serde_json::Map::new()),
        },
    })
}

/// What an update asks for: with a mask the fields that it names, else those that the message carries.
pub(crate) fn patch(mut message: wire::UpdateTenantRequest) -> Result<Patch, Refusal> {
    const PATHS: &[&str] = &[
        "name",
        "slug",
        "email",
        "billing_email",
        "contact_phone",
        "timezone",
        "locale",
        "region",
        "subscription_tier",
        "labels",
        "metadata",
        "external_id",
    ];
    let mask = message
        .update_mask
        .take()
        .map(|mask| mask.paths)
        .filter(|paths| !paths.is_empty());
    if let Some(unknown) = mask
        .iter()
        .flatten()
        .find(|path| !PATHS.contains(&path.as_str()))
    {
        return Err(Refusal::field(
            "update_mask",
            format!(
                "names {unknown:?}, which isn't a field that can be updated; these can: {}",
                PATHS.join(", ")
            ),
        ));
    }
    let pick = |path: &str, carried: Option<String>| match &mask {
        None => carried,
        Some(paths) => paths
            .iter()
            .any(|p| p == path)
            .then(|| carried.unwrap_or_default()),
    };
    let named = |path: &str, carried: bool| {
        mask.as_ref()
            .map_or(carried, |paths| paths.iter().any(|p| p == path))
    };
    Ok(Patch {
        name: pick("name", message.name),
        slug: pick("slug", message.slug),
        plan: pick("subscription_tier", message.subscription_tier),
        external_id: pick("external_id", message.external_id),
        email: pick("email", message.email),
        billing_email: pick("billing_email", message.billing_email),
        contact_phone: pick("contact_phone", message.contact_phone),
        timezone: pick("timezone", message.timezone),
        locale: pick("locale", message.locale),
        region: pick("region", message.region),
        labels: if named("labels", !message.labels.is_empty()) {
            Some(labels(message.labels)?)
        } else {
            None
        },
        metadata: if named("metadata", message.metadata.is_some()) {
            Some(json("metadata", message.metadata.unwrap_or_default())?)
        } else {
            None
        },
    })
}

fn labels(labels: Vec<wire::Label>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut map = BTreeMap::new();
    for wire::Label { key, value } in labels {
        if map.contains_key(&key) {
            return Err(Refusal::field(
                "labels",
                format!("has the key {key:?} twice"),
            ));
        }
        map.insert(key, value);
    }
    Ok(map)
}
