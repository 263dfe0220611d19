//! Plans: versions that never change, tenants that stay on theirs, and a catalogue file that undoes no edit.

mod api;
mod catalogue;
mod feed;
mod moves;
mod of_project;

use tenantry_proto::registry::v1::{
    CreatePlanRequest, CreateProjectRequest, GetPlanRequest, ListPlanVersionsRequest,
    ListPlansRequest, Plan, PlanLimit, UpdatePlanRequest,
};

use crate::support::{Replica, World, operator};

/// A plan of this key that nothing is wrong with.
fn new_plan(key: &str) -> CreatePlanRequest {
    CreatePlanRequest {
        key: key.to_owned(),
        limits: vec![PlanLimit {
            resource_type: "users".to_owned(),
            limit: 7,
            reset_period: "never".to_owned(),
            policy: None,
        }],
        default_features: vec!["ai_chat".to_owned()],
        available_features: vec!["ai_chat".to_owned(), "sso".to_owned()],
        retention_days: 90,
        security_level: "standard".to_owned(),
        price_minor: 1_500,
        currency: "EUR".to_owned(),
        ..Default::default()
    }
}

/// An update of a plan's price, decided on this etag.
fn price(plan: &str, price_minor: i64, etag: &str) -> UpdatePlanRequest {
    UpdatePlanRequest {
        plan: plan.to_owned(),
        price_minor: Some(price_minor),
        etag: etag.to_owned(),
        ..Default::default()
    }
}

async fn create(world: &World, request: CreatePlanRequest) -> Plan {
    let created = world.plans(&operator()).create_plan(request).await;
    created.unwrap().into_inner()
}

async fn update(replica: &Replica, request: UpdatePlanRequest) -> Plan {
    let updated = replica.plans(&operator()).update_plan(request).await;
    updated.unwrap().into_inner()
}

async fn get(replica: &Replica, project: &str, plan: &str) -> Plan {
    let request = GetPlanRequest {
        plan: plan.to_owned(),
        project: project.to_owned(),
        version: 0,
    };
    let got = replica.plans(&operator()).get_plan(request).await;
    got.unwrap().into_inner()
}

async fn list(replica: &Replica, project: &str) -> Vec<Plan> {
    let request = ListPlansRequest {
        project: project.to_owned(),
    };
    let listed = replica.plans(&operator()).list_plans(request).await;
    listed.unwrap().into_inner().plans
}

/// All versions of a plan, the newest first, by pages of two.
async fn versions(replica: &Replica, plan: &str) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut request = ListPlanVersionsRequest {
        plan: plan.to_owned(),
        page_size: 2,
        ..Default::default()
    };
    loop {
        let mut plans = replica.plans(&operator());
        let listed = plans.list_plan_versions(request.clone()).await;
        let page = listed.unwrap().into_inner();
        all.extend(page.versions);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

async fn project(world: &World, key: &str) {
    let request = CreateProjectRequest {
        key: key.to_owned(),
        ..Default::default()
    };
    let mut projects = world.projects(&operator());
    projects.create_project(request).await.unwrap();
}
