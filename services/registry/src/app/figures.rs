//! What quota tells of a tenant, to show with it: a read waits a moment for that, and no longer.

use std::time::Duration;

use tenantry_core::TenantId;
use tenantry_proto::internal::quota::v1::figure_service_client::FigureServiceClient;
use tenantry_proto::internal::quota::v1::{Figure, GetFiguresRequest};

use super::App;
use crate::domain::tenant::Tenant;
use crate::error::Error;

/// Longest wait for quota.
const TOLD_WITHIN: Duration = Duration::from_millis(50);
const USERS: &str = "users";
const CLASSES: &str = "classes";
const STORAGE_BYTES: &str = "storage_bytes";

/// How much of some resource types a tenant uses, and may use.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) users: Figure,
    pub(crate) classes: Figure,
    pub(crate) storage_bytes: Figure,
}

impl App {
    /// The figures of a tenant that was just made, which has used nothing: they are the same whenever that is asked again.
    pub(crate) async fn first_figures(&self, tenant: &Tenant) -> Result<Figures, Error> {
        let plan = self.plan(&tenant.project, &tenant.plan, Some(tenant.plan_version));
        let plan = plan.await?.definition;
        let figure = |resource_type: &str| {
            let mut asked = tenant.requested_limits.iter();
            let asked = asked.find(|limit| limit.resource_type == resource_type);
            let asked = asked.map(|limit| limit.limit);
            let planned = plan.limit(resource_type).map(|limit| limit.limit);
            Figure {
                resource_type: resource_type.to_owned(),
                usage: 0,
                limit: asked.or(planned),
            }
        };
        Ok(Figures {
            users: figure(USERS),
            classes: figure(CLASSES),
            storage_bytes: figure(STORAGE_BYTES),
        })
    }

    /// The figures of a tenant; none where quota doesn't tell them in time, which fails no read.
    pub(crate) async fn figures(&self, tenant: TenantId) -> Option<Figures> {
        let request = GetFiguresRequest {
            tenant_id: tenant.to_string(),
            resource_types: [USERS, CLASSES, STORAGE_BYTES].map(str::to_owned).to_vec(),
        };
        let told = self.quota.call(TOLD_WITHIN, |channel| {
            let request = request.clone();
            async move { FigureServiceClient::new(channel).get_figures(request).await }
        });
        let told = told.await.inspect_err(|status| {
            tracing::debug!(tenant.id = %tenant, error = %status.message(), "quota doesn't tell what a tenant uses");
        });
        let figures = told.ok()?.into_inner().figures;
        let [users, classes, storage_bytes] = figures.try_into().ok()?;
        Some(Figures {
            users,
            classes,
            storage_bytes,
        })
    }
}
