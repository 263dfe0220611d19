//! Creating, reading and updating plans.

use futures::future::join_all;
use prost_types::FieldMask;
use tenantry_core::{Permission, Permissions, Reason};
use tenantry_proto::registry::v1::{
    AfterTrial, CreatePlanRequest, GetPlanRequest, ListPlanVersionsRequest, ListPlansRequest,
    UpdatePlanRequest,
};
use tenantry_rpc::assertion::Claims;
use tenantry_testkit::cluster::Role;

use super::{create, get, list, new_plan, price, project, update, versions};
use crate::support::{World, all_of_a_tenant, fields, member, operator, reason, why};

#[tokio::test]
async fn a_plan_is_found_by_key_and_alias_and_listed_behind_those_of_the_file() {
    let world = World::start().await;
    let request = CreatePlanRequest {
        aliases: vec!["gold-plus".to_owned()],
        after_trial: Some(AfterTrial {
            status: "suspended".to_owned(),
            plan: "pro".to_owned(),
        }),
        ..new_plan("gold")
    };
    let plan = create(&world, request).await;
    assert_eq!((plan.version, plan.etag.as_str()), (1, "1"));
    assert_eq!(
        (plan.name.as_str(), plan.project.as_str()),
        ("gold", "default")
    );
    assert_eq!(
        plan.after_trial.as_ref().unwrap().plan,
        "professional",
        "an alias becomes the key"
    );
    assert_eq!(get(&world, "", "gold").await, plan);
    assert_eq!(get(&world, "default", "gold-plus").await, plan);
    let keys: Vec<_> = list(&world, "")
        .await
        .into_iter()
        .map(|plan| plan.key)
        .collect();
    let file = [
        "free",
        "basic",
        "professional",
        "education",
        "business",
        "enterprise",
        "msp",
    ];
    assert_eq!(keys, [&file[..], &["gold"]].concat());
}

#[tokio::test]
async fn each_update_makes_a_version_and_the_versions_before_stay_as_they_were() {
    let world = World::start().await;
    let mut made = vec![create(&world, new_plan("gold")).await];
    for n in 1..5 {
        made.push(update(&world, price("gold", 1_500 + n, "")).await);
    }
    let masked = UpdatePlanRequest {
        plan: "gold".to_owned(),
        update_mask: Some(FieldMask {
            paths: vec!["limits".to_owned()],
        }),
        name: Some("Not named by the mask".to_owned()),
        ..Default::default()
    };
    made.push(update(&world, masked).await);
    assert!(made[5].limits.is_empty() && made[5].name == "gold");
    let numbers: Vec<_> = made.iter().map(|plan| plan.version).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    for plan in &made {
        let request = GetPlanRequest {
            plan: "gold".to_owned(),
            version: plan.version,
            ..Default::default()
        };
        let got = world.plans(&operator()).get_plan(request).await.unwrap();
        assert_eq!(got.get_ref(), plan);
    }
    made.reverse();
    assert_eq!(versions(&world, "gold").await, made);
    let none = update(&world, price("gold", 1_504, "6")).await;
    assert_eq!(none.version, 6, "nothing changed, so no version was made");
}

