//! Taking events out of the log.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_proto::audit::v1 as wire;
use tenantry_proto::audit::v1::audit_export_service_server::AuditExportService;
use tenantry_rpc::export::{Parts, on_the_wire};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;

#[derive(Debug)]
pub(crate) struct Export(pub(crate) Arc<App>);

#[tonic::async_trait]
impl AuditExportService for Export {
    type ExportEventsStream = Parts;

    async fn export_events(
        &self,
        request: Request<wire::ExportEventsRequest>,
    ) -> Result<Response<Parts>, Status> {
        answer(async {
            let mut call = open(request)?;
            let (ctx, message) = (&call.ctx, &mut call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::AuditRead)
                .await?;
            let wanted = convert::export(message)?;
            let content_type = wanted.format.content_type();
            self.0
                .record_reading(ctx, tenant.id, "audit_log.exported")
                .await?;
            let parts = self.0.export(ctx, &tenant, wanted).await?;
            Ok(on_the_wire(parts, content_type))
        })
        .await
    }
}
