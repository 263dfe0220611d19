//! Bad input: refused with the fields that are wrong and a sentence, whatever it is; never an error of ours.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    CreateProjectRequest, CreateTenantRequest, GetPlanRequest, GetTenantRequest, Label,
    SuspendTenantRequest, UpdateTenantRequest,
};

use crate::support::{World, fields, member, named, operator, why};

type Bad = (&'static str, CreateTenantRequest);

fn label(key: &str, value: &str) -> Label {
    Label {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn object(key: &str, kind: Kind) -> Struct {
    Struct {
        fields: [(key.to_owned(), value(kind))].into(),
    }
}

/// An object that nests this deep.
fn nested(depth: usize) -> Struct {
    (0..depth).fold(Struct::default(), |inner, _| {
        object("a", Kind::StructValue(inner))
    })
}

/// Creates that are wrong in one field each.
fn bad_creates() -> Vec<Bad> {
    let long = |length: usize| "x".repeat(length);
    let mut bad: Vec<Bad> = Vec::new();
    let mut add = |field: &'static str, change: &dyn Fn(&mut CreateTenantRequest)| {
        let mut request = named("Acme");
        change(&mut request);
        bad.push((field, request));
    };
    for name in [
        "",
        "   ",
        "\u{3000}",
        "a\0b",
        "a\nb",
        "a\u{85}b",
        &long(201),
    ] {
        add("name", &|r| r.name = name.to_owned());
    }
    for slug in [
        "a",
        "ab",
        "-abc",
        "abc-",
        "Abc",
        "a_b_c",
        "a.b",
        "a b",
        "äbc",
        "abc\0",
        "abc\n",
        " abc",
        &long(64),
        "01900000-0000-7000-8000-000000000001",
        "01900000000070008000000000000001",
    ] {
        add("slug", &|r| r.slug = slug.to_owned());
    }
    for email in [
        "x",
        "@",
        "x@",
        "@x",
        "a b@x.com",
        "a@b@c",
        "a\0@x.com",
        "a@x.com\0",
        "a@x.com\n",
        "\"\0\"@x.com",
        "\"a\nb\"@x.com",
        "<a@x.com>",
        "A <a@x.com>",
        &format!("{}@x.com", long(300)),
    ] {
        add("email", &|r| r.email = email.to_owned());
        add("billing_email", &|r| r.billing_email = email.to_owned());
    }
    for phone in [
        "0170",
        "+",
        "+0123456789",
        "+49 170 1234567",
        "+1234567890123456",
        "+49170123456a",
        "+491701234\0",
        "+４９１７０１２３４５",
    ] {
        add("contact_phone", &|r| r.contact_phone = phone.to_owned());
    }
    for zone in [
        "Berlin",
        "Europe/Nowhere",
        "UTC+1",
        "../../etc/passwd",
        "Europe/Berlin\0",
        "\0",
        "Europe/",
        &long(500),
    ] {
        add("timezone", &|r| r.timezone = zone.to_owned());
    }
    for locale in [
        "e",
        "en_US",
        "en-",
        "-en",
        "en\0",
        "english language",
        "ä",
        "*",
        &long(500),
        &format!("x{}", "-abcdefgh".repeat(100)),
    ] {
        add("locale", &|r| r.locale = locale.to_owned());
    }
    for text in ["a\0", "a\n", "\u{7f}", &long(129)] {
        add("region", &|r| r.region = text.to_owned());
        add("external_id", &|r| r.external_id = text.to_owned());
    }
    for days in [-1, 366, i32::MAX, i32::MIN] {
        add("trial_days", &|r| r.trial_days = days);
    }
    for bad_label in [
        label("", "v"),
        label("k", ""),
        label("", ""),
        label("K", "v"),
        label("-k", "v"),
        label("k-", "v"),
        label("k k", "v"),
        label("k\0", "v"),
        label("k", "v\0"),
        label("k", "v\n"),
        label("ä", "v"),
        label(&long(64), "v"),
        label("k", &long(64)),
    ] {
        add("labels", &|r| r.labels = vec![bad_label.clone()]);
    }
    add("labels", &|r| {
        r.labels = vec![label("twice", "1"), label("twice", "2")]
    });
    add("labels", &|r| {
        r.labels = (0..65).map(|n| label(&format!("k{n}"), "v")).collect()
    });
    for metadata in [
        object("", Kind::BoolValue(true)),
        object("a", Kind::StructValue(object("", Kind::NullValue(0)))),
        object(
            "a",
            Kind::ListValue(ListValue {
                values: vec![value(Kind::StructValue(object("", Kind::BoolValue(true))))],
            }),
        ),
        object("a\0", Kind::BoolValue(true)),
        object("a", Kind::StringValue("\0".to_owned())),
        object("a", Kind::NumberValue(f64::NAN)),
        object("a", Kind::NumberValue(f64::INFINITY)),
        object("a", Kind::StringValue(long(17_000))),
        nested(17),
        nested(18),
    ] {
        add("metadata", &|r| r.metadata = Some(metadata.clone()));
    }
    bad
}

#[tokio::test]
async fn every_wrong_field_of_a_create_is_refused_by_its_name() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    for (field, request) in bad_creates() {
        let refused = tenants.create_tenant(request.clone()).await;
        assert!(refused.is_err(), "{field}: {request:?}");
        assert_eq!(fields(refused), [field], "{request:?}");
    }
    let left: i64 =
        sqlx::query_scalar("SELECT (SELECT count(*) FROM tenants) + (SELECT count(*) FROM outbox)")
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn every_wrong_field_of_an_update_is_refused_by_its_name() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut tenants = world.tenants(&operator());
    for (field, bad) in bad_creates() {
        let mut request = UpdateTenantRequest {
            tenant: tenant.id.clone(),
            ..Default::default()
        };
        match field {
            "name" => request.name = Some(bad.name),
            "slug" => request.slug = Some(bad.slug),
            "email" => request.email = Some(bad.email),
            "billing_email" => request.billing_email = Some(bad.billing_email),
            "contact_phone" => request.contact_phone = Some(bad.contact_phone),
            "timezone" => request.timezone = Some(bad.timezone),
            "locale" => request.locale = Some(bad.locale),
            "region" => request.region = Some(bad.region),
            "external_id" => request.external_id = Some(bad.external_id),
            "labels" => request.labels = bad.labels,
            "metadata" => request.metadata = bad.metadata,
            _ => continue,
        }
        let refused = tenants.update_tenant(request.clone()).await;
        assert!(refused.is_err(), "{field}: {request:?}");
        assert_eq!(fields(refused), [field], "{request:?}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let world = World::start().await;
    let request = CreateTenantRequest {
        email: "x".to_owned(),
        timezone: "Nowhere".to_owned(),
        trial_days: -1,
        ..named("")
    };
    let refused = world.tenants(&operator()).create_tenant(request).await;
    assert_eq!(fields(refused), ["name", "email", "timezone", "trial_days"]);
}

#[tokio::test]
async fn the_largest_of_everything_is_taken() {
    let world = World::start().await;
    let request = CreateTenantRequest {
        slug: "s".repeat(63),
        region: "ä".repeat(128),
        trial_days: 365,
        labels: (0..64)
            .map(|n| label(&format!("{n:063}"), &"ü".repeat(63)))
            .collect(),
        metadata: Some(nested(16)),
        ..named(&"漢".repeat(200))
    };
    let tenant = world.create(request.clone()).await;
    assert_eq!((tenant.name, tenant.labels), (request.name, request.labels));
    assert_eq!(tenant.metadata, request.metadata);
    // A name without a letter that a slug can have still gets one.
    assert!(world.tenant("漢字").await.slug.starts_with("tenant-"));
}

#[tokio::test]
async fn a_reserved_slug_is_refused_with_its_reason_and_never_made_from_a_name() {
    let world = World::start().await;
    for slug in ["admin", "current", "api", "www"] {
        let request = CreateTenantRequest {
            slug: slug.to_owned(),
            ..named("Acme")
        };
        let refused = world.tenants(&operator()).create_tenant(request).await;
        assert_eq!(why(refused), Reason::SlugReserved, "{slug}");
        assert_ne!(world.tenant(slug).await.slug, slug);
    }
}

#[tokio::test]
async fn a_name_of_nothing_is_not_found() {
    let world = World::start().await;
    let own = world.tenant("Own").await;
    let mut above = world.tenants(&operator());
    let mut member = world.tenants(&member(&own, &[Permission::TenantsRead]));
    for name in [
        "nobody",
        "nul\0",
        "\0",
        "%",
        "a/b",
        "Ä",
        "'",
        "01900000-0000-7000-8000-00000000000",
        "{}",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        &"x".repeat(10_000),
    ] {
        let get = || GetTenantRequest {
            tenant: name.to_owned(),
        };
        assert_eq!(
            why(above.get_tenant(get()).await),
            Reason::TenantNotFound,
            "{name:?}"
        );
        assert_eq!(
            why(member.get_tenant(get()).await),
            Reason::TenantNotFound,
            "{name:?}"
        );
        let below = CreateTenantRequest {
            parent_id: name.to_owned(),
            ..named("Child")
        };
        assert_eq!(
            why(above.create_tenant(below).await),
            Reason::ParentNotFound,
            "{name:?}"
        );
    }
    for project in ["nowhere", "nul\0", "\0"] {
        let request = CreateTenantRequest {
            project: project.to_owned(),
            ..named("Acme")
        };
        assert_eq!(
            why(above.create_tenant(request).await),
            Reason::ProjectNotFound,
            "{project:?}"
        );
    }
    for plan in ["gold", "nul\0", "FREE"] {
        let request = CreateTenantRequest {
            subscription_tier: plan.to_owned(),
            ..named("Acme")
        };
        assert_eq!(
            why(above.create_tenant(request).await),
            Reason::PlanNotFound,
            "{plan:?}"
        );
        let get = GetPlanRequest {
            plan: plan.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            why(world.plans(&operator()).get_plan(get).await),
            Reason::PlanNotFound
        );
    }
}

#[tokio::test]
async fn wrong_etags_reasons_and_project_keys_are_refused() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut above = world.tenants(&operator());
    for etag in ["0", "2", "01", " 1", "1\0", "x", &"1".repeat(100)] {
        let request = SuspendTenantRequest {
            tenant: tenant.id.clone(),
            etag: etag.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            why(above.suspend_tenant(request).await),
            Reason::EtagMismatch,
            "{etag:?}"
        );
    }
    for reason in ["nul\0", "line\nbreak", &"x".repeat(501)] {
        let request = SuspendTenantRequest {
            tenant: tenant.id.clone(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            fields(above.suspend_tenant(request).await),
            ["reason"],
            "{reason:?}"
        );
    }
    let mut projects = world.projects(&operator());
    for key in [
        "",
        "ab",
        "A-b",
        "nul\0",
        "-ab",
        "xn--ab",
        "01900000-0000-7000-8000-000000000001",
    ] {
        let request = CreateProjectRequest {
            key: key.to_owned(),
            name: "Product".to_owned(),
            ..Default::default()
        };
        assert_eq!(
            fields(projects.create_project(request).await),
            ["key"],
            "{key:?}"
        );
    }
    let request = CreateProjectRequest {
        key: "product".to_owned(),
        name: "nul\0".to_owned(),
        ..Default::default()
    };
    assert_eq!(fields(projects.create_project(request).await), ["name"]);
}

#[tokio::test]
async fn what_nests_deeper_than_can_be_read_is_the_caller_s_fault() {
    let world = World::start().await;
    for depth in [40, 200] {
        let request = CreateTenantRequest {
            metadata: Some(nested(depth)),
            ..named("Acme")
        };
        let refused = world.tenants(&operator()).create_tenant(request).await;
        assert_eq!(why(refused), Reason::InvalidArgument);
    }
}

#[tokio::test]
async fn what_is_larger_than_can_be_read_is_the_caller_s_fault() {
    let world = World::start().await;
    let refused = world
        .tenants(&operator())
        .create_tenant(named(&"x".repeat(5_000_000)))
        .await;
    assert_eq!(why(refused), Reason::BodyTooLarge);
}
