//! Streams that an alarm has stopped, for operators.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Refusal};
use tenantry_proto::audit::v1 as wire;
use tenantry_proto::audit::v1::audit_source_service_server::AuditSourceService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;

/// Longest name of a source, in bytes: `app:` and what the product's own call themselves.
const MAX_SOURCE: usize = 67;
/// Longest reason, in characters.
const MAX_REASON: usize = 500;

#[derive(Debug)]
pub(crate) struct Sources(pub(crate) Arc<App>);

#[tonic::async_trait]
impl AuditSourceService for Sources {
    async fn list_audit_sources(
        &self,
        request: Request<wire::ListAuditSourcesRequest>,
    ) -> Result<Response<wire::ListAuditSourcesResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformAuditManage)?;
            let tokens = PageTokens::new(self.0.store().sealer(), &call.ctx.method, &[]);
            let size = page::size(call.message.page_size)?;
            let page = self.0.stopped(&call.message.page_token, size, &tokens);
            let page = page.await?;
            Ok(wire::ListAuditSourcesResponse {
                sources: page.items.into_iter().map(convert::source).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn resume_audit_source(
        &self,
        request: Request<wire::ResumeAuditSourceRequest>,
    ) -> Result<Response<wire::AuditSource>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(Permission::PlatformAuditManage)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = &call.message;
            let tenant = message.tenant_id.parse().map_err(|_| {
                let what = "must be the id of a tenant, the nil UUID for the platform's own";
                Refusal::field("tenant_id", what)
            });
            let mut wrong = Violations::new();
            if message.first_n < 0 {
                wrong.add(
                    "first_n",
                    "must not be negative; 0 goes on where the stream stopped",
                );
            }
            if message.source.contains('\0') || message.source.len() > MAX_SOURCE {
                wrong.add(
                    "source",
                    "must be the name of a source, as GET /api/v1/audit-sources lists it",
                );
            }
            if message.reason.contains('\0') {
                wrong.add("reason", "must not have a NUL character");
            }
            let length = message.reason.trim().chars().count();
            if length == 0 || length > MAX_REASON {
                wrong.add(
                    "reason",
                    format!("must say why, in 1 to {MAX_REASON} characters"),
                );
            }
            wrong.check_with(tenant.as_ref().map(|_| ()).map_err(Clone::clone))?;
            let stream = (message.source.as_str(), tenant?);
            let first_n = (message.first_n > 0).then_some(message.first_n);
            let resumed = self
                .0
                .resume(&call.ctx, key.as_ref(), stream, first_n, &message.reason)
                .await?;
            Ok::<_, Refusal>(convert::source(resumed))
        })
        .await
    }
}
