//! Between the contract's messages and the domain.

pub(crate) mod import_file;
mod imports;
mod plans;

use std::collections::BTreeMap;

use prost_types::FieldMask;
use serde_json::Value;
use tenantry_core::tenant::{DEFAULT_PROJECT, subdomain};
use tenantry_core::{Refusal, clock};
use tenantry_proto::internal::registry::v1 as internal;
use tenantry_proto::registry::v1 as wire;
use tenantry_rpc::convert::{instant, json, proto_struct, timestamp};

use crate::app::Figures;
use crate::domain::custom_domain::Domain;
use crate::domain::hold::LegalHold;
use crate::domain::project::{Project, ProjectPatch};
use crate::domain::purge::{Part, Report};
use crate::domain::tenant::{AskedLimits, BYTES_PER_GB, NewTenant, Patch, Tenant};

pub(crate) use imports::{import, import_row};
pub(crate) use plans::{new_plan, plan, plan_patch, preview};

/// The domain's defaults of a create.
const DEFAULT_TIMEZONE: &str = "UTC";
const DEFAULT_LOCALE: &str = "en-US";
/// Status of a tenant that is gone; no tenant that exists has it.
const PURGED: &str = "purged";

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
        plan_version: tenant.plan_version,
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
        domains: tenant.domains,
        // Those who show one tenant say the rest.
        ..wire::Tenant::default()
    }
}

/// What watchers are told of a tenant that is gone.
pub(crate) fn purged(tombstone: Tenant) -> wire::Tenant {
    wire::Tenant {
        id: tombstone.id.to_string(),
        project: tombstone.project,
        slug: tombstone.slug,
        status: PURGED.to_owned(),
        ..wire::Tenant::default()
    }
}

/// The same for the fleet's own services.
pub(crate) fn tombstone(tombstone: Tenant) -> internal::TenantEntry {
    internal::TenantEntry {
        status: PURGED.to_owned(),
        ..entry(tombstone)
    }
}

/// A tenant with what quota tells of it.
pub(crate) fn with_figures(tenant: wire::Tenant, figures: Option<Figures>) -> wire::Tenant {
    let Some(figures) = figures else {
        return tenant;
    };
    let few = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    let gb = |bytes: i64| bytes as f64 / BYTES_PER_GB as f64;
    wire::Tenant {
        max_users: figures.users.limit.map(few),
        max_classes: figures.classes.limit.map(few),
        max_storage_gb: figures.storage_bytes.limit.map(gb),
        current_users: Some(few(figures.users.usage)),
        current_classes: Some(few(figures.classes.usage)),
        current_storage_gb: Some(gb(figures.storage_bytes.usage)),
        ..tenant
    }
}

/// A tenant with what a purge removes, or how far it is.
pub(crate) fn tenant_with(shown: Tenant, report: Option<Report>) -> wire::Tenant {
    wire::Tenant {
        purge: report.map(purge_report),
        ..tenant(shown)
    }
}

fn purge_report(report: Report) -> wire::PurgeReport {
    let state = match report.started_at {
        Some(_) => "running",
        None => "preview",
    };
    wire::PurgeReport {
        state: state.to_owned(),
        started_at: report.started_at.map(timestamp),
        services: report.parts.into_iter().map(purge_service).collect(),
    }
}

fn purge_service(part: Part) -> wire::PurgeService {
    let counts = part.counts.unwrap_or_default().into_iter();
    wire::PurgeService {
        service: part.service,
        acknowledged_at: part.acknowledged_at.map(timestamp),
        data: counts
            .map(|counted| wire::PurgeCount {
                kind: counted.kind,
                count: i32::try_from(counted.count).unwrap_or(i32::MAX),
            })
            .collect(),
    }
}

pub(crate) fn entry(tenant: Tenant) -> internal::TenantEntry {
    internal::TenantEntry {
        id: tenant.id.to_string(),
        project: tenant.project,
        slug: tenant.slug,
        status: tenant.status.name().to_owned(),
        plan: tenant.plan,
        plan_version: tenant.plan_version,
        parent_id: tenant
            .parent_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        version: tenant.version,
        name: String::new(),
        domains: tenant.domains,
        held: tenant.held,
        timezone: tenant.timezone,
        requested_limits: tenant
            .requested_limits
            .into_iter()
            .map(|asked| internal::RequestedLimit {
                resource_type: asked.resource_type,
                limit: asked.limit,
                granted_by_operator: asked.granted_by_operator,
            })
            .collect(),
    }
}

pub(crate) fn legal_hold(hold: LegalHold) -> wire::LegalHold {
    wire::LegalHold {
        id: hold.id.to_string(),
        tenant_id: hold.tenant_id.to_string(),
        holder: hold.holder,
        reason: hold.reason,
        placed_by: if hold.placed_by.name.is_empty() {
            hold.placed_by.id.to_string()
        } else {
            hold.placed_by.name
        },
        placed_at: Some(timestamp(hold.placed_at)),
    }
}

pub(crate) fn domain(domain: Domain) -> wire::Domain {
    wire::Domain {
        challenge: Some(wire::DomainChallenge {
            record_type: "TXT".to_owned(),
            record_name: domain.record_name(),
            record_value: domain.record_value(),
        }),
        domain: domain.name,
        tenant_id: domain.tenant_id.to_string(),
        kind: "custom".to_owned(),
        status: domain.status.name().to_owned(),
        created_at: Some(timestamp(domain.created_at)),
        verified_at: domain.verified_at.map(timestamp),
        checked_at: domain.checked_at.map(timestamp),
        next_check_at: domain.next_check_at.map(timestamp),
        problem: domain.problem,
    }
}

