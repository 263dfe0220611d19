//! What quota tells of a tenant, to show with it: a read waits a moment for that, and no longer.

use std::time::Duration;

use tenantry_core::TenantId;
use tenantry_proto::internal::quota::v1::figure_service_client::FigureServiceClient;
use tenantry_proto::internal::quota::v1::{Figure, GetFiguresRequest};

use super::App;

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
