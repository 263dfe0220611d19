//! Whose plans are read: those of the caller's project, and to operators those of each.

use tenantry_core::{Permissions, Reason};
use tenantry_proto::registry::v1::{
    CreatePlanRequest, CreateTenantRequest, GetPlanRequest, ListPlanVersionsRequest,
    ListPlansRequest,
};
use tenantry_rpc::assertion::Claims;

use super::{create, list, new_plan, project};
use crate::support::{World, all_of_a_tenant, member, named, operator, reason, why};

#[tokio::test]
async fn the_plans_of_a_tenants_people_are_those_of_its_project() {
    let world = World::start().await;
    project(&world, "second").await;
    let request = CreatePlanRequest {
        project: "second".to_owned(),
        ..new_plan("gold")
    };
    create(&world, request).await;
    let there = CreateTenantRequest {
        project: "second".to_owned(),
        subscription_tier: "gold".to_owned(),
        ..named("There")
    };
    let there = world.create(there).await;
    assert_eq!(
        (there.subscription_tier.as_str(), there.plan_version),
        ("gold", 1)
    );
    let mut plans = world.plans(&member(&there, &[]));
    let get = GetPlanRequest {
        plan: "gold".to_owned(),
        ..Default::default()
    };
    let got = plans.get_plan(get.clone()).await.unwrap().into_inner();
    assert_eq!(got.project, "second");
    let here = world.tenant("Here").await;
    let refused = world.plans(&member(&here, &[])).get_plan(get).await;
    assert_eq!(why(refused), Reason::PlanNotFound);
}

#[tokio::test]
async fn other_projects_are_absent_to_all_but_operators_byte_by_byte() {
    let world = World::start().await;
    project(&world, "second").await;
    let there = CreateTenantRequest {
        project: "second".to_owned(),
        ..named("There")
    };
    let (here, there) = (world.tenant("Here").await, world.create(there).await);
    let nobodys = Claims {
        perms: Permissions::NONE,
        below: Permissions::NONE,
        ..operator()
    };
    let all = all_of_a_tenant();
    for (caller, foreign, own) in [
        (member(&here, &all), "second", "default"),
        (member(&there, &all), "default", "second"),
        (nobodys.clone(), "second", "default"),
    ] {
        let asked = async |project: &str| {
            let mut plans = world.plans(&caller);
            let project = project.to_owned();
            let get = GetPlanRequest {
                plan: "free".to_owned(),
                project: project.clone(),
                version: 0,
            };
            let versions = ListPlanVersionsRequest {
                plan: "free".to_owned(),
                project: project.clone(),
                ..Default::default()
            };
            [
                plans.get_plan(get).await.map(drop),
                plans.list_plan_versions(versions).await.map(drop),
                plans
                    .list_plans(ListPlansRequest { project })
                    .await
                    .map(drop),
            ]
        };
        assert!(asked(own).await.iter().all(Result::is_ok), "{own}");
        let [foreign, absent] = [asked(foreign).await, asked("nowhere").await];
        for (foreign, absent) in foreign.into_iter().zip(absent) {
            let (foreign, absent) = (foreign.unwrap_err(), absent.unwrap_err());
            assert_eq!(reason(&foreign), Reason::ProjectNotFound);
            assert_eq!(foreign.message(), absent.message());
            assert_eq!(foreign.details(), absent.details());
        }
    }
    // Neither does a header tell which projects there are.
    for asked in ["second", "nowhere"] {
        let claims = Claims {
            project: asked.to_owned(),
            ..nobodys.clone()
        };
        let mut plans = world.plans(&claims);
        let listed = plans.list_plans(ListPlansRequest::default()).await;
        assert_eq!(why(listed), Reason::ProjectNotFound, "{asked}");
    }
    let listed = list(&world, "second").await;
    assert_eq!(listed[0].project, "second");
}
