//! Imports: every row as a create of the same tenant would be answered, once, whoever works and whoever dies.

mod api;
mod rows;
mod workers;

use tenantry_proto::registry::v1::{
    GetTenantImportRequest, ImportTenantsRequest, ListTenantImportRowsRequest, TenantImport,
    TenantImportRow,
};
use tenantry_testkit::wait;

use crate::support::{Replica, SOON, World, operator};

/// An import of a CSV file.
fn csv(content: impl Into<String>) -> ImportTenantsRequest {
    ImportTenantsRequest {
        format: "csv".to_owned(),
        content: content.into(),
        ..Default::default()
    }
}

async fn start(replica: &Replica, request: ImportTenantsRequest) -> TenantImport {
    let started = replica.imports(&operator()).import_tenants(request).await;
    started.unwrap().into_inner()
}

async fn get(replica: &Replica, import: &TenantImport) -> TenantImport {
    let request = GetTenantImportRequest {
        tenant_import: import.id.clone(),
    };
    let got = replica
        .imports(&operator())
        .get_tenant_import(request)
        .await;
    got.unwrap().into_inner()
}

/// The import, once it is as asked.
async fn once(
    replica: &Replica,
    import: &TenantImport,
    is: impl Fn(&TenantImport) -> bool,
) -> TenantImport {
    let reached = wait::until("such import", SOON, async || {
        let now = get(replica, import).await;
        Ok(is(&now).then_some(now))
    });
    reached.await.unwrap()
}

async fn ended(replica: &Replica, import: &TenantImport) -> TenantImport {
    once(replica, import, |import| import.finished_at.is_some()).await
}

/// Imports a file to its end.
async fn import(replica: &Replica, request: ImportTenantsRequest) -> TenantImport {
    let import = start(replica, request).await;
    ended(replica, &import).await
}

/// All rows of this outcome, or all of any, page by page.
async fn rows(replica: &Replica, import: &TenantImport, outcome: &str) -> Vec<TenantImportRow> {
    let mut client = replica.imports(&operator());
    let mut rows = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTenantImportRowsRequest {
            tenant_import: import.id.clone(),
            outcome: outcome.to_owned(),
            page_size: 7,
            page_token,
        };
        let page = client
            .list_tenant_import_rows(request)
            .await
            .unwrap()
            .into_inner();
        rows.extend(page.rows);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return rows;
        }
    }
}

/// How many tenants there are, and how many events tell of a new one, in how many streams.
async fn made(world: &World) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM tenants), count(*), count(DISTINCT tenant_id) FROM outbox
         WHERE action = 'tenant.created'",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap()
}
