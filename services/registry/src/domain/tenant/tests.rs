use super::*;
use tenantry_core::Permission;
use tenantry_core::tenant::Stop;

pub(super) fn tenant(trial_days: i32) -> Tenant {
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
        limits: AskedLimits::default(),
    };
    new.check().unwrap();
    let id = TenantId::new();
    let plan = version("free", 1);
    new.create(id, "acme".into(), plan, false, Timestamp::UNIX_EPOCH)
}

fn version(key: &str, version: i32) -> PlanVersion {
    PlanVersion {
        key: key.into(),
        version,
    }
}

pub(super) fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn after(outcome: Outcome) -> Tenant {
    outcome.unwrap().unwrap().tenant
}

fn suspend(reason: &str) -> Step {
    Step::Suspend {
        reason: reason.to_owned(),
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
        slug: Some("admin".into()),
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
            "labels",
            "slug"
        ]
    );
    let reserved = Patch {
        slug: Some("admin".into()),
        ..Patch::default()
    };
    let reason = reserved.check().unwrap_err().reason;
    assert_eq!(reason, tenantry_core::Reason::SlugReserved);
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

#[test]
fn a_cascade_brings_back_only_what_it_suspended() {
    let (above, other) = (TenantId::new(), TenantId::new());
    let with = |above| Along::Suspend {
        above,
        reason: "unpaid".into(),
    };
    let along = |tenant: &Tenant, along| tenant.go_along(&along, now());
    let by_itself = after(step(&tenant(0), &suspend("abuse")));
    assert!(along(&by_itself, with(above)).unwrap().is_none());
    assert!(
        along(&by_itself, Along::Resume { above })
            .unwrap()
            .is_none()
    );
    let swept = after(along(&tenant(7), with(above)));
    assert_eq!(swept.suspended_by, Some(above));
    assert!(along(&swept, with(other)).unwrap().is_none());
    assert!(
        along(&swept, Along::Resume { above: other })
            .unwrap()
            .is_none()
    );
    let back = after(along(&swept, Along::Resume { above }));
    assert_eq!(
        (back.status, back.suspended_by),
        (TenantStatus::Trial, None)
    );
    // Asked for by itself it stays, whatever becomes of the one above.
    let kept = after(step(&swept, &suspend("abuse")));
    assert!(along(&kept, Along::Resume { above }).unwrap().is_none());
    assert_eq!(
        after(step(&kept, &Step::Resume)).status,
        TenantStatus::Trial
    );
    // What is put away or gone doesn't go along.
    for away in [Step::Archive, Step::Delete] {
        let away = after(step(&tenant(0), &away));
        assert!(along(&away, with(above)).unwrap().is_none());
    }
}

#[test]
fn a_purge_is_for_any_status_without_children_or_holds_and_for_good() {
    let deleted = after(step(&tenant(7), &Step::Delete));
    for before in [tenant(0), deleted] {
        let holders = ["Tax office".to_owned()];
        assert!(matches!(
            before.purge(true, &[], now()),
            Err(Error::HasChildrenToPurge)
        ));
        assert!(matches!(
            before.purge(false, &holders, now()),
            Err(Error::LegalHold(_))
        ));
        let purging = after(before.purge(false, &[], now()));
        assert_eq!(purging.status, TenantStatus::Deleted);
        assert_eq!(purging.purge_at, Some(now()));
        assert_eq!(purging.purge_started_at, Some(now()));
        assert!(matches!(
            step(&purging, &Step::Undelete),
            Err(Error::StatusForbids(_))
        ));
        let again = purging.purge(true, &holders, now()).unwrap();
        assert!(again.is_none(), "it runs already");
    }
}

#[test]
fn a_tombstone_is_newer_and_tells_nothing_that_people_wrote() {
    let mut written = tenant(0);
    written.email = "ops@example.com".into();
    written.external_id = Some("crm-1".into());
    written.metadata = serde_json::json!({"note": "secret"});
    written.domains = vec!["jane-doe.example".into()];
    written.timezone = "Europe/Berlin".into();
    written.locale = "de-DE".into();
    written.region = "eu-home".into();
    let tombstone = written.tombstone();
    assert_eq!((tombstone.id, &tombstone.slug), (written.id, &written.slug));
    assert_eq!(tombstone.version, written.version + 1);
    let told = serde_json::to_string(&tombstone).unwrap();
    for word in [
        "Acme", "ops@", "crm-1", "secret", "jane-doe", "Berlin", "de-DE", "eu-home",
    ] {
        assert!(!told.contains(word), "{told}");
    }
}
