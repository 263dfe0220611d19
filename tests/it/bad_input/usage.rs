//! Values that quota refuses where what was used is read.

use reqwest::Method;

use super::{INVALID, Wrong};
use crate::support::world::Party;

/// Each is sent about a party; `absent` is an id that nothing has.
pub(super) fn wrong_values(a: &Party, absent: &str) -> Vec<Wrong> {
    let own = |path: &str| {
        (
            Method::GET,
            format!("/api/v1/tenants/{}/{path}", a.id),
            None,
        )
    };
    let mut wrong = vec![
        (own("usage-logs?page_size=-1"), INVALID),
        (own("usage-logs?limit=many"), INVALID),
        (own("usage-logs?offset=10001"), INVALID),
        (own("usage-logs?offset=-1"), INVALID),
        (own("usage-logs?page_token=x"), "INVALID_PAGE_TOKEN"),
        (own("usage-logs?filter=amount%3D1"), "INVALID_FILTER"),
        (own("usage-logs?filter=kind%3Dstolen"), "INVALID_FILTER"),
        (own("usage-logs:export?filter=%28%28"), "INVALID_FILTER"),
        (own("usage-series"), INVALID),
        (own("usage-series?resource_type=All"), INVALID),
        (own("usage-series?resource_type=no_such_thing"), INVALID),
        (
            own("usage-series?resource_type=users&interval=week"),
            INVALID,
        ),
        (
            own(
                "usage-series?resource_type=users&start_time=2001-01-01T00:00:00Z&end_time=2001-01-02T00:00:00Z",
            ),
            INVALID,
        ),
        (
            own("usage-series?resource_type=users&interval=minute&start_time=2001-01-01T00:00:00Z"),
            INVALID,
        ),
        (
            own("usage-series?resource_type=users&start_time=yesterday"),
            INVALID,
        ),
        (own("usage-forecast"), INVALID),
        (own("usage-forecast?resource_type=no_such_thing"), INVALID),
        (own("metrics?period=2026-13"), INVALID),
        (own("metrics?period=2001-01"), INVALID),
    ];
    for path in [
        "usage-logs",
        "usage-logs:export",
        "usage",
        "health",
        "metrics",
    ] {
        let path = format!("/api/v1/tenants/{absent}/{path}");
        wrong.push(((Method::GET, path, None), "TENANT_NOT_FOUND"));
    }
    let of_all = |path: &str| (Method::GET, format!("/api/v1/tenants/{path}"), None);
    wrong.extend([
        (of_all("health-summary?status=ill"), INVALID),
        (of_all("health-summary?page_size=-1"), INVALID),
        (of_all("health-summary?page_token=x"), "INVALID_PAGE_TOKEN"),
    ]);
    wrong
}