/// The subdomain of the platform that names a tenant, where the platform has a domain.
pub(crate) fn platform_domain(tenant: &Tenant, base_domain: &str) -> Option<wire::Domain> {
    (!base_domain.is_empty()).then(|| wire::Domain {
        domain: subdomain(&tenant.project, &tenant.slug, base_domain),
        tenant_id: tenant.id.to_string(),
        kind: "platform".to_owned(),
        status: "verified".to_owned(),
        created_at: Some(timestamp(tenant.created_at)),
        ..wire::Domain::default()
    })
}

pub(crate) fn project(project: Project) -> wire::Project {
    wire::Project {
        etag: project.etag(),
        id: project.id.to_string(),
        key: project.key,
        name: project.name,
        sign_up: project.sign_up.name().to_owned(),
        created_at: Some(timestamp(project.created_at)),
        updated_at: Some(timestamp(project.updated_at)),
    }
}

/// What an update of a project asks for.
pub(crate) fn project_patch(
    mut message: wire::UpdateProjectRequest,
) -> Result<ProjectPatch, Refusal> {
    let mask = mask(message.update_mask.take(), &["name", "sign_up"])?;
    Ok(ProjectPatch {
        name: mask.pick("name", message.name),
        sign_up: mask.pick("sign_up", message.sign_up),
    })
}

/// What a create asks for.
pub(crate) fn new_tenant(message: wire::CreateTenantRequest) -> Result<NewTenant, Refusal> {
    let or = |text: String, default: &str| {
        if text.is_empty() {
            default.to_owned()
        } else {
            text
        }
    };
    Ok(NewTenant {
        project: message.project,
        name: message.name,
        slug: message.slug,
        plan: message.subscription_tier,
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
        limits: AskedLimits {
            max_users: message.max_users,
            max_classes: message.max_classes,
            max_storage_gb: message.max_storage_gb,
        },
    })
}

/// What a sign-up asks for: its plan, place and trial aren't the caller's to say.
pub(crate) fn signed_up_tenant(
    message: internal::CreateSignedUpTenantRequest,
) -> Result<NewTenant, Refusal> {
    let project = if message.project.is_empty() {
        DEFAULT_PROJECT.to_owned()
    } else {
        message.project
    };
    new_tenant(wire::CreateTenantRequest {
        name: message.name,
        slug: message.slug,
        project,
        email: message.email,
        billing_email: message.billing_email,
        contact_phone: message.contact_phone,
        timezone: message.timezone,
        locale: message.locale,
        region: message.region,
        ..Default::default()
    })
}

/// The fields that an update names, if it names any.
struct Mask(Option<Vec<String>>);

/// The mask of an update whose fields these are.
fn mask(mask: Option<FieldMask>, known: &[&str]) -> Result<Mask, Refusal> {
    let paths = mask
        .map(|mask| mask.paths)
        .filter(|paths| !paths.is_empty());
    let mut unknown = paths.iter().flatten();
    match unknown.find(|path| !known.contains(&path.as_str())) {
        None => Ok(Mask(paths)),
        Some(unknown) => Err(Refusal::field(
            "update_mask",
            format!(
                "names {unknown:?}, which isn't a field that can be updated; these can: {}",
                known.join(", ")
            ),
        )),
    }
}

impl Mask {
    /// Whether a field is to be set: with a mask if it is named, else if it is carried.
    fn names(&self, path: &str, carried: bool) -> bool {
        self.0
            .as_ref()
            .map_or(carried, |paths| paths.iter().any(|named| named == path))
    }

    /// The value to set, which clears a field that is named and not carried.
    fn pick<T: Default>(&self, path: &str, carried: Option<T>) -> Option<T> {
        self.names(path, carried.is_some())
            .then(|| carried.unwrap_or_default())
    }
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
        "trial_ends_at",
    ];
    let mask = mask(message.update_mask.take(), PATHS)?;
    Ok(Patch {
        name: mask.pick("name", message.name),
        slug: mask.pick("slug", message.slug),
        plan: mask.pick("subscription_tier", message.subscription_tier),
        external_id: mask.pick("external_id", message.external_id),
        email: mask.pick("email", message.email),
        billing_email: mask.pick("billing_email", message.billing_email),
        contact_phone: mask.pick("contact_phone", message.contact_phone),
        timezone: mask.pick("timezone", message.timezone),
        locale: mask.pick("locale", message.locale),
        region: mask.pick("region", message.region),
        labels: if mask.names("labels", !message.labels.is_empty()) {
            Some(labels(message.labels)?)
        } else {
            None
        },
        metadata: if mask.names("metadata", message.metadata.is_some()) {
            Some(json("metadata", message.metadata.unwrap_or_default())?)
        } else {
            None
        },
        trial_ends_at: if mask.names("trial_ends_at", message.trial_ends_at.is_some()) {
            let end = message.trial_ends_at.ok_or_else(|| {
                Refusal::field(
                    "trial_ends_at",
                    "can be moved, not cleared; give the new end",
                )
            })?;
            Some(clock::as_stored(instant("trial_ends_at", &end)?))
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
