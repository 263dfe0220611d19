//! Bad input gets a clear refusal: google.rpc.Status as JSON, an ErrorInfo reason, a sentence that says what to do; never
//! a 5xx, never what a driver said, and never a fallen gateway.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;
use tenantry_testkit::rest::{Answer, Rest};

use crate::support::dynamic::gateway_methods;
use crate::support::fleet;
use crate::support::world::Party;

/// What no answer may contain.
const LEAKS: &[&str] = &[
    "sqlx",
    "postgres",
    "relation \"",
    "constraint",
    "panicked",
    "tonic",
    "rust",
    "SELECT ",
];

fn check(what: &str, answer: &Answer) {
    assert!(
        (400..500).contains(&answer.status),
        "{what}: {} {}",
        answer.status,
        answer.text
    );
    let json = answer.json();
    assert!(
        json["code"].as_i64().is_some(),
        "{what}: no google.rpc.Status: {}",
        answer.text
    );
    let message = json["message"].as_str().unwrap_or_default();
    assert!(
        message.len() > 15,
        "{what}: the message says too little: {}",
        answer.text
    );
    assert!(
        !answer.reason().is_empty(),
        "{what}: no reason: {}",
        answer.text
    );
    for leak in LEAKS {
        assert!(
            !answer.text.contains(leak),
            "{what} leaks {leak:?}: {}",
            answer.text
        );
    }
}

