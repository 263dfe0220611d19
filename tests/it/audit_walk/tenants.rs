//! TenantService, and the plan of a tenant.

use anyhow::Result;
use serde_json::{Value, json};

use super::case::{ANY, Case, Changes, Left, changed, gone, made};
use super::scene::Scene;
use crate::support::unique;
use crate::support::world::text;

pub(super) const METHODS: &[&str] = &[
    "/tenantry.registry.v1.SubscriptionService/ChangePlan",
    "/tenantry.registry.v1.TenantService/ArchiveTenant",
    "/tenantry.registry.v1.TenantService/CreateTenant",
    "/tenantry.registry.v1.TenantService/DeleteTenant",
    "/tenantry.registry.v1.TenantService/MoveTenant",
    "/tenantry.registry.v1.TenantService/PurgeTenant",
    "/tenantry.registry.v1.TenantService/ResumeTenant",
    "/tenantry.registry.v1.TenantService/SuspendTenant",
    "/tenantry.registry.v1.TenantService/UndeleteTenant",
    "/tenantry.registry.v1.TenantService/UpdateTenant",
];

/// An event of a tenant, in its own log.
fn left(tenant: &str, action: &'static str, changes: Changes) -> Left {
    Left::new(tenant, action, ("tenant", tenant), changes)
}

/// A step of the owner's with a tenant below; the viewer is denied the same with the tenant itself.
fn step(
    scene: &Scene<'_>,
    child: &str,
    further: Value,
    leaves: impl Fn(&Value) -> Vec<Left> + Send + 'static,
) -> Case {
    let mut request = further;
    request["tenant"] = json!(child);
    let own = json!({"tenant": scene.tenant});
    Case::new(&scene.owner, request, leaves)
        .at(child)
        .denied_to(&scene.viewer, own, &scene.tenant)
}

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    let child = scene.child().await?;
    let id = child.clone();
    let null = Value::Null;
    Ok(match method {
        "CreateTenant" => create(scene),
        "UpdateTenant" => update(scene, &child).await?,
        "ChangePlan" => vec![step(scene, &child, json!({"plan": "basic"}), move |_| {
            let plan = changed(&[("plan", json!("free"), json!("basic"))]);
            vec![left(&id, "tenant.plan_changed", plan)]
        })],
        "SuspendTenant" => vec![suspend(scene, &child).await?],
        "ResumeTenant" => {
            scene.step(&child, "/status/suspended").await?;
            vec![step(scene, &child, json!({}), move |_| {
                let fields = changed(&[
                    ("status", json!("suspended"), json!("active")),
                    ("suspended_from", json!("active"), Value::Null),
                ]);
                vec![left(&id, "tenant.resumed", fields)]
            })]
        }
        "ArchiveTenant" => vec![step(scene, &child, json!({}), move |_| {
            let fields = changed(&[
                ("status", json!("active"), json!("archived")),
                ("archived_from", null.clone(), json!("active")),
                ("archived_at", null.clone(), json!(ANY)),
            ]);
            vec![left(&id, "tenant.archived", fields)]
        })],
        "DeleteTenant" => vec![step(scene, &child, json!({}), move |_| {
            let fields = changed(&[
                ("status", json!("active"), json!("deleted")),
                ("deleted_from", null.clone(), json!("active")),
                ("deleted_at", null.clone(), json!(ANY)),
                ("purge_at", null.clone(), json!(ANY)),
            ]);
            vec![left(&id, "tenant.deleted", fields)]
        })],
        "UndeleteTenant" => {
            let path = format!("/api/v1/tenants/{child}");
            scene.rest.delete(&path).await?.ok()?;
            // To its own people it is gone, so an operator brings it back.
            let request = json!({"tenant": child});
            let own = json!({"tenant": scene.tenant});
            let leaves = move |_: &Value| {
                let fields = changed(&[
                    ("status", json!("deleted"), json!("active")),
                    ("deleted_from", json!("active"), Value::Null),
                    ("deleted_at", json!(ANY), Value::Null),
                    ("purge_at", json!(ANY), Value::Null),
                ]);
                vec![left(&id, "tenant.undeleted", fields)]
            };
            let case = Case::new(&scene.operator, request, leaves);
            vec![case.denied_to(&scene.viewer, own, &scene.tenant)]
        }
        "MoveTenant" => {
            let (above, to) = (scene.tenant.clone(), scene.child().await?);
            vec![step(scene, &child, json!({"newParent": to}), move |_| {
                let moved = changed(&[("parent_id", json!(above), json!(to))]);
                vec![left(&id, "tenant.moved", moved)]
            })]
        }
        _ => vec![purge(scene, child)],
    })
}