#[tokio::test]
async fn of_concurrent_updates_with_one_etag_one_wins() {
    let world = World::start().await;
    let other = world.replica().await;
    create(&world, new_plan("gold")).await;
    let attempts = (0..8).map(|n| {
        let replica = if n % 2 == 0 { &*world } else { &other };
        let mut plans = replica.plans(&operator());
        async move { plans.update_plan(price("gold", 2_000 + n, "1")).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) = join_all(attempts)
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for lost in lost {
        assert_eq!(reason(&lost.unwrap_err()), Reason::EtagMismatch);
    }
    assert_eq!(versions(&world, "gold").await.len(), 2);
}

#[tokio::test]
async fn concurrent_updates_number_their_versions_without_gaps() {
    let world = World::start().await;
    let other = world.replica().await;
    create(&world, new_plan("gold")).await;
    let attempts = (1..=12).map(|n| {
        let replica = if n % 2 == 0 { &*world } else { &other };
        update(replica, price("gold", 2_000 + n, ""))
    });
    let mut numbers: Vec<_> = join_all(attempts)
        .await
        .iter()
        .map(|plan| plan.version)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=13).collect::<Vec<_>>());
    let listed: Vec<_> = versions(&world, "gold")
        .await
        .iter()
        .map(|plan| plan.version)
        .collect();
    assert_eq!(listed, (1..=13).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn no_role_that_serves_requests_can_change_or_remove_a_version() {
    let world = World::start().await;
    for role in [Role::App, Role::Platform] {
        let mut conn = world.connect(role).await;
        for attempt in [
            "UPDATE plan_versions SET definition = '{}'",
            "DELETE FROM plan_versions",
            "TRUNCATE plan_versions",
            "DELETE FROM plans",
        ] {
            let refused = sqlx::query(attempt).execute(&mut conn).await.unwrap_err();
            let code = refused
                .as_database_error()
                .and_then(|e| e.code())
                .unwrap()
                .into_owned();
            assert_eq!(code, "42501", "{attempt} as {role:?}");
        }
    }
}

#[tokio::test]
async fn a_repeated_request_makes_one_plan_and_one_version() {
    let world = World::start().await;
    let caller = operator();
    let mut plans = world.plans(&caller);
    let request = CreatePlanRequest {
        request_id: "once".to_owned(),
        ..new_plan("gold")
    };
    let first = plans
        .create_plan(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = plans.create_plan(request).await.unwrap().into_inner();
    assert_eq!(first, again);
    let request = UpdatePlanRequest {
        request_id: "once".to_owned(),
        ..price("gold", 9, "1")
    };
    let first = plans
        .update_plan(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = plans
        .update_plan(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((first.version, &first), (2, &again));
    let other_body = UpdatePlanRequest {
        price_minor: Some(10),
        ..request
    };
    assert_eq!(
        why(plans.update_plan(other_body).await),
        Reason::RequestIdReused
    );
    assert_eq!(versions(&world, "gold").await.len(), 2);
}

#[tokio::test]
async fn a_name_is_one_plans_in_its_project() {
    let world = World::start().await;
    project(&world, "second").await;
    create(&world, new_plan("gold")).await;
    let named = |key: &str, alias: &str, project: &str| CreatePlanRequest {
        aliases: vec![alias.to_owned()],
        project: project.to_owned(),
        ..new_plan(key)
    };
    let mut plans = world.plans(&operator());
    for (key, alias) in [
        ("gold", "other"),
        ("pro", "other"),
        ("silver", "gold"),
        ("silver", "pro"),
    ] {
        let refused = plans.create_plan(named(key, alias, "")).await;
        assert_eq!(why(refused), Reason::PlanExists, "{key} {alias}");
    }
    let elsewhere = create(&world, named("gold", "other", "second")).await;
    assert_eq!(elsewhere.project, "second");
    let rename = UpdatePlanRequest {
        plan: "basic".to_owned(),
        aliases: vec!["gold".to_owned()],
        ..Default::default()
    };
    assert_eq!(why(plans.update_plan(rename).await), Reason::PlanExists);
    // An alias that is given up is free again.
    let give_up = UpdatePlanRequest {
        plan: "pro".to_owned(),
        aliases: vec!["prof".to_owned()],
        ..Default::default()
    };
    update(&world, give_up).await;
    assert_eq!(create(&world, new_plan("pro")).await.version, 1);
    assert_eq!(get(&world, "", "prof").await.key, "professional");
}

#[tokio::test]
async fn a_project_has_a_hundred_plans_at_most() {
    let world = World::start().await;
    for n in 0..93 {
        create(&world, new_plan(&format!("plan-{n}"))).await;
    }
    let surplus = world
        .plans(&operator())
        .create_plan(new_plan("surplus"))
        .await;
    assert_eq!(why(surplus), Reason::LimitReached);
    assert_eq!(list(&world, "").await.len(), 100);
}

#[tokio::test]
async fn all_that_is_wrong_with_a_plan_is_told_at_once() {
    let world = World::start().await;
    let mut plans = world.plans(&operator());
    let mut bad = new_plan("G");
    bad.limits.push(bad.limits[0].clone());
    bad.limits[1].limit = -1;
    bad.default_features.push("webhooks".to_owned());
    bad.available_features.push("time_travel".to_owned());
    bad.retention_days = 31;
    bad.security_level = "high".to_owned();
    bad.currency = "EURO".to_owned();
    bad.price_minor = -5;
    bad.after_trial = Some(AfterTrial {
        status: "deleted".to_owned(),
        plan: "nothing".to_owned(),
    });
    let expected = [
        "key",
        "limits[1].resource_type",
        "limits[1].limit",
        "available_features",
        "default_features",
        "retention_days",
        "security_level",
        "price_minor",
        "currency",
        "after_trial.status",
        "after_trial.plan",
    ];
    assert_eq!(fields(plans.create_plan(bad).await), expected);
    let mut word = new_plan("gold");
    word.after_trial = Some(AfterTrial {
        status: "happy".to_owned(),
        plan: String::new(),
    });
    assert_eq!(
        fields(plans.create_plan(word).await),
        ["after_trial.status"]
    );
    assert_eq!(
        fields(plans.create_plan(CreatePlanRequest::default()).await).len(),
        5
    );
    let nothing = UpdatePlanRequest {
        plan: "free".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        why(plans.update_plan(nothing.clone()).await),
        Reason::NothingToUpdate
    );
    let unknown = UpdatePlanRequest {
        update_mask: Some(FieldMask {
            paths: vec!["key".to_owned()],
        }),
        ..nothing
    };
    assert_eq!(fields(plans.update_plan(unknown).await), ["update_mask"]);
}

#[tokio::test]
async fn an_absent_plan_version_or_project_is_told_by_its_reason() {
    let world = World::start().await;
    let mut plans = world.plans(&operator());
    let named = |plan: &str, version: i32, project: &str| GetPlanRequest {
        plan: plan.to_owned(),
        version,
        project: project.to_owned(),
    };
    for (request, expected) in [
        (named("", 0, ""), Reason::PlanNotFound),
        (named("free", 2, ""), Reason::PlanNotFound),
        (named("free", -1, ""), Reason::PlanNotFound),
        (named("free\0", 0, ""), Reason::PlanNotFound),
        (named("free", 0, "nowhere"), Reason::ProjectNotFound),
        (named("free", 0, "nul\0"), Reason::ProjectNotFound),
    ] {
        assert_eq!(
            why(plans.get_plan(request.clone()).await),
            expected,
            "{request:?}"
        );
    }
    let elsewhere = CreatePlanRequest {
        project: "nowhere".to_owned(),
        ..new_plan("gold")
    };
    assert_eq!(
        why(plans.create_plan(elsewhere).await),
        Reason::ProjectNotFound
    );
    assert_eq!(
        why(plans.update_plan(price("gold", 1, "")).await),
        Reason::PlanNotFound
    );
    let versions = ListPlanVersionsRequest {
        plan: "gold".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        why(plans.list_plan_versions(versions.clone()).await),
        Reason::PlanNotFound
    );
    let token = ListPlanVersionsRequest {
        plan: "free".to_owned(),
        page_token: "nonsense".to_owned(),
        ..versions
    };
    assert_eq!(
        why(plans.list_plan_versions(token).await),
        Reason::InvalidPageToken
    );
}

#[tokio::test]
async fn anyone_reads_plans_and_only_those_with_the_right_change_them() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let manager = Claims {
        perms: Permissions::of(&[Permission::PlatformPlansManage]),
        ..operator()
    };
    let without = Claims {
        perms: Permissions::PLATFORM.without(manager.perms),
        ..operator()
    };
    let own = member(&tenant, &all_of_a_tenant());
    for caller in [&without, &own] {
        let mut plans = world.plans(caller);
        plans.list_plans(ListPlansRequest::default()).await.unwrap();
        let refused = plans.create_plan(new_plan("gold")).await;
        assert_eq!(why(refused), Reason::PermissionDenied);
        let refused = plans.update_plan(price("free", 1, "")).await;
        assert_eq!(why(refused), Reason::PermissionDenied);
    }
    let created = world.plans(&manager).create_plan(new_plan("gold")).await;
    assert_eq!(created.unwrap().into_inner().version, 1);
}
