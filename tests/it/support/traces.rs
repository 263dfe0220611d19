//! A receiver of traces, as any collector is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// Spans by trace, each with the name of its process.
pub type Spans = BTreeMap<Vec<u8>, Vec<(String, Span)>>;

struct Receiver(Arc<watch::Sender<Spans>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send_modify(|spans| {
            for resource in request.into_inner().resource_spans {
                let service = resource
                    .resource
                    .iter()
                    .flat_map(|resource| &resource.attributes)
                    .find(|attribute| attribute.key == "service.name")
                    .map(|attribute| format!("{:?}", attribute.value))
                    .unwrap_or_default();
                for span in resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans)
                {
                    spans
                        .entry(span.trace_id.clone())
                        .or_default()
                        .push((service.clone(), span));
                }
            }
        });
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Receives at this address, as long as the test's runtime lives.
pub async fn receive() -> Result<(String, watch::Receiver<Spans>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let (sender, received) = watch::channel(Spans::new());
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Receiver(Arc::new(sender))))
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    tokio::spawn(server);
    Ok((endpoint, received))
}
