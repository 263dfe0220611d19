//! What registry's events say of persons stands in fields that the contracts call personal, so that it can be erased.

use std::collections::BTreeSet;

use serde_json::Value;
use tenantry_proto::personal::is_personal;
use tenantry_proto::registry::v1::{
    CreateTenantRequest, ImportTenantsRequest, PlaceLegalHoldRequest,
};

use crate::support::{World, named, operator};

#[tokio::test]
async fn no_event_names_a_person_where_it_could_not_be_erased() {
    let world = World::start().await;
    let claims = tenantry_rpc::assertion::Claims {
        name: "quintessa@example.com".to_owned(),
        ..operator()
    };
    let new = CreateTenantRequest {
        email: "quintessa@example.com".to_owned(),
        billing_email: "bills.quintessa@example.com".to_owned(),
        contact_phone: "+491701234567".to_owned(),
        ..named("Acme")
    };
    let tenant = world.create(new).await;
    let hold = PlaceLegalHoldRequest {
        tenant: tenant.id,
        holder: "Counsel Quintessa, case 12".to_owned(),
        reason: "a case".to_owned(),
        ..Default::default()
    };
    let mut holds = world.legal_holds(&claims);
    holds.place_legal_hold(hold).await.unwrap();
    let import = ImportTenantsRequest {
        format: "csv".to_owned(),
        content: "name,email\nBeta,quintessa@example.com\n".to_owned(),
        dry_run: true,
        ..Default::default()
    };
    world.imports(&claims).import_tenants(import).await.unwrap();

    let events: Vec<Value> = sqlx::query_scalar("SELECT event FROM outbox")
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    let mut found = BTreeSet::new();
    for event in &events {
        let kind = event["resource"]["kind"].as_str().unwrap();
        let states = [&event["before"], &event["after"]].into_iter();
        for (field, value) in states.filter_map(Value::as_object).flatten() {
            let text = value.to_string().to_lowercase();
            if text.contains("quintessa") || text.contains("+4917") {
                assert!(is_personal(kind, field), "{kind}.{field} of {event}");
                found.insert(format!("{kind}.{field}"));
            }
        }
    }
    let expected = [
        "legal_hold.holder",
        "legal_hold.placed_by",
        "tenant.billing_email",
        "tenant.contact_phone",
        "tenant.email",
        "tenant_import.started_by",
    ];
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}
