use super::*;
use tenantry_core::Permission;
use tenantry_core::tenant::Stop;

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
    let id = TenantId::new();
    new.create(id, "acme".into(), version("free", 1), Timestamp::UNIX_EPOCH)
}

fn version(key: &str, version: i32) -> PlanVersion {
    PlanVersion {
        key: key.into(),
        version,
    }
}

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn after(outcome: Outcome) -> Tenant {
    outcome.unwrap().unwrap().tenant
}

fn suspend(reason: &str) -> Step {
    Step::Suspend {
        reason: reason.to_owned(),
        by: None,
    }
}

/// Takes a step with nothing around.
fn step(tenant: &Tenant, step: &Step) -> Outcome {
    tenant.step(step, &Around::default(), now())
}

#[test]
fn a_suspended_and_deleted_trial_comes_back_step_by_step() {
    let suspended = after(step(&tenant(7), &suspend("unpaid")));
    let deleted = after(step(&suspended, &Step::Delete));
    assert_eq!(
        deleted.purge_at,
        Some("2026-03-02T12:00:00Z".parse().unwrap())
    );
    let undeleted = after(step(&deleted, &Step::Undelete));
    assert_eq!(
        (undeleted.status, undeleted.suspend_reason.as_str()),
        (TenantStatus::Suspended, "unpaid")
    );
    let resumed = after(step(&undeleted, &Step::Resume));
    assert_eq!(
        (resumed.status, resumed.suspend_reason.as_str()),
        (TenantStatus::Trial, "")
    );
    assert_eq!(resumed.version, 5);
}

#[test]
fn asking_for_what_is_changes_nothing() {
    let active = tenant(0);
    assert_eq!(step(&active, &Step::Resume).unwrap(), None);
    assert_eq!(step(&active, &Step::Undelete).unwrap(), None);
    let same = Patch {
        name: Some("Acme".into()),
        ..Patch::default()
    };
    assert_eq!(active.update(&same, None, now()).unwrap(), None);
}

#[test]
fn a_deleted_tenant_is_not_changed() {
    let deleted = after(step(&tenant(0), &Step::Delete));
    assert!(step(&deleted, &suspend("")).is_err());
    assert!(step(&deleted, &Step::Resume).is_err());
    assert!(
        deleted
            .update(
                &Patch {
                    name: Some("B".into()),
                    ..Patch::default()
                },
                None,
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
    let suspended = after(step(&active, &suspend("")));
    let deleted = after(step(&active, &Step::Delete));
    assert!(active.admit(own).is_ok());
    assert!(matches!(
        suspended.admit(own),
        Err(Error::Stopped(Stop::Suspended))
    ));
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

#[test]
fn an_archived_tenant_comes_back_as_what_it_was() {
    for was in [
        after(step(&tenant(7), &suspend("unpaid"))),
        tenant(7),
        tenant(0),
    ] {
        let archived = after(step(&was, &Step::Archive));
        assert_eq!(
            (archived.status, archived.archived_at),
            (TenantStatus::Archived, Some(now()))
        );
        assert!(step(&archived, &Step::Archive).unwrap().is_none());
        assert!(step(&archived, &suspend("")).is_err());
        let renamed = Patch {
            name: Some("B".into()),
            ..Patch::default()
        };
        assert!(matches!(
            archived.update(&renamed, None, now()),
            Err(Error::Kept(TenantStatus::Archived))
        ));
        let deleted = after(step(&archived, &Step::Delete));
        assert!(step(&deleted, &Step::Archive).is_err());
        assert_eq!(
            after(step(&deleted, &Step::Undelete)).status,
            TenantStatus::Archived
        );
        let back = after(step(&archived, &Step::Resume));
        assert_eq!(
            (back.status, &back.suspend_reason, back.archived_at),
            (was.status, &was.suspend_reason, None)
        );
    }
}

#[test]
fn what_is_still_being_set_up_is_only_deleted() {
    let provisioning = Tenant {
        status: TenantStatus::Provisioning,
        ..tenant(0)
    };
    for refused in [suspend(""), Step::Resume, Step::Archive] {
        assert!(step(&provisioning, &refused).is_err(), "{refused:?}");
    }
    let deleted = after(step(&provisioning, &Step::Delete));
    assert_eq!(
        after(step(&deleted, &Step::Undelete)).status,
        TenantStatus::Provisioning
    );
}

#[test]
fn what_is_held_is_not_deleted_and_the_holders_are_named() {
    let held = Around {
        holders: vec!["Counsel A, case 12".into(), "Tax office".into()],
        ..Around::default()
    };
    let refused = tenant(0).step(&Step::Delete, &held, now()).unwrap_err();
    let told = Refusal::from(refused).message;
    assert!(told.contains("Counsel A, case 12") && told.contains("Tax office"));
}

#[test]
fn a_tenant_changes_its_version_by_a_move_alone() {
    let free = tenant(0);
    let patch = Patch::default();
    let newer = version("free", 2);
    assert_eq!(free.update(&patch, Some(&newer), now()).unwrap(), None);
    let moved = after(free.move_to(&newer, now()));
    assert_eq!((moved.plan_version, moved.version), (2, 2));
    assert_eq!(moved.move_to(&newer, now()).unwrap(), None);
    let other = after(moved.update(&patch, Some(&version("basic", 7)), now()));
    assert_eq!((other.plan.as_str(), other.plan_version), ("basic", 7));
    let deleted = after(step(&other, &Step::Delete));
    assert!(deleted.move_to(&newer, now()).is_err());
}
