//! Reading and recording events.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use tenantry_core::page::{self, PageTokens};
use tenantry_core::{Permission, Refusal, TenantId};
use tenantry_proto::audit::v1 as wire;
use tenantry_proto::audit::v1::audit_event_service_server::AuditEventService;
use tenantry_rpc::{answer, open, status};
use tokio_stream::wrappers::ReceiverStream;

use tonic::{Request, Response, Status};

use crate::app::{App, Item, Page, Recording};
use crate::convert;
use crate::domain::query::{Filter, Scope};

/// Largest offset; cursors go further.
const MAX_OFFSET: usize = 10_000;
/// What names the platform's own log in a search.
const PLATFORM: &str = "platform";

#[derive(Debug)]
pub(crate) struct Events(pub(crate) Arc<App>);

impl Events {
    fn tokens(&self, method: &str, scope: Scope, filter: &Filter) -> PageTokens<'_> {
        let bound = [format!("{scope:?}"), format!("{filter:?}")];
        let bound = [bound[0].as_str(), bound[1].as_str()];
        PageTokens::new(self.0.store().sealer(), method, &bound)
    }
}

#[tonic::async_trait]
impl AuditEventService for Events {
    async fn list_events(
        &self,
        request: Request<wire::ListEventsRequest>,
    ) -> Result<Response<wire::ListEventsResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let (ctx, message) = (&call.ctx, &mut call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::AuditRead)
                .await?;
            let scope = Scope::Log(tenant.id);
            let filter = convert::asked_of_log(message)?.filter()?;
            let tokens = self.tokens(&ctx.method, scope, &filter);
            let asked = if message.page_size == 0 {
                message.limit
            } else {
                message.page_size
            };
            let offset = usize::try_from(message.offset).ok();
            let offset = offset.filter(|offset| *offset <= MAX_OFFSET);
            let offset = offset.ok_or_else(|| {
                Refusal::field(
                    "offset",
                    format!("must be 0 to {MAX_OFFSET}; page further with page_token"),
                )
            })?;
            let page = Page {
                scope,
                filter,
                page_token: std::mem::take(&mut message.page_token),
                offset,
                size: page::size(asked)?,
                by_operator: false,
            };
            self.0
                .record_reading(ctx, tenant.id, "audit_log.read")
                .await?;
            let page = self.0.page(&page, &tokens).await?;
            Ok(wire::ListEventsResponse {
                events: page.items.into_iter().map(convert::event).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn get_event(
        &self,
        request: Request<wire::GetEventRequest>,
    ) -> Result<Response<wire::AuditEvent>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::AuditRead)
                .await?;
            self.0
                .record_reading(ctx, tenant.id, "audit_log.read")
                .await?;
            let event = self.0.event(tenant.id, &message.event).await?;
            Ok(convert::event(event))
        })
        .await
    }

    async fn search_events(
        &self,
        request: Request<wire::SearchEventsRequest>,
    ) -> Result<Response<wire::SearchEventsResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let (ctx, message) = (&call.ctx, &mut call.message);
            ctx.require(Permission::PlatformAuditRead)?;
            let scope = match message.tenant_id.as_str() {
                "" => Scope::All,
                PLATFORM => Scope::Log(TenantId::PLATFORM),
                id => Scope::Log(id.parse().map_err(|_| {
                    Refusal::field("tenant_id", "must be the id of a tenant, or `platform`")
                })?),
            };
            let filter = convert::asked_of_all(message)?.filter()?;
            let tokens = self.tokens(&ctx.method, scope, &filter);
            let page = Page {
                scope,
                filter,
                page_token: std::mem::take(&mut message.page_token),
                offset: 0,
                size: page::size(message.page_size)?,
                by_operator: true,
            };
            self.0.record_search(ctx, scope).await?;
            let page = self.0.page(&page, &tokens).await?;
            Ok(wire::SearchEventsResponse {
                events: page.items.into_iter().map(convert::event).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    type TailEventsStream =
        Pin<Box<dyn Stream<Item = Result<wire::TailEventsResponse, Status>> + Send>>;

    async fn tail_events(
        &self,
        request: Request<wire::TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::AuditRead)
                .await?;
            if message.from_index.is_some_and(|index| index < 0) {
                return Err(Refusal::field("from_index", "must not be negative"));
            }
            self.0
                .record_reading(ctx, tenant.id, "audit_log.tailed")
                .await?;
            let items = self.0.tail(ctx, &tenant, message.from_index).await?;
            Ok(in_band(items))
        })
        .await
    }

    async fn record_events(
        &self,
        request: Request<wire::RecordEventsRequest>,
    ) -> Result<Response<wire::RecordEventsResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::AuditRecord)
                .await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let source = convert::source_name(&call.message.source)?;
            let events = convert::new_events(call.message.events)?;
            let recording = Recording {
                ctx: call.ctx,
                tenant: tenant.id,
                source,
                events,
            };
            let recorded = self.0.record(key.as_ref(), recording).await?;
            let recorded = recorded.into_iter().map(|(id, index)| wire::RecordedEvent {
                id: id.to_string(),
                index,
            });
            Ok(wire::RecordEventsResponse {
                events: recorded.collect(),
            })
        })
        .await
    }
}

/// A stream on the wire: its end is an item, for REST, and then a status, for gRPC.
fn in_band(
    items: tokio::sync::mpsc::Receiver<Item>,
) -> Pin<Box<dyn Stream<Item = Result<wire::TailEventsResponse, Status>> + Send>> {
    Box::pin(ReceiverStream::new(items).flat_map(|item| {
        let end = match &item {
            Item::End(refusal) => Some(Err(status(refusal.clone()))),
            Item::Event(_) | Item::Bookmark(_) => None,
        };
        stream::iter([Some(Ok(convert::item(item))), end].into_iter().flatten())
    }))
}
