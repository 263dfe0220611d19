//! The log's own RPCs: what the product records, and a stopped stream that goes on.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tenantry_core::RequestContext;
use tenantry_core::event::Event;
use tenantry_rpc::assertion::{Claims, sign};
use tenantry_rpc::keys::KeyRing;
use tenantry_testkit::wait::until;

use super::case::{Case, Changes, Left, changed};
use super::scene::Scene;
use crate::support::dynamic::{channel, native};
use crate::support::unique;

pub(super) const METHODS: &[&str] = &[
    "/tenantry.audit.v1.AuditEventService/RecordEvents",
    "/tenantry.audit.v1.AuditSourceService/ResumeAuditSource",
];

/// Longest time until a new tenant's first event is in the log.
const IN_THE_LOG: Duration = Duration::from_secs(60);

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    Ok(vec![if method == "RecordEvents" {
        record(scene)
    } else {
        resume(scene).await?
    }])
}

/// The events are the product's: what they say of an origin is what it says.
fn record(scene: &Scene<'_>) -> Case {
    let (tenant, invoice) = (scene.tenant.clone(), unique("invoice"));
    let event = |what: &str| {
        json!({"eventType": what, "resourceType": "invoice", "resourceId": invoice,
            "changes": {"amount": {"before": 1, "after": 2}}})
    };
    let events = [event("invoice.sent"), event("invoice.paid")];
    let request = json!({"tenant": tenant, "source": "shop", "events": events});
    let denied = request.clone();
    let case = Case::new(&scene.key, request, move |_| {
        ["invoice.sent", "invoice.paid"]
            .map(|action| Left {
                has_origin: false,
                ..Left::new(
                    &tenant,
                    action,
                    ("invoice", &invoice),
                    Changes::Exactly(json!({"amount": {"before": 1, "after": 2}})),
                )
            })
            .into()
    });
    case.denied_to(&scene.viewer, denied, &scene.tenant)
}

async fn resume(scene: &Scene<'_>) -> Result<Case> {
    let tenant = scene.child().await?;
    stop(scene, &tenant).await?;
    let request = json!({"source": "registry", "tenantId": tenant, "reason": "set back"});
    let (denied, named) = (request.clone(), tenant.clone());
    let case = Case::new(&scene.operator, request, move |_| {
        let fields = changed(&[
            ("epoch", json!(1), json!(2)),
            ("expected_n", json!(2), json!(1)),
            ("stopped_n", json!(1), Value::Null),
            ("source", Value::Null, json!("registry")),
            ("why", Value::Null, json!("set back")),
        ]);
        let kind = ("audit_source", tenant.as_str());
        vec![Left::new(&tenant, "audit_source.resumed", kind, fields)]
    });
    Ok(case.denied_to(&scene.owner, denied, &named))
}

/// Sends, in registry's name, another first event of the tenant than the log has: a database that was set back would.
async fn stop(scene: &Scene<'_>, tenant: &str) -> Result<()> {
    let log =
        format!("/api/v1/tenants/audit-log/search?tenant_id={tenant}&event_type=tenant.created");
    until("first event", IN_THE_LOG, async || {
        let found = scene.rest.get(&log).await?.ok()?;
        let any = found["events"].as_array().is_some_and(|e| !e.is_empty());
        Ok(any.then_some(()))
    })
    .await?;
    let ring = std::fs::read_to_string(scene.fleet.keys().service_ring("registry"))?;
    let ring = KeyRing::parse(&ring).map_err(anyhow::Error::msg)?;
    let assertion = sign(&ring, &Claims::of_service("registry", "audit"))?;
    let id = tenant.parse()?;
    let ctx = RequestContext::of_service("registry", tenantry_core::Permissions::NONE);
    let event = Event::of(
        &ctx,
        "tenant.created",
        "tenant",
        id,
        Value::Null,
        json!({"name": "Other"}),
    );
    let event = BASE64_STANDARD.encode(serde_json::to_vec(&event)?);
    let at = "2026-01-01T00:00:00Z";
    let stream = json!({"tenantId": tenant, "firstN": "1", "events": [{"at": at, "event": event}]});
    let answer = native(
        &channel(scene.fleet.service("audit", 0).address()).await?,
        "/tenantry.internal.audit.v1.AppendService/Append",
        &json!({"streams": [stream]}),
        &[("x-tenantry-assertion", &assertion)],
    )
    .await?;
    let answer = answer.messages.first().context("no answer")?;
    assert_eq!(answer["outcomes"][0]["outcome"], "stopped", "{answer}");
    Ok(())
}
