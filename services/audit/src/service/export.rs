//! Taking events out of the log.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use tenantry_core::Permission;
use tenantry_proto::audit::v1 as wire;
use tenantry_proto::audit::v1::audit_export_service_server::AuditExportService;
use tenantry_proto::google::api::HttpBody;
use tenantry_rpc::{answer, open, status};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::app::{App, Part};
use crate::convert;
use crate::domain::export::Format;

#[derive(Debug)]
pub(crate) struct Export(pub(crate) Arc<App>);

type Parts = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

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
            let format = wanted.format;
            self.0
                .record_reading(ctx, tenant.id, "audit_log.exported")
                .await?;
            let parts = self.0.export(ctx, &tenant, wanted).await?;
            Ok(on_the_wire(parts, format))
        })
        .await
    }
}

/// An export on the wire. One that broke off says so in its last record, for REST, and then by a status, for gRPC.
fn on_the_wire(parts: mpsc::Receiver<Part>, format: Format) -> Parts {
    Box::pin(ReceiverStream::new(parts).flat_map(move |part| {
        let body = HttpBody {
            content_type: format.content_type().to_owned(),
            data: part.bytes.into(),
        };
        let broken_off = part.broken_off.map(|refusal| Err(status(refusal)));
        stream::iter([Some(Ok(body)), broken_off].into_iter().flatten())
    }))
}
