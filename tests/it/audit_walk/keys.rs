//! API keys of a tenant and of the platform, service accounts, and operators.

use anyhow::Result;
use serde_json::{Value, json};

use super::case::{ANY, Case, Changes, Left, PLATFORM, changed, gone, made};
use super::scene::{Scene, address};
use crate::support::unique;
use crate::support::world::{PASSWORD, text};

pub(super) const METHODS: &[&str] = &[
    "/tenantry.identity.v1.ApiKeyService/CreateApiKey",
    "/tenantry.identity.v1.ApiKeyService/RevokeApiKey",
    "/tenantry.identity.v1.ApiKeyService/RotateApiKey",
    "/tenantry.identity.v1.OperatorService/CreateOperator",
    "/tenantry.identity.v1.OperatorService/CreatePlatformApiKey",
    "/tenantry.identity.v1.OperatorService/RemoveOperator",
    "/tenantry.identity.v1.OperatorService/RevokePlatformApiKey",
    "/tenantry.identity.v1.OperatorService/RotatePlatformApiKey",
    "/tenantry.identity.v1.OperatorService/UpdateOperator",
    "/tenantry.identity.v1.ServiceAccountService/CreateServiceAccount",
    "/tenantry.identity.v1.ServiceAccountService/DeleteServiceAccount",
    "/tenantry.identity.v1.ServiceAccountService/UpdateServiceAccount",
];

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    Ok(vec![if method.ends_with("ApiKey") {
        of_key(scene, method).await?
    } else if method.ends_with("Operator") {
        of_operator(scene, method).await?
    } else {
        of_account(scene, method).await?
    }])
}

/// The tenant's, by its owner and denied to its viewer; the platform's, by an operator and denied to the owner.
async fn of_key(scene: &Scene<'_>, method: &str) -> Result<Case> {
    let of_platform = method.contains("Platform");
    let (log, by, other, permission, path) = if of_platform {
        let path = "/api/v1/operators/api-keys".to_owned();
        let permission = "platform.tenants.manage";
        (PLATFORM, &scene.operator, &scene.owner, permission, path)
    } else {
        let path = format!("/api/v1/tenants/{}/api-keys", scene.tenant);
        let tenant = scene.tenant.as_str();
        (tenant, &scene.owner, &scene.viewer, "tenants.read", path)
    };
    let body = json!({"name": "ci", "permissions": [permission]});
    let mut request = if method.starts_with("Create") {
        body.clone()
    } else {
        let made = scene.rest.post(&path, body).await?.ok()?;
        json!({"apiKey": made["api_key"]["id"]})
    };
    if !of_platform {
        request["tenant"] = json!(scene.tenant);
    }
    let id = text(&request, "apiKey");
    let (log, denied, named) = (log.to_owned(), request.clone(), id.clone());
    let created = json!({"name": "ci", "permissions": [permission], "prefix": ANY});
    let (action, changes): (_, Changes) = match &method[..2] {
        "Cr" => ("api_key.created", made(created)),
        "Ro" => {
            let fields = [
                ("rotated_at", Value::Null, json!(ANY)),
                ("previous_secret_expires_at", Value::Null, json!(ANY)),
            ];
            ("api_key.rotated", changed(&fields))
        }
        _ => {
            let fields = [("revoked_at", Value::Null, json!(ANY))];
            ("api_key.revoked", changed(&fields))
        }
    };
    let case = Case::new(by, request, move |answer| {
        let key = if id.is_empty() {
            text(&answer["apiKey"], "id")
        } else {
            id.clone()
        };
        let kind = ("api_key", key.as_str());
        vec![Left::new(&log, action, kind, changes.clone())]
    });
    Ok(case.denied_to(other, denied, &named))
}

async fn of_operator(scene: &Scene<'_>, method: &str) -> Result<Case> {
    let email = address("root");
    let permissions = json!(["platform.tenants.manage"]);
    let body =
        json!({"email": email, "name": "Root", "password": PASSWORD, "permissions": permissions});
    let facts = json!({"email": email, "permissions": permissions});
    if method == "CreateOperator" {
        let denied = body.clone();
        let case = Case::new(&scene.operator, body, move |answer| {
            let id = text(answer, "id");
            let user = made(json!({"email": email, "name": "Root"}));
            let kind = ("operator", id.as_str());
            vec![
                Left::new(PLATFORM, "user.created", ("user", &id), user),
                Left::new(PLATFORM, "operator.created", kind, made(facts.clone())),
            ]
        });
        return Ok(case.denied_to(&scene.owner, denied, ""));
    }
    let made = scene.rest.post("/api/v1/operators", body).await?.ok()?;
    let id = text(&made, "id");
    let (request, action, changes) = if method == "UpdateOperator" {
        let more = json!(["platform.tenants.manage", "platform.content.access"]);
        let fields = changed(&[("permissions", permissions, json!(more))]);
        let request = json!({"operator": id, "permissions": more});
        (request, "operator.updated", fields)
    } else {
        (json!({"operator": id}), "operator.removed", gone(facts))
    };
    let (denied, named) = (request.clone(), id.clone());
    let case = Case::new(&scene.operator, request, move |_| {
        let kind = ("operator", id.as_str());
        vec![Left::new(PLATFORM, action, kind, changes.clone())]
    });
    Ok(case.denied_to(&scene.owner, denied, &named))
}

async fn of_account(scene: &Scene<'_>, method: &str) -> Result<Case> {
    let (tenant, name) = (scene.tenant.clone(), unique("bot"));
    let body = json!({"name": name, "permissions": ["tenants.read"]});
    let mut request = if method.starts_with("Create") {
        body.clone()
    } else {
        let path = format!("/api/v1/tenants/{tenant}/service-accounts");
        let made = scene.rest.post(&path, body.clone()).await?.ok()?;
        json!({"serviceAccount": made["id"]})
    };
    request["tenant"] = json!(tenant);
    let (action, changes) = match &method[..2] {
        "Cr" => ("service_account.created", made(body)),
        "De" => ("service_account.deleted", gone(body)),
        _ => {
            request["disabled"] = json!(true);
            let fields = changed(&[("disabled", json!(false), json!(true))]);
            ("service_account.updated", fields)
        }
    };
    let (id, denied) = (text(&request, "serviceAccount"), request.clone());
    let named = id.clone();
    let case = Case::new(&scene.owner, request, move |answer| {
        let account = if id.is_empty() {
            text(answer, "id")
        } else {
            id.clone()
        };
        let kind = ("service_account", account.as_str());
        vec![Left::new(&tenant, action, kind, changes.clone())]
    });
    Ok(case.denied_to(&scene.viewer, denied, &named))
}
