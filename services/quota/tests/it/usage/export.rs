//! The log as CSV.

use jiff::SignedDuration;
use tenantry_core::{Reason, TenantId, TenantStatus, clock};
use tenantry_proto::quota::v1::{ExportUsageRequest, ListUsageLogsRequest};
use tonic::{Code, Status};

use super::logs::page;
use crate::support::{Logged, World, log, reason, used};

fn request(tenant: TenantId, filter: &str) -> ExportUsageRequest {
    ExportUsageRequest {
        tenant: tenant.to_string(),
        filter: filter.to_owned(),
    }
}

/// So many lines, the newest first.
fn lines(count: i64) -> Vec<Logged> {
    let now = clock::now();
    let line = |nth| used("api_calls", nth, now - SignedDuration::from_secs(nth));
    (0..count).map(line).collect()
}

/// What an export has, how large its parts are, and by what status it broke off.
struct Export {
    text: Vec<u8>,
    parts: Vec<usize>,
    broken_off: Option<Status>,
}

impl Export {
    async fn of(world: &World, tenant: TenantId, filter: &str) -> Result<Self, Status> {
        let mut usages = world.usages(&world.program(tenant));
        let stream = usages.export_usage(request(tenant, filter)).await?;
        let mut export = Self {
            text: Vec::new(),
            parts: Vec::new(),
            broken_off: None,
        };
        let mut stream = stream.into_inner();
        export.read(&mut stream).await;
        Ok(export)
    }

    async fn read(&mut self, stream: &mut tonic::Streaming<tenantry_proto::google::api::HttpBody>) {
        loop {
            match stream.message().await {
                Ok(Some(part)) => {
                    assert_eq!(part.content_type, "text/csv; charset=utf-8");
                    self.parts.push(part.data.len());
                    self.text.extend_from_slice(&part.data);
                }
                Ok(None) => return,
                Err(status) => {
                    self.broken_off = Some(status);
                    return;
                }
            }
        }
    }

    /// The lines' ids and amounts, and what the last record says.
    fn records(&self) -> (Vec<(String, String)>, serde_json::Value) {
        let text = std::str::from_utf8(&self.text).unwrap();
        let mut records: Vec<Vec<String>> = Vec::new();
        for record in text.split("\r\n").filter(|record| !record.is_empty()) {
            let end = record.starts_with("end,");
            let cells = if end {
                record.splitn(8, ',')
            } else {
                record.splitn(12, ',')
            };
            records.push(cells.map(str::to_owned).collect());
        }
        assert!(
            records
                .remove(0)
                .concat()
                .starts_with("idlineresource_type")
        );
        let end = records.pop().unwrap();
        let (json, rest) = end[7].rsplit_once("\",").unwrap();
        assert_eq!((end[0].as_str(), rest), ("end", ",,,"));
        let json = json.trim_start_matches('"').replace("\"\"", "\"");
        let lines = records.into_iter().map(|cells| {
            // A text that begins like a formula is guarded.
            assert_eq!(cells[7], "'=a line");
            (cells[0].clone(), cells[3].clone())
        });
        (lines.collect(), serde_json::from_str(&json).unwrap())
    }
}

#[tokio::test]
async fn an_export_has_each_line_of_the_list_and_says_that_it_is_complete() {
    let world = World::start().await;
    let tenant = world.tenant();
    log(&world, tenant, &lines(2_500)).await;
    let export = Export::of(&world, tenant, "").await.unwrap();
    assert!(export.broken_off.is_none());
    assert!(export.parts.len() > 1, "{:?}", export.parts);
    let (exported, end) = export.records();
    assert_eq!(
        end,
        serde_json::json!({"reason": "COMPLETE", "lines": "2500"})
    );
    let mut listed = Vec::new();
    let mut request = ListUsageLogsRequest {
        tenant: tenant.to_string(),
        page_size: 1_000,
        ..Default::default()
    };
    loop {
        let page = page(&world, tenant, request.clone()).await.unwrap();
        let lines = page.usage_logs.into_iter();
        listed.extend(lines.map(|line| (line.id, line.amount.to_string())));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(exported, listed);
    // Of another tenant it has nothing, and of a filter what fits.
    let other = world.tenant();
    let (none, _) = Export::of(&world, other, "").await.unwrap().records();
    assert_eq!(none, []);
    let since = lines(10)[9].at;
    let filter = format!("recorded_at < \"{since}\" AND kind = used");
    let (few, _) = Export::of(&world, tenant, &filter).await.unwrap().records();
    assert!(few.len() < 2_500 && few.len() > 2_400, "{}", few.len());
    let refused = Export::of(&world, tenant, "amount = 1")
        .await
        .err()
        .unwrap();
    assert_eq!(reason(&refused), Reason::InvalidFilter);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_ends_with_its_tenant_and_says_so_in_its_last_record() {
    let world = World::start().await;
    let tenant = world.tenant();
    log(&world, tenant, &lines(100_000)).await;
    let mut usages = world.usages(&world.program(tenant));
    let stream = usages.export_usage(request(tenant, "")).await.unwrap();
    // It waits for its reader, and is stopped as it does.
    let suspended = TenantStatus::Suspended.name().to_owned();
    world
        .registry
        .change(tenant, |tenant| tenant.status = suspended)
        .unwrap();
    let refused = async || {
        let refused = world.consume(tenant, 1).await.err();
        Ok(refused.filter(|refused| refused.code() == Code::PermissionDenied))
    };
    tenantry_testkit::wait::until("suspension", std::time::Duration::from_secs(5), refused)
        .await
        .unwrap();
    let mut export = Export {
        text: Vec::new(),
        parts: Vec::new(),
        broken_off: None,
    };
    export.read(&mut stream.into_inner()).await;
    let (lines, end) = export.records();
    assert_eq!(end["reason"], "STREAM_TENANT_STATUS");
    assert!(lines.len() < 100_000, "all was told");
    assert_eq!(
        reason(&export.broken_off.unwrap()),
        Reason::StreamTenantStatus
    );
}
