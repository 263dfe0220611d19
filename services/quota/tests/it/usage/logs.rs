//! Pages of the log.

use jiff::SignedDuration;
use tenantry_core::{Reason, TenantId, clock};
use tenantry_proto::quota::v1::{
    ConsumeQuotaRequest, ListUsageLogsRequest, ListUsageLogsResponse, ReleaseQuotaRequest,
    ResourceAmount, UsageLog,
};
use tonic::Status;

use crate::support::{World, log, reason, used, using};

/// Lines that one page looks at.
const LOOKED_AT: i64 = 50_000;

fn all(tenant: TenantId) -> ListUsageLogsRequest {
    ListUsageLogsRequest {
        tenant: tenant.to_string(),
        ..Default::default()
    }
}

fn filtered(tenant: TenantId, filter: &str) -> ListUsageLogsRequest {
    ListUsageLogsRequest {
        filter: filter.to_owned(),
        page_size: 1000,
        ..all(tenant)
    }
}

pub(super) async fn page(
    world: &World,
    tenant: TenantId,
    request: ListUsageLogsRequest,
) -> Result<ListUsageLogsResponse, Status> {
    let mut usages = world.usages(&world.program(tenant));
    let listed = usages.list_usage_logs(request).await;
    listed.map(tonic::Response::into_inner)
}

