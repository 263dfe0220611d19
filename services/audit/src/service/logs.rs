//! What outsiders check the log by. It shows no content, so reading it leaves no event; a proof shows an event, and does.

use std::sync::Arc;

use tenantry_core::{Permission, page};
use tenantry_proto::audit::v1 as wire;
use tenantry_proto::audit::v1::audit_log_service_server::AuditLogService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert::logs as convert;

#[derive(Debug)]
pub(crate) struct Logs(pub(crate) Arc<App>);

#[tonic::async_trait]
impl AuditLogService for Logs {
    async fn get_log_checkpoint(
        &self,
        request: Request<wire::GetLogCheckpointRequest>,
    ) -> Result<Response<wire::LogCheckpoint>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::AuditRead)
                .await?;
            let found = self.0.checkpoint(tenant.id).await?;
            Ok(convert::checkpoint(tenant.id, found))
        })
        .await
    }

    async fn get_log_proof(
        &self,
        request: Request<wire::GetLogProofRequest>,
    ) -> Result<Response<wire::LogProof>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::AuditRead)
                .await?;
            let asked = convert::asked(message)?;
            if !asked.event.is_empty() {
                self.0
                    .record_reading(ctx, tenant.id, "audit_log.read")
                    .await?;
            }
            let proved = self.0.prove(tenant.id, &asked).await?;
            Ok(convert::proof(tenant.id, &asked, proved))
        })
        .await
    }

    async fn get_log_tile(
        &self,
        request: Request<wire::GetLogTileRequest>,
    ) -> Result<Response<wire::LogTile>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::AuditRead)
                .await?;
            let id = convert::tile_id(&call.message)?;
            let hashes = self.0.tile(tenant.id, id).await?;
            Ok(convert::tile(id, hashes))
        })
        .await
    }

    async fn get_fleet_checkpoint(
        &self,
        request: Request<wire::GetFleetCheckpointRequest>,
    ) -> Result<Response<wire::FleetCheckpoint>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformAuditRead)?;
            let from = convert::place("from_size", call.message.from_size)?;
            let proved = self.0.fleet_checkpoint(from).await?;
            Ok(convert::fleet_checkpoint(proved))
        })
        .await
    }

    async fn list_fleet_entries(
        &self,
        request: Request<wire::ListFleetEntriesRequest>,
    ) -> Result<Response<wire::ListFleetEntriesResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformAuditRead)?;
            let start = convert::place("start_index", call.message.start_index)?;
            let size = page::size(call.message.page_size)?;
            let entries = self.0.fleet_entries(start, size).await?.into_iter();
            let entries = entries.map(|(index, checkpoint)| wire::FleetEntry { index, checkpoint });
            Ok(wire::ListFleetEntriesResponse {
                entries: entries.collect(),
            })
        })
        .await
    }

    async fn list_log_keys(
        &self,
        request: Request<wire::ListLogKeysRequest>,
    ) -> Result<Response<wire::ListLogKeysResponse>, Status> {
        answer(async {
            open(request)?;
            let keys = self.0.log_keys();
            Ok(wire::ListLogKeysResponse { keys })
        })
        .await
    }
}