/// A binding's path with a value for each field.
fn path(template: &str, party: &Party) -> String {
    template
        .replace("{tenant}", &party.id)
        .replace("{user}", &party.member)
        .replace("{api_key}", &party.key_id)
        .replace("{invitation}", &party.member)
        .replace("{token}", "ti_token")
        .replace("{role}", "viewer")
        .replace("{hold}", "01900000-0000-7000-8000-000000000001")
        .replace("{plan}", "free")
        .replace("{project}", "default")
        .replace("{session}", &party.member)
        .replace("{identity_provider}", &party.key_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_refuses_malformed_bodies_and_unknown_parameters() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let owner = a.rest(fleet)?;
    let large = json!({"name": "x".repeat(5 * 1024 * 1024)}).to_string();
    let mut tried = 0;
    for method in gateway_methods() {
        for binding in method.bindings {
            let verb: Method = binding.method.parse()?;
            let path = path(binding.template, &a);
            let what = format!("{verb} {path}");
            let unknown = owner
                .send(verb.clone(), &format!("{path}?no_such_parameter=1"), None)
                .await?;
            check(&format!("{what}: unknown parameter"), &unknown);
            tried += 1;
            if binding.body == "*" {
                for (kind, body) in [
                    ("malformed", "{\"name\": ".to_owned()),
                    ("not an object", "[1, 2]".to_owned()),
                    ("wrong type", "{\"name\": {\"a\": 1}, \"email\": [1], \"tenant\": 7, \"etag\": {}, \"request_id\": {}}".to_owned()),
                    ("oversize", large.clone()),
                ] {
                    // A message without a field can't have one of a wrong type.
                    if kind == "wrong type" && method.name == "Logout" {
                        continue;
                    }
                    check(&format!("{what}: {kind}"), &owner.send(verb.clone(), &path, Some(body)).await?);
                    tried += 1;
                }
            }
        }
    }
    println!("{tried} bad requests refused");
    assert_eq!(
        owner.get("/api/v1/tenants/current").await?.status,
        200,
        "the gateway stands"
    );
    Ok(())
}

async fn refused(
    rest: &Rest,
    method: Method,
    path: &str,
    body: Option<serde_json::Value>,
    reason: &str,
) -> Result<()> {
    let what = format!("{method} {path} {body:?}");
    let answer = rest
        .send(method, path, body.map(|body| body.to_string()))
        .await?;
    check(&what, &answer);
    assert_eq!(answer.reason(), reason, "{what}: {}", answer.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_value_is_refused_with_its_reason() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let person = a.rest(fleet)?;
    let operator = fleet.operator_rest()?;
    let own = format!("/api/v1/tenants/{}", a.id);
    let absent = tenantry_core::TenantId::new();
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
    let auth = |what: &str, body| (Method::POST, format!("/api/v1/auth/{what}"), Some(body));
    let invalid = "INVALID_ARGUMENT";
    for ((method, path, body), reason) in [
        (post(json!({})), invalid),
        (post(json!({"name": " "})), invalid),
        (post(json!({"name": "A\u{0}B"})), invalid),
        (post(json!({"name": "x".repeat(201)})), invalid),
        (post(json!({"name": "A", "slug": "Not A Slug"})), invalid),
        (
            post(json!({"name": "A", "slug": "01900000-0000-7000-8000-000000000001"})),
            invalid,
        ),
        (
            post(json!({"name": "A", "slug": "current"})),
            "SLUG_RESERVED",
        ),
        (post(json!({"name": "A", "email": "nobody"})), invalid),
        (post(json!({"name": "A", "timezone": "Mars/Base"})), invalid),
        (post(json!({"name": "A", "locale": "no locale"})), invalid),
        (post(json!({"name": "A", "contact_phone": "0170"})), invalid),
        (post(json!({"name": "A", "trial_days": -1})), invalid),
        (
            post(json!({"name": "A", "labels": [{"key": "k", "value": ""}]})),
            invalid,
        ),
        (
            post(json!({"name": "A", "labels": [{"key": "", "value": "v"}]})),
            invalid,
        ),
        (
            post(
                json!({"name": "A", "labels": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}),
            ),
            invalid,
        ),
        (post(json!({"name": "A", "metadata": {"": 1}})), invalid),
        (
            post(json!({"name": "A", "metadata": {"a": {"b": [{"": ""}]}}})),
            invalid,
        ),
        (
            post(json!({"name": "A", "metadata": {"a": "\u{0}"}})),
            invalid,
        ),
        (
            post(json!({"name": "A", "metadata": {"a": "x".repeat(17_000)}})),
            invalid,
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
            post(json!({"name": "A", "parent_id": absent.to_string()})),
            "PARENT_NOT_FOUND",
        ),
        (
            post(json!({"name": "A", "request_id": "with blanks in it"})),
            invalid,
        ),
        (patch(json!({})), "NOTHING_TO_UPDATE"),
        (patch(json!({"no_such_field": 1})), "NOTHING_TO_UPDATE"),
        (patch(json!({"update_mask": "no_such_field"})), invalid),
        (patch(json!({"name": ""})), invalid),
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
        (get("/api/v1/tenants?status=lost"), invalid),
        (get("/api/v1/tenants?tier=platinum"), "PLAN_NOT_FOUND"),
        (get("/api/v1/tenants?page_size=-1"), invalid),
        (get("/api/v1/tenants?offset=10001"), invalid),
        (
            get("/api/v1/tenants:watch?resume_token=nonsense"),
            "INVALID_RESUME_TOKEN",
        ),
        (get("/api/v1/tenants/not-a-tenant"), "TENANT_NOT_FOUND"),
        (get("/api/v1/tenants/019%2f00"), invalid),
        (
            get(&format!("/api/v1/tenants/{absent}")),
            "TENANT_NOT_FOUND",
        ),
        (get("/api/v1/plans/platinum"), "PLAN_NOT_FOUND"),
        (get("/api/v1/plans/free?version=99"), "PLAN_NOT_FOUND"),
        (get("/api/v1/plans/free?version=first"), invalid),
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
        (project(json!({"sign_up": "perhaps"})), invalid),
        (project(json!({"name": ""})), invalid),
        (project(json!({})), "NOTHING_TO_UPDATE"),
        (
            project(json!({"name": "A", "etag": "999"})),
            "ETAG_MISMATCH",
        ),
        (plan(json!({})), invalid),
        (plan(json!({"key": "No Key"})), invalid),
        (plan(json!({"key": "free"})), invalid),
        (
            plan(json!({"key": "gold", "limits": [{"limit": "many"}]})),
            invalid,
        ),
        (
            (
                Method::PATCH,
                "/api/v1/plans/free".to_owned(),
                Some(json!({"currency": "Taler"})),
            ),
            invalid,
        ),
        (
            (
                Method::PATCH,
                "/api/v1/plans/free".to_owned(),
                Some(json!({})),
            ),
            "NOTHING_TO_UPDATE",
        ),
        (get("/api/v1/no-such-path"), invalid),
        ((Method::DELETE, "/api/v1/plans".to_owned(), None), invalid),
        (
            (Method::POST, format!("{own}/status/lost"), Some(json!({}))),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "nobody"})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "a@example.com", "password": "short"})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "a@example.com", "password": "Password123!"})),
            ),
            invalid,
        ),
        (
            auth(
                "password",
                json!({"current_password": "x", "new_password": "short"}),
            ),
            invalid,
        ),
        (auth("password:forgot", json!({"email": "nobody"})), invalid),
        (
            auth("password:reset", json!({"token": "", "new_password": ""})),
            invalid,
        ),
        (
            auth(
                "password:reset",
                json!({"token": "nonsense", "new_password": "purple lantern seldom"}),
            ),
            "RESET_TOKEN_INVALID",
        ),
        (
            (
                Method::DELETE,
                "/api/v1/auth/sessions/not-a-uuid".to_owned(),
                None,
            ),
            invalid,
        ),
        (
            (
                Method::DELETE,
                format!("/api/v1/auth/sessions/{absent}"),
                None,
            ),
            "SESSION_NOT_FOUND",
        ),
        (
            get("/api/v1/auth/sessions?page_token=nonsense"),
            "INVALID_PAGE_TOKEN",
        ),
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "a@example.com", "roles": ["king"]})),
            ),
            "ROLE_NOT_FOUND",
        ),
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "a@example.com", "roles": ["King!"]})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/roles"),
                Some(json!({"key": "A", "permissions": ["tenants.read"]})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/roles"),
                Some(json!({"key": "clerk", "permissions": ["platform.tenants.manage"]})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/roles"),
                Some(json!({"key": "clerk", "permissions": []})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/roles"),
                Some(json!({"key": "admin", "permissions": ["tenants.read"]})),
            ),
            "ROLE_EXISTS",
        ),
        (
            (
                Method::PATCH,
                format!("{own}/roles/viewer"),
                Some(json!({"name": "Reader"})),
            ),
            invalid,
        ),
        (
            (Method::PATCH, format!("{own}/roles/clerk"), Some(json!({}))),
            "NOTHING_TO_UPDATE",
        ),
        (
            (
                Method::PATCH,
                format!("{own}/roles/clerk"),
                Some(json!({"update_mask": "key"})),
            ),
            invalid,
        ),
        (get(&format!("{own}/roles/absent")), "ROLE_NOT_FOUND"),
        (
            (Method::DELETE, format!("{own}/roles/absent"), None),
            "ROLE_NOT_FOUND",
        ),
        (
            (
                Method::POST,
                format!("{own}/permissions:check"),
                Some(json!({})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/permissions:check"),
                Some(json!({"questions": [{"permission": "fly"}]})),
            ),
            invalid,
        ),
        (
            (Method::DELETE, format!("{own}/users/not-a-uuid"), None),
            invalid,
        ),
        (
            (
                Method::PATCH,
                format!("{own}/users/{}", a.member),
                Some(json!({"username": "no@address"})),
            ),
            invalid,
        ),
        (
            (
                Method::PATCH,
                format!("{own}/users/{}", a.member),
                Some(json!({})),
            ),
            "NOTHING_TO_UPDATE",
        ),
        (get(&format!("{own}/users/{absent}")), "USER_NOT_FOUND"),
        (
            get(&format!("/api/v1/users/{absent}/memberships")),
            "USER_NOT_FOUND",
        ),
        (
            (
                Method::POST,
                format!("{own}/users:transfer"),
                Some(json!({"target_tenant": a.child, "users": []})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/users:transfer"),
                Some(json!({"users": [a.member]})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/users:transfer"),
                Some(json!({"target_tenant": a.child, "users": [a.member, a.member]})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/users:transfer"),
                Some(json!({"target_tenant": absent.to_string(), "users": [a.member]})),
            ),
            "TENANT_NOT_FOUND",
        ),
        (
            (
                Method::POST,
                format!("{own}/users/invite"),
                Some(json!({"email": "nobody", "roles": ["king"], "expires_in_days": 31})),
            ),
            invalid,
        ),
        (
            get(&format!("{own}/users/invitations?status=lost")),
            invalid,
        ),
        (get(&format!("{own}/users/invitations/not-a-uuid")), invalid),
        (
            get(&format!("{own}/users/invitations/{absent}")),
            "INVITATION_NOT_FOUND",
        ),
        (get("/api/v1/invitations/nonsense"), "INVITATION_NOT_FOUND"),
        (
            (
                Method::POST,
                "/api/v1/invitations/nonsense:accept".to_owned(),
                Some(json!({"password": "long enough to be one"})),
            ),
            "INVITATION_NOT_FOUND",
        ),
        (
            (Method::DELETE, format!("{own}/api-keys/not-a-uuid"), None),
            invalid,
        ),
        (
            (Method::GET, format!("{own}/api-keys/not-a-uuid"), None),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys/not-a-uuid:rotate"),
                Some(json!({})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys/0198c2a0-0000-7000-8000-000000000000:rotate"),
                Some(json!({"overlap": "-1s"})),
            ),
            invalid,
        ),
        (
            (Method::GET, "/api/v1/operators/not-a-uuid".to_owned(), None),
            invalid,
        ),
        (
            (
                Method::DELETE,
                "/api/v1/operators/api-keys/no".to_owned(),
                None,
            ),
            invalid,
        ),
        (
            (
                Method::PATCH,
                "/api/v1/operators/not-a-uuid".to_owned(),
                Some(json!({"permissions": ["fly"]})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys"),
                Some(json!({"name": ""})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys"),
                Some(json!({"name": "k", "permissions": ["fly"]})),
            ),
            invalid,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys"),
                Some(json!({"name": "k", "expires_at": "2001-01-01T00:00:00Z"})),
            ),
            invalid,
        ),
    ] {
        // Sessions and passwords are people's; the operator here is a program.
        let caller = if path.starts_with("/api/v1/auth/") {
            &person
        } else {
            &operator
        };
        refused(caller, method, &path, body, reason).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_json_comes_back_through_the_gateway_as_it_went() -> Result<()> {
    let fleet = fleet().await?;
    let metadata = json!({"a": "", "b": null, "c": false, "d": 0, "e": {}, "f": [], "g": [{"h": ""}, 0, null]});
    let body = json!({"name": "Zero values", "metadata": metadata, "labels": [{"key": "a", "value": "b"}]});
    let made = fleet
        .operator_rest()?
        .post("/api/v1/tenants", body)
        .await?
        .ok()?;
    assert_eq!(
        made["metadata"], metadata,
        "defaults in values survive Envoy's transcoding"
    );
    let again = fleet
        .operator_rest()?
        .get(&format!("/api/v1/tenants/{}", made["id"].as_str().unwrap()))
        .await?
        .ok()?;
    assert_eq!(again["metadata"], metadata);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_transport_refuses_is_told_like_any_refusal() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    for depth in [17, 34, 60] {
        let metadata = (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
        let body = json!({"name": "Deep", "metadata": metadata});
        let answer = operator.post("/api/v1/tenants", body).await?;
        check(&format!("{depth} levels"), &answer);
    }
    // Garbage and unknown methods, natively.
    let channel = crate::support::dynamic::gateway_channel(fleet).await?;
    for (path, code, reason) in [
        (
            "/tenantry.registry.v1.TenantService/GetTenant",
            tonic::Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (
            "/tenantry.registry.v1.TenantService/NoSuchMethod",
            tonic::Code::Unimplemented,
            "UNKNOWN_METHOD",
        ),
    ] {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await?;
        let mut request = tonic::Request::new(crate::edge::Raw(vec![0x0a, 0xff, 0xff]));
        request
            .metadata_mut()
            .insert("x-api-key", fleet.operator().token.parse()?);
        let answer = grpc
            .unary(request, path.parse()?, crate::edge::RawCodec)
            .await;
        let status = answer.map(|_| ()).unwrap_err();
        let details = tonic_types::StatusExt::get_error_details(&status);
        assert_eq!(
            (
                status.code(),
                details.error_info().map(|info| info.reason.as_str())
            ),
            (code, Some(reason)),
            "{path}: {status:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_come_once_is_refused_twice() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let operator = fleet.operator_rest()?;
    let twice = operator
        .clone()
        .header("idempotency-key", "one")
        .header("idempotency-key", "other");
    check(
        "two keys",
        &twice
            .post("/api/v1/tenants", json!({"name": "Twice"}))
            .await?,
    );
    let conflict = operator
        .header("x-tenant-id", &a.id)
        .header("x-tenant-slug", &b.slug);
    let answer = conflict
        .post("/api/v1/tenants", json!({"name": "Conflict"}))
        .await?;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "TENANT_CONFLICT"),
        "{}",
        answer.text
    );
    Ok(())
}
