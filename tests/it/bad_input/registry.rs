//! Values that registry refuses: tenants, plans, projects, domains, and paths that nobody has.

use reqwest::Method;
use serde_json::json;

use super::{INVALID, Wrong};
use crate::support::world::Party;

/// Each is sent about a party; `absent` is an id that nothing has.
pub(super) fn wrong_values(a: &Party, absent: &str) -> Vec<Wrong> {
    let own = format!("/api/v1/tenants/{}", a.id);
    let post = |body| (Method::POST, "/api/v1/tenants".to_owned(), Some(body));
    let patch = |body| (Method::PATCH, own.clone(), Some(body));
    let project = |body| {
        (
            Method::PATCH,
            "/api/v1/projects/default".to_owned(),
            Some(body),
        )
    };
    let plan = |body| (Method::POST, "/api/v1/plans".to_owned(), Some(body));
    let get = |path: &str| (Method::GET, path.to_owned(), None);
    let import = |format: &str, content: &str| {
        let body = json!({"format": format, "content": content});
        (
            Method::POST,
            "/api/v1/tenants:import".to_owned(),
            Some(body),
        )
    };
    vec![
        (post(json!({})), INVALID),
        (post(json!({"name": " "})), INVALID),
        (post(json!({"name": "A\u{0}B"})), INVALID),
        (post(json!({"name": "x".repeat(201)})), INVALID),
        (post(json!({"name": "A", "slug": "Not A Slug"})), INVALID),
        (
            post(json!({"name": "A", "slug": "01900000-0000-7000-8000-000000000001"})),
            INVALID,
        ),
        (
            post(json!({"name": "A", "slug": "current"})),
            "SLUG_RESERVED",
        ),
        (post(json!({"name": "A", "email": "nobody"})), INVALID),
        (post(json!({"name": "A", "timezone": "Mars/Base"})), INVALID),
        (post(json!({"name": "A", "locale": "no locale"})), INVALID),
        (post(json!({"name": "A", "contact_phone": "0170"})), INVALID),
        (post(json!({"name": "A", "trial_days": -1})), INVALID),
        (
            post(json!({"name": "A", "labels": [{"key": "k", "value": ""}]})),
            INVALID,
        ),
        (
            post(json!({"name": "A", "labels": [{"key": "", "value": "v"}]})),
            INVALID,
        ),
        (
            post(
                json!({"name": "A", "labels": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}),
            ),
            INVALID,
        ),
        (post(json!({"name": "A", "metadata": {"": 1}})), INVALID),
        (
            post(json!({"name": "A", "metadata": {"a": {"b": [{"": ""}]}}})),
            INVALID,
        ),
        (
            post(json!({"name": "A", "metadata": {"a": "\u{0}"}})),
            INVALID,
        ),
        (
            post(json!({"name": "A", "metadata": {"a": "x".repeat(17_000)}})),
            INVALID,
        ),
        (
            post(json!({"name": "A", "subscription_tier": "platinum"})),
            "PLAN_NOT_FOUND",
        ),
        (
            post(json!({"name": "A", "project": "no-such-project"})),
            "PROJECT_NOT_FOUND",
        ),
        (
            post(json!({"name": "A", "parent_id": absent})),
            "PARENT_NOT_FOUND",
        ),
        (
            post(json!({"name": "A", "request_id": "with blanks in it"})),
            INVALID,
        ),
        (patch(json!({})), "NOTHING_TO_UPDATE"),
        (patch(json!({"no_such_field": 1})), "NOTHING_TO_UPDATE"),
        (patch(json!({"update_mask": "no_such_field"})), INVALID),
        (patch(json!({"name": ""})), INVALID),
        (patch(json!({"name": "B", "etag": "999"})), "ETAG_MISMATCH"),
        (
            get("/api/v1/tenants?page_token=nonsense"),
            "INVALID_PAGE_TOKEN",
        ),
        (get("/api/v1/tenants?filter=status%20%3D"), "INVALID_FILTER"),
        (
            get("/api/v1/tenants?filter=colour%20%3D%20red"),
            "INVALID_FILTER",
        ),
        (
            get("/api/v1/tenants?filter=id%20%3D%20abc"),
            "INVALID_FILTER",
        ),
        (
            get("/api/v1/tenants?filter=created_at%20%3E%20yesterday"),
            "INVALID_FILTER",
        ),
        (get("/api/v1/tenants?order_by=colour"), "INVALID_ORDER_BY"),
        (get("/api/v1/tenants?q=%25"), INVALID),
        (get("/api/v1/tenants?q=a%00b"), INVALID),
        (
            get(&format!("/api/v1/tenants?q={}", "x".repeat(201))),
            INVALID,
        ),
        (get("/api/v1/tenants?status=lost"), INVALID),
        (get("/api/v1/tenants?tier=platinum"), "PLAN_NOT_FOUND"),
        (get("/api/v1/tenants?page_size=-1"), INVALID),
        (get("/api/v1/tenants?offset=10001"), INVALID),
        (
            get("/api/v1/tenants:watch?resume_token=nonsense"),
            "INVALID_RESUME_TOKEN",
        ),
        (get("/api/v1/tenants/not-a-tenant"), "TENANT_NOT_FOUND"),
        (get("/api/v1/tenants/019%2f00"), INVALID),
        (
            get(&format!("/api/v1/tenants/{absent}")),
            "TENANT_NOT_FOUND",
        ),
        (get("/api/v1/plans/platinum"), "PLAN_NOT_FOUND"),
        (get("/api/v1/plans/free?version=99"), "PLAN_NOT_FOUND"),
        (get("/api/v1/plans/free?version=first"), INVALID),
        (get("/api/v1/plans?project=nowhere"), "PROJECT_NOT_FOUND"),
        (
            get("/api/v1/plans/free/versions?page_token=nonsense"),
            "INVALID_PAGE_TOKEN",
        ),
        (
            get(&format!("{own}/plan:preview?plan=platinum")),
            "PLAN_NOT_FOUND",
        ),
        (
            (
                Method::POST,
                format!("{own}/plan:change"),
                Some(json!({"plan": "platinum"})),
            ),
            "PLAN_NOT_FOUND",
        ),
        (get("/api/v1/projects/nowhere"), "PROJECT_NOT_FOUND"),
        (project(json!({"sign_up": "perhaps"})), INVALID),
        (project(json!({"name": ""})), INVALID),
        (project(json!({})), "NOTHING_TO_UPDATE"),
        (
            project(json!({"name": "A", "etag": "999"})),
            "ETAG_MISMATCH",
        ),
        (plan(json!({})), INVALID),
        (plan(json!({"key": "No Key"})), INVALID),
        (plan(json!({"key": "free"})), INVALID),
        (
            plan(json!({"key": "gold", "limits": [{"limit": "many"}]})),
            INVALID,
        ),
        (
            (
                Method::PATCH,
                "/api/v1/plans/free".to_owned(),
                Some(json!({"currency": "Taler"})),
            ),
            INVALID,
        ),
        (
            (
                Method::PATCH,
                "/api/v1/plans/free".to_owned(),
                Some(json!({})),
            ),
            "NOTHING_TO_UPDATE",
        ),
        (import("xlsx", "name\nA\n"), INVALID),
        (import("csv", ""), INVALID),
        (import("csv", "name\n"), INVALID),
        (import("csv", "title\nA\n"), INVALID),
        (import("csv", "name,name\nA,B\n"), INVALID),
        (import("csv", "name\n\"A\n"), INVALID),
        (import("csv", "name\nA\u{0}B\n"), INVALID),
        (import("csv", &"x".repeat(3_000_001)), INVALID),
        (import("ndjson", "\n\n"), INVALID),
        (
            get(&format!("/api/v1/tenant-imports/{absent}")),
            "IMPORT_NOT_FOUND",
        ),
        (
            get("/api/v1/tenant-imports/nonsense/rows"),
            "IMPORT_NOT_FOUND",
        ),
        (
            get("/api/v1/tenant-imports?page_token=nonsense"),
            "INVALID_PAGE_TOKEN",
        ),
        (get("/api/v1/tenant-imports?page_size=-1"), INVALID),
        (get("/api/v1/no-such-path"), "UNKNOWN_PATH"),
        (
            (Method::DELETE, "/api/v1/plans".to_owned(), None),
            "UNKNOWN_PATH",
        ),
        (
            (Method::POST, format!("{own}/status/lost"), Some(json!({}))),
            "UNKNOWN_PATH",
        ),
    ]
}
