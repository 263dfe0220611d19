//! Values that identity refuses: sign-in, people, roles, invitations, keys, operators.

use reqwest::Method;
use serde_json::json;

use super::{INVALID, Wrong};
use crate::support::world::Party;

/// Each is sent about a party; `absent` is an id that nothing has.
pub(super) fn wrong_values(a: &Party, absent: &str) -> Vec<Wrong> {
    let own = format!("/api/v1/tenants/{}", a.id);
    let get = |path: &str| (Method::GET, path.to_owned(), None);
    let sign_up = |body| (Method::POST, "/api/v1/organizations".to_owned(), Some(body));
    let auth = |what: &str, body| (Method::POST, format!("/api/v1/auth/{what}"), Some(body));
    vec![
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "nobody"})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "a@example.com", "password": "short"})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/users"),
                Some(json!({"email": "a@example.com", "password": "Password123!"})),
            ),
            INVALID,
        ),
        (
            auth(
                "password",
                json!({"current_password": "x", "new_password": "short"}),
            ),
            INVALID,
        ),
        (sign_up(json!({"name": ""})), INVALID),
        (sign_up(json!({"name": "x".repeat(501)})), INVALID),
        (sign_up(json!({"name": "A", "project": "a\0b"})), INVALID),
        (sign_up(json!({"name": "A", "email": "nobody"})), INVALID),
        (sign_up(json!({"name": "A", "slug": "Ä"})), INVALID),
        (
            sign_up(json!({"name": "A", "slug": "current"})),
            "SLUG_RESERVED",
        ),
        (sign_up(json!({"name": "A", "timezone": "Mars"})), INVALID),
        (sign_up(json!({"name": "A", "locale": "?"})), INVALID),
        (
            sign_up(json!({"name": "A", "contact_phone": "12"})),
            INVALID,
        ),
        (
            sign_up(json!({"name": "A", "project": "absent"})),
            "SIGN_UP_CLOSED",
        ),
        (sign_up(json!({"name": "A", "request_id": "a b"})), INVALID),
        (auth("password:forgot", json!({"email": "nobody"})), INVALID),
        (
            auth("password:reset", json!({"token": "", "new_password": ""})),
            INVALID,
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
            INVALID,
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
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/roles"),
                Some(json!({"key": "A", "permissions": ["tenants.read"]})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/roles"),
                Some(json!({"key": "clerk", "permissions": ["platform.tenants.manage"]})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/roles"),
                Some(json!({"key": "clerk", "permissions": []})),
            ),
            INVALID,
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
            INVALID,
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
            INVALID,
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
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/permissions:check"),
                Some(json!({"questions": [{"permission": "fly"}]})),
            ),
            INVALID,
        ),
        (
            (Method::DELETE, format!("{own}/users/not-a-uuid"), None),
            INVALID,
        ),
        (
            (
                Method::PATCH,
                format!("{own}/users/{}", a.member),
                Some(json!({"username": "no@address"})),
            ),
            INVALID,
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
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/users:transfer"),
                Some(json!({"users": [a.member]})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/users:transfer"),
                Some(json!({"target_tenant": a.child, "users": [a.member, a.member]})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/users:transfer"),
                Some(json!({"target_tenant": absent, "users": [a.member]})),
            ),
            "TENANT_NOT_FOUND",
        ),
        (
            (
                Method::POST,
                format!("{own}/users/invite"),
                Some(json!({"email": "nobody", "roles": ["king"], "expires_in_days": 31})),
            ),
            INVALID,
        ),
        (
            get(&format!("{own}/users/invitations?status=lost")),
            INVALID,
        ),
        (get(&format!("{own}/users/invitations/not-a-uuid")), INVALID),
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
            INVALID,
        ),
        (
            (Method::GET, format!("{own}/api-keys/not-a-uuid"), None),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys/not-a-uuid:rotate"),
                Some(json!({})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys/0198c2a0-0000-7000-8000-000000000000:rotate"),
                Some(json!({"overlap": "-1s"})),
            ),
            INVALID,
        ),
        (
            (Method::GET, "/api/v1/operators/not-a-uuid".to_owned(), None),
            INVALID,
        ),
        (
            (
                Method::DELETE,
                "/api/v1/operators/api-keys/no".to_owned(),
                None,
            ),
            INVALID,
        ),
        (
            (
                Method::PATCH,
                "/api/v1/operators/not-a-uuid".to_owned(),
                Some(json!({"permissions": ["fly"]})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys"),
                Some(json!({"name": ""})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys"),
                Some(json!({"name": "k", "permissions": ["fly"]})),
            ),
            INVALID,
        ),
        (
            (
                Method::POST,
                format!("{own}/api-keys"),
                Some(json!({"name": "k", "expires_at": "2001-01-01T00:00:00Z"})),
            ),
            INVALID,
        ),
    ]
}
