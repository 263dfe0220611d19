use super::*;
use tenantry_core::Permission;

fn tenant(trial_days: i32) -> Tenant {
    let new = NewTenant {
        project: "default".into(),
        name: "Acme".into(),
        slug: "acme".into(),
        plan: "free".into(),
        parent_id: None,
        external_id: String::new(),
        email: String::new(),
        billing_email: String::new(),
        contact_phone: String::new(),
        timezone: "UTC".into(),
        locale: "en-US".into(),
        region: String::new(),
        trial_days,
        labels: BTreeMap::new(),
        metadata: Value::Object(serde_json::Map::new()),
    };
    new.check().unwrap();
    new.create(TenantId::new(), "acme".into(), Timestamp::UNIX_EPOCH)
}

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn after(outcome: Outcome) -> Tenant {
    outcome.unwrap().unwrap().tenant
}

#[test]
fn a_suspended_and_deleted_trial_comes_back_step_by_step() {
    let suspended = after(tenant(7).suspend("unpaid", now()));
    let deleted = after(suspended.delete(now()));
    assert_eq!(
        deleted.purge_at,
        Some("2026-03-02T12:00:00Z".parse().unwrap())
    );
    let undeleted = after(deleted.undelete(now()));
    assert_eq!(
        (undeleted.status, undeleted.suspend_reason.as_str()),
        (TenantStatus::Suspended, "unpaid")
    );
    let resumed = after(undeleted.resume(now()));
    assert_eq!(
        (resumed.status, resumed.suspend_reason.as_str()),
        (TenantStatus::Trial, "")
    );
    assert_eq!(resumed.version, 5);
}

#[test]
fn asking_for_what_is_changes_nothing() {
    let active = tenant(0);
    assert_eq!(active.resume(now()).unwrap(), None);
    assert_eq!(active.undelete(now()).unwrap(), None);
    let same = Patch {
        name: Some("Acme".into()),
        ..Patch::default()
    };
    assert_eq!(active.update(&same, now()).unwrap(), None);
}

#[test]
fn a_deleted_tenant_is_not_changed() {
    let deleted = after(tenant(0).delete(now()));
    assert!(deleted.suspend("", now()).is_err());
    assert!(deleted.resume(now()).is_err());
    assert!(
        deleted
            .update(
                &Patch {
                    name: Some("B".into()),
                    ..Patch::default()
                },
                now()
            )
            .is_err()
    );
}

#[test]
fn status_admits_as_the_table_says() {
    let own = Permissions::of(&[Permission::TenantsRead]);
    let above = Permissions::of(&[Permission::TenantsManage]);
    let active = tenant(0);
    let suspended = after(active.suspend("", now()));
    let deleted = after(active.delete(now()));
    assert!(active.admit(own).is_ok());
    assert!(matches!(suspended.admit(own), Err(Error::Suspended)));
    assert!(matches!(deleted.admit(own), Err(Error::TenantNotFound)));
    assert!(suspended.admit(above).is_ok() && deleted.admit(above).is_ok());
}

#[test]
fn every_wrong_field_is_told_at_once() {
    let patch = Patch {
        name: Some(" ".into()),
        email: Some("nobody".into()),
        timezone: Some("Mars/Base".into()),
        locale: Some("??".into()),
        contact_phone: Some("0170".into()),
        labels: Some([("k".to_owned(), String::new())].into()),
        ..Patch::default()
    };
    let fields: Vec<_> = patch
        .check()
        .unwrap_err()
        .violations
        .into_iter()
        .map(|v| v.field)
        .collect();
    assert_eq!(
        fields,
        [
            "name",
            "email",
            "contact_phone",
            "timezone",
            "locale",
            "labels"
        ]
    );
}
