//! An update of a tenant: the fields that it sets, each to a value or to nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, contact};

use super::Tenant;
use crate::domain::{field, slug};

/// Fields to set. A text that can be absent is cleared by an empty one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Patch {
    pub(crate) name: Option<String>,
    pub(crate) slug: Option<String>,
    /// Key or alias, for the use case to look up; it isn't a field to set by itself.
    pub(crate) plan: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) billing_email: Option<String>,
    pub(crate) contact_phone: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) metadata: Option<Value>,
    pub(crate) trial_ends_at: Option<Timestamp>,
}

impl Patch {
    /// Whether it sets nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it sets what only those may set who manage the tenant from above.
    pub(crate) const fn needs_manage(&self) -> bool {
        self.slug.is_some()
            || self.plan.is_some()
            || self.external_id.is_some()
            || self.trial_ends_at.is_some()
    }

    /// Checks every field that it sets, and tells all that is wrong at once.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        type Rule = fn(&str) -> Result<(), String>;
        let texts: [(&str, &Option<String>, Rule); 8] = [
            ("name", &self.name, field::name),
            ("external_id", &self.external_id, field::text),
            ("email", &self.email, field::email),
            ("billing_email", &self.billing_email, field::email),
            ("contact_phone", &self.contact_phone, field::phone),
            ("timezone", &self.timezone, contact::timezone),
            ("locale", &self.locale, contact::locale),
            ("region", &self.region, field::text),
        ];
        let mut wrong = Violations::new();
        for (name, value, rule) in texts {
            if let Some(value) = value {
                wrong.take(name, rule(value));
            }
        }
        if let Some(labels) = &self.labels {
            wrong.take("labels", field::labels(labels));
        }
        if let Some(metadata) = &self.metadata {
            wrong.take("metadata", field::metadata(metadata));
        }
        wrong.check_with(self.slug.as_deref().map_or(Ok(()), slug::check))
    }

    pub(super) fn apply(&self, tenant: &mut Tenant) {
        fn set<T: Clone>(field: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        set(&mut tenant.name, &self.name);
        set(&mut tenant.slug, &self.slug);
        set(&mut tenant.email, &self.email);
        set(&mut tenant.billing_email, &self.billing_email);
        set(&mut tenant.contact_phone, &self.contact_phone);
        set(&mut tenant.timezone, &self.timezone);
        set(&mut tenant.locale, &self.locale);
        set(&mut tenant.region, &self.region);
        set(&mut tenant.labels, &self.labels);
        set(&mut tenant.metadata, &self.metadata);
        if self.trial_ends_at.is_some() {
            tenant.trial_ends_at = self.trial_ends_at;
        }
        if let Some(external_id) = &self.external_id {
            tenant.external_id = Some(external_id.clone()).filter(|id| !id.is_empty());
        }
    }
}
