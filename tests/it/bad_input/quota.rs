//! Values that quota refuses: limits, questions, and uses.

use reqwest::Method;
use serde_json::{Value, json};

use super::{INVALID, Wrong};
use crate::support::world::Party;

/// A request as it is sent.
type Sent = (Method, String, Option<Value>);

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
    for asked in [
        "usage/increment",
        "quotas/check",
        "usage/release",
        "reservations",
    ] {
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
    wrong.extend(of_several(&post));
    wrong.extend(of_reservations(&own, absent));
    wrong.extend(of_events(&post, absent));
    wrong
}

/// Of events of what was used: one that can't be taken down is refused in the answer.
fn of_events(post: &dyn Fn(&str, Value) -> Sent, absent: &str) -> Vec<Wrong> {
    let correct = |id: &str, body: Value| post(&format!("usage-logs/{id}:correct"), body);
    let good = json!({"resource_type": "alerts", "amount": "1", "reason": "Twice"});
    vec![
        (post("usage-events", json!({})), INVALID),
        (
            post("usage-events", json!({"events": [{"amount": 1.5}]})),
            INVALID,
        ),
        (post("cloudevents", json!({})), INVALID),
        (post("cloudevents", json!([])), INVALID),
        (correct(absent, json!({})), INVALID),
        (
            correct(
                absent,
                json!({"resource_type": "alerts", "amount": "-1", "reason": "Twice"}),
            ),
            INVALID,
        ),
        (correct(absent, good.clone()), "USAGE_NOT_FOUND"),
        (correct("none", good), "USAGE_NOT_FOUND"),
    ]
}

/// Of gauges, of several resource types at once, and of many uses.
fn of_several(post: &dyn Fn(&str, Value) -> Sent) -> Vec<Wrong> {
    let set = |resource_type: &str, body: Value| {
        let (_, path, body) = post(&format!("gauges/{resource_type}"), body);
        (Method::PUT, path, body)
    };
    let users = json!({"resource_type": "users"});
    let twice = json!({"resources": [users, users]});
    let both = json!({"resource_type": "users", "resources": [users]});
    let many = json!({"resources": vec![json!({"resource_type": "users"}); 17]});
    let mut wrong: Vec<Wrong> = [
        set("users", json!({})),
        set("users", json!({"value": "-1"})),
        set("users", json!({"value": "9007199254740992"})),
        set("All-users", json!({"value": "1"})),
        set("no_such_thing", json!({"value": "1"})),
        post(
            "usage/increment",
            json!({"resource_type": "users", "mode": "greedy"}),
        ),
        post("usage:batchIncrement", json!({})),
        post(
            "usage:batchIncrement",
            json!({"uses": vec![json!({"resource_type": "users"}); 1_001]}),
        ),
        post(
            "usage:batchIncrement",
            json!({"uses": [{"tenant": "another", "resource_type": "users"}]}),
        ),
        post(
            "usage:batchIncrement",
            json!({"uses": [users], "request_id": "a b"}),
        ),
    ]
    .map(|request| (request, INVALID))
    .into();
    for path in ["usage/increment", "reservations"] {
        let bad = [twice.clone(), both.clone(), many.clone()];
        wrong.extend(bad.map(|body| (post(path, body), INVALID)));
    }
    wrong.push((set("alerts", json!({"value": "1"})), "NOT_A_GAUGE"));
    let release = |resource_type: &str| {
        let body = json!({"resource_type": resource_type, "amount": "900"});
        post("usage/release", body)
    };
    wrong.push((release("alerts"), "NOT_A_GAUGE"));
    wrong.push((release("devices"), "RELEASE_BEYOND_USAGE"));
    wrong.push((release("users"), "COUNTED_BY_FLEET"));
    wrong.push((set("users", json!({"value": "1"})), "COUNTED_BY_FLEET"));
    wrong
}

fn of_reservations(own: &str, absent: &str) -> Vec<Wrong> {
    let hold = |body: Value| {
        let mut body = body;
        body["resource_type"] = json!("alerts");
        (Method::POST, format!("{own}/reservations"), Some(body))
    };
    let end = |id: &str, verb: &str| {
        let path = format!("{own}/reservations/{id}:{verb}");
        (Method::POST, path, Some(json!({})))
    };
    let mut wrong: Vec<Wrong> = [
        hold(json!({"ttl_seconds": 0})),
        hold(json!({"ttl_seconds": -5})),
        hold(json!({"ttl_seconds": 86_401})),
        hold(json!({"ttl_seconds": "long"})),
        hold(json!({"description": "x".repeat(501)})),
        hold(json!({"request_id": "a b"})),
    ]
    .map(|request| (request, INVALID))
    .into();
    for id in [absent, "none"] {
        let missing = "RESERVATION_NOT_FOUND";
        let path = format!("{own}/reservations/{id}");
        wrong.push(((Method::GET, path, None), missing));
        wrong.push((end(id, "commit"), missing));
        wrong.push((end(id, "cancel"), missing));
    }
    wrong
}