/// In the log of a tenant that is gone nothing tells of the person who did it, but for the id.
fn purge(scene: &Scene<'_>, child: String) -> Case {
    let mut nameless = scene.owner.actor.clone();
    nameless["email"] = json!("");
    step(scene, &child.clone(), json!({"force": true}), move |_| {
        let started = changed(&[
            ("status", json!("active"), json!("deleted")),
            ("deleted_from", Value::Null, json!("active")),
            ("deleted_at", Value::Null, json!(ANY)),
            ("purge_at", Value::Null, json!(ANY)),
            ("purge_started_at", Value::Null, json!(ANY)),
        ]);
        let purged = gone(json!({"slug": ANY, "status": "deleted"}));
        // What the other services remove is told by them, of no one's request.
        [("tenant.purge_started", started), ("tenant.purged", purged)]
            .map(|(action, changes)| Left {
                has_origin: false,
                ..left(&child, action, changes).by(nameless.clone())
            })
            .into()
    })
}

fn create(scene: &Scene<'_>) -> Vec<Case> {
    let name = unique("Made");
    let fields = json!({"name": name, "email": "desk@example.com", "labels": [{"key": "a", "value": "b"}],
        "metadata": {"floor": 3}});
    let leaves = move |parent: Value| {
        let name = name.clone();
        move |answer: &Value| {
            let id = text(answer, "id");
            let fields = made(
                json!({"id": id, "name": name, "slug": answer["slug"], "status": "active",
                "plan": "free", "email": "desk@example.com", "labels": {"a": "b"}, "metadata": {"floor": 3},
                "parent_id": parent, "project": "default"}),
            );
            vec![left(&id, "tenant.created", fields)]
        }
    };
    let mut below = fields.clone();
    below["parentId"] = json!(scene.tenant);
    let denied = below.clone();
    vec![
        Case::new(&scene.operator, fields, leaves(Value::Null)),
        Case::new(&scene.owner, below, leaves(json!(scene.tenant))).denied_to(
            &scene.viewer,
            denied,
            "",
        ),
    ]
}

/// By the people of the tenant above, by a key, and by a program with a name. Each sees what the one before made of it.
async fn update(scene: &Scene<'_>, child: &str) -> Result<Vec<Case>> {
    let case = |by, tenant: &str| {
        let (name, id) = (unique("Named"), tenant.to_owned());
        let request = json!({"tenant": tenant, "name": name, "billingEmail": "bills@example.com",
            "metadata": {"floor": 4}});
        Case::new(by, request, move |_| {
            let fields = changed(&[
                ("name", json!(ANY), json!(name)),
                ("billing_email", json!(""), json!("bills@example.com")),
                ("metadata", json!({}), json!({"floor": 4})),
            ]);
            vec![left(&id, "tenant.updated", fields)]
        })
        .at(tenant)
    };
    let own = json!({"tenant": scene.tenant, "name": "Taken"});
    let denied = own.clone();
    let (account, tenant) = (
        scene.account(&["tenants.update"]).await?,
        scene.tenant.clone(),
    );
    let by_account = Case::new(&account, own, move |_| {
        let fields = changed(&[("name", json!(ANY), json!("Taken"))]);
        vec![left(&tenant, "tenant.updated", fields)]
    });
    Ok(vec![
        case(&scene.owner, child),
        case(&scene.key, &scene.tenant).denied_to(&scene.viewer, denied, &scene.tenant),
        by_account,
    ])
}

/// With what lies below, which leaves an event in each log.
async fn suspend(scene: &Scene<'_>, child: &str) -> Result<Case> {
    let body = json!({"name": unique("Grandchild"), "parent_id": child});
    let (child, below) = (child.to_owned(), scene.tenant(body).await?);
    let further = json!({"cascade": true, "reason": "unpaid"});
    Ok(step(scene, &child.clone(), further, move |_| {
        let fields = |above: Value| {
            let mut fields = vec![
                ("status", json!("active"), json!("suspended")),
                ("suspended_from", Value::Null, json!("active")),
                ("suspend_reason", json!(""), json!("unpaid")),
            ];
            if !above.is_null() {
                fields.push(("suspended_by", Value::Null, above));
            }
            changed(&fields)
        };
        vec![
            left(&child, "tenant.suspended", fields(Value::Null)),
            left(&below, "tenant.suspended", fields(json!(child))),
        ]
    }))
}
