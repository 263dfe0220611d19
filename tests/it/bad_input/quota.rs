//! Values that quota refuses: limits, questions, and uses.

use reqwest::Method;
use serde_json::{Value, json};

use super::{INVALID, Wrong};
use crate::support::world::Party;

/// Each is sent about a party; `absent` is an id that nothing has.
pub(super) fn wrong_values(a: &Party, absent: &str) -> Vec<Wrong> {
    let own = format!("/api/v1/tenants/{}", a.id);
    let of = |resource_type: &str, further: Value| {
        let mut body = further;
        body["resource_type"] = json!(resource_type);
        body
    };
    let post = |path: &str, body| (Method::POST, format!("{own}/{path}"), Some(body));
    let limit = |body| (Method::PATCH, format!("{own}/limits"), Some(body));
    let users = |further: Value| {
        let mut body = json!({"resource_type": "users", "limit": "3", "reason": "A class"});
        for (name, value) in further.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        limit(body)
    };
    let get = |path: String| (Method::GET, path, None);
    let delete = |path: &str| (Method::DELETE, format!("{own}/limits/{path}"), None);
    let mut wrong = vec![
        // The free plan has five.
        (
            post("usage/increment", of("users", json!({"amount": "6"}))),
            "QUOTA_EXCEEDED",
        ),
        (
            post(
                "usage/increment",
                of("users", json!({"description": "x".repeat(501)})),
            ),
            INVALID,
        ),
        (
            post(
                "usage/increment",
                of("users", json!({"description": "a\0b"})),
            ),
            INVALID,
        ),
        (
            post("usage/increment", of("users", json!({"request_id": "a b"}))),
            INVALID,
        ),
        (limit(json!({})), INVALID),
        (users(json!({"limit": null})), INVALID),
        (users(json!({"limit": "-1"})), INVALID),
        (users(json!({"limit": "9007199254740992"})), INVALID),
        (users(json!({"limit": 1.5})), INVALID),
        (users(json!({"resource_type": "All users"})), INVALID),
        (users(json!({"resource_type": "x".repeat(64)})), INVALID),
        // Nothing says over which window it is counted.
        (users(json!({"resource_type": "gpu_seconds"})), INVALID),
        (users(json!({"reset_period": "year"})), INVALID),
        (users(json!({"reason": " "})), INVALID),
        (users(json!({"reason": "x".repeat(501)})), INVALID),
        (users(json!({"reason": "a\0b"})), INVALID),
        (
            users(json!({"expires_at": "2001-01-01T00:00:00Z"})),
            INVALID,
        ),
        (users(json!({"expires_at": "tomorrow"})), INVALID),
        (users(json!({"force": "perhaps"})), INVALID),
        (users(json!({"request_id": "a b"})), INVALID),
        (delete("users"), "LIMIT_OVERRIDE_NOT_FOUND"),
        (delete("All-users"), INVALID),
        (delete("users?force=perhaps"), INVALID),
        (
            get(format!("/api/v1/tenants/{absent}/quotas")),
            "TENANT_NOT_FOUND",
        ),
        (get("/api/v1/tenant/limits".to_owned()), "TENANT_REQUIRED"),
        (
            get(format!("/api/v1/tenant/limits?tenant={absent}")),
            "TENANT_NOT_FOUND",
        ),
    ];
    for asked in ["usage/increment", "quotas/check"] {
        let bad = [
            json!({}),
            of("All users", json!({})),
            of("no_such_thing", json!({})),
            of("users", json!({"amount": "-1"})),
            of("users", json!({"amount": "many"})),
            of("users", json!({"amount": 1.5})),
            of("users", json!({"amount": "9007199254740992"})),
            of("users", json!({"amount": "9223372036854775808"})),
        ];
        wrong.extend(bad.map(|body| (post(asked, body), INVALID)));
        let path = format!("/api/v1/tenants/{absent}/{asked}");
        let body = of("users", json!({}));
        wrong.push(((Method::POST, path, Some(body)), "TENANT_NOT_FOUND"));
    }
    wrong
}