/// Each page of a list.
async fn pages(
    world: &World,
    tenant: TenantId,
    mut request: ListUsageLogsRequest,
) -> Vec<Vec<UsageLog>> {
    let mut pages = Vec::new();
    loop {
        let page = page(world, tenant, request.clone()).await.unwrap();
        pages.push(page.usage_logs);
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn each_use_is_a_line_and_pages_show_each_once_the_newest_first() {
    let world = World::start().await;
    let [tenant, neighbour] = [world.tenant(), world.tenant()];
    world.consume(neighbour, 1).await.unwrap();
    let claims = world.program(tenant);
    let mut quotas = world.quotas(&claims);
    let both = ConsumeQuotaRequest {
        resources: ["alerts", "devices"]
            .map(|name| ResourceAmount {
                resource_type: name.to_owned(),
                amount: Some(3),
            })
            .to_vec(),
        description: "An import".to_owned(),
        request_id: "import-1".to_owned(),
        ..Default::default()
    };
    quotas.consume_quota(both).await.unwrap();
    let back = ReleaseQuotaRequest {
        resource_type: "devices".to_owned(),
        amount: Some(2),
        ..Default::default()
    };
    quotas.release_quota(back).await.unwrap();
    for amount in 1..=4 {
        quotas
            .consume_quota(using("api_calls", amount))
            .await
            .unwrap();
    }
    let whole = pages(&world, tenant, all(tenant)).await.concat();
    let shown: Vec<_> = whole
        .iter()
        .map(|line| (line.resource_type.as_str(), line.amount, line.kind.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("api_calls", 4, "used"),
            ("api_calls", 3, "used"),
            ("api_calls", 2, "used"),
            ("api_calls", 1, "used"),
            ("devices", -2, "released"),
            ("devices", 3, "used"),
            ("alerts", 3, "used"),
        ]
    );
    let (second, first) = (&whole[5], &whole[6]);
    assert_eq!((first.line, second.line), (0, 1));
    assert_eq!(first.id, second.id);
    assert_eq!(
        (first.description.as_str(), first.request_id.as_str()),
        ("An import", "import-1")
    );
    assert_eq!(first.occurred_at, first.recorded_at);
    let principal = first.principal.clone().unwrap();
    assert_eq!(
        (principal.kind, principal.id),
        ("user".to_owned(), claims.sub.to_string())
    );
    // By cursor and by offset the same.
    for size in [1, 2, 3] {
        let request = ListUsageLogsRequest {
            page_size: size,
            ..all(tenant)
        };
        assert_eq!(
            pages(&world, tenant, request).await.concat(),
            whole,
            "{size}"
        );
        for offset in 0..=whole.len() {
            let request = ListUsageLogsRequest {
                limit: size,
                offset: i32::try_from(offset).unwrap(),
                ..all(tenant)
            };
            let size = usize::try_from(size).unwrap();
            let expected: Vec<_> = whole.iter().skip(offset).take(size).cloned().collect();
            let shown = page(&world, tenant, request.clone())
                .await
                .unwrap()
                .usage_logs;
            assert_eq!(shown, expected, "{offset} {size}");
            // What was left out once isn't again.
            let rest = pages(&world, tenant, request).await.concat();
            assert_eq!(rest, whole[offset..], "{offset} {size}");
        }
    }
}

#[tokio::test]
async fn a_token_leads_on_in_its_own_list_alone() {
    let world = World::start().await;
    let [tenant, other] = [world.tenant(), world.tenant()];
    for amount in 1..=2 {
        world.consume(tenant, amount).await.unwrap();
    }
    let first = ListUsageLogsRequest {
        page_size: 1,
        ..all(tenant)
    };
    let token = page(&world, tenant, first).await.unwrap().next_page_token;
    assert!(!token.is_empty());
    let with = |request: ListUsageLogsRequest| ListUsageLogsRequest {
        page_token: token.clone(),
        ..request
    };
    for (caller, request) in [
        (other, with(all(other))),
        (tenant, with(filtered(tenant, "kind = used"))),
    ] {
        let refused = page(&world, caller, request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidPageToken);
    }
    assert_eq!(
        page(&world, tenant, with(all(tenant)))
            .await
            .unwrap()
            .usage_logs
            .len(),
        1
    );
}

#[tokio::test]
async fn a_filter_keeps_what_fits_and_one_that_makes_no_sense_is_refused() {
    let world = World::start().await;
    let tenant = world.tenant();
    let claims = world.program(tenant);
    let hour = SignedDuration::from_hours(1);
    let now = clock::now();
    let lines: Vec<_> = (0..12)
        .map(|nth| {
            used(
                ["alerts", "api_calls"][nth % 2],
                1,
                now - hour * i32::try_from(nth).unwrap(),
            )
        })
        .collect();
    log(&world, tenant, &lines).await;
    let mut quotas = world.quotas(&claims);
    quotas.consume_quota(using("alerts", 2)).await.unwrap();
    let (third, own) = (lines[3].at, format!("principal = \"user:{}\"", claims.sub));
    for (filter, expected) in [
        ("resource_type = alerts", 7),
        ("resource_type != alerts", 6),
        ("NOT resource_type = alerts", 6),
        ("resource_type = alerts OR resource_type = api_calls", 13),
        ("kind = used", 13),
        ("kind = released", 0),
        (own.as_str(), 1),
        (&format!("recorded_at >= \"{third}\""), 5),
        (
            &format!("recorded_at < \"{third}\" AND resource_type = alerts"),
            4,
        ),
        (&format!("occurred_at = \"{third}\""), 1),
        ("occurred_at > 2001-01-01", 13),
    ] {
        let fit = pages(&world, tenant, filtered(tenant, filter))
            .await
            .concat();
        assert_eq!(fit.len(), expected, "{filter}");
    }
    for filter in [
        "amount = 1",
        "kind = stolen",
        "kind > used",
        "resource_type < b",
        "recorded_at : 2026",
        "recorded_at > yesterday",
        "recorded_at > 0000-01-01",
        "principal = \"a\0b\"",
        "((",
    ] {
        let refused = page(&world, tenant, filtered(tenant, filter))
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidFilter, "{filter}");
    }
    for offset in [-1, 10_001] {
        let request = ListUsageLogsRequest {
            offset,
            ..all(tenant)
        };
        let refused = page(&world, tenant, request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
}

#[tokio::test]
async fn what_few_lines_fit_is_found_over_pages_that_each_look_at_a_bounded_part() {
    let world = World::start().await;
    let tenant = world.tenant();
    // The first and the last line fit, and two in between.
    let many = LOOKED_AT * 2 + 10;
    sqlx::query(
        "INSERT INTO usage_log (tenant_id, principal, request_id, usage_id, digest, resource_type, amount, description, answer,
                                recorded_at)
         SELECT $1, 'service:quota', n, gen_random_uuid(), '',
                CASE WHEN n IN (0, 7, $2 / 2, $2) THEN 'alerts' ELSE 'api_calls' END, n, '', '{}', clock_timestamp() - n * interval '1 second'
         FROM generate_series(0, $2) AS n",
    )
    .bind(tenant.uuid())
    .bind(many)
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    let found = pages(&world, tenant, filtered(tenant, "resource_type = alerts")).await;
    let amounts = |pages: &[Vec<UsageLog>]| {
        let lines = pages.iter().flatten();
        lines.map(|line| line.amount).collect::<Vec<_>>()
    };
    assert_eq!(amounts(&found), [0, 7, many / 2, many]);
    let sizes: Vec<_> = found.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1, 1]);
    // What an offset leaves out is left out over pages too.
    let offset = ListUsageLogsRequest {
        offset: 3,
        ..filtered(tenant, "resource_type = alerts")
    };
    assert_eq!(amounts(&pages(&world, tenant, offset).await), [many]);
    let none = filtered(tenant, "resource_type = users");
    assert_eq!(pages(&world, tenant, none).await, [const { Vec::new() }; 3]);
}
