//! Streams that an alarm has stopped: seen, and gone on with by operators alone.

use tenantry_core::{Reason, TenantId};
use tenantry_proto::audit::v1::audit_source_service_client::AuditSourceServiceClient;
use tenantry_proto::audit::v1::{ListAuditSourcesRequest, ResumeAuditSourceRequest};

use crate::support::{World, event, member, operator, reason, stream};

fn resume(tenant: TenantId) -> ResumeAuditSourceRequest {
    ResumeAuditSourceRequest {
        source: "registry".to_owned(),
        tenant_id: tenant.to_string(),
        reason: "the database was set back to yesterday".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_stopped_stream_goes_on_in_a_new_epoch_and_that_is_an_event() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 3).await;
    let set_back = stream(tenant, 2, &[event("another.second")]);
    world.appended("registry", set_back.clone()).await;
    let mut sources = AuditSourceServiceClient::new(world.as_caller(&operator()));
    let stopped = sources.list_audit_sources(ListAuditSourcesRequest::default());
    let stopped = stopped.await.unwrap().into_inner().sources;
    assert_eq!(stopped.len(), 1);
    assert_eq!((stopped[0].epoch, stopped[0].expected_n), (1, 4));
    assert!(stopped[0].stopped_at.is_some());
    let from_second = ResumeAuditSourceRequest {
        first_n: 2,
        ..resume(tenant)
    };
    let resumed = sources
        .resume_audit_source(from_second)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((resumed.epoch, resumed.expected_n), (2, 2));
    let answer = world.appended("registry", set_back).await;
    assert_eq!(answer.outcomes[0].outcome, "taken");
    let mut owner = world.owner().await;
    let kept: Vec<(i32, i64)> =
        sqlx::query_as("SELECT epoch, n FROM events WHERE tenant_id = $1 ORDER BY index")
            .bind(tenant.uuid())
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert_eq!(
        kept,
        [(1, 1), (1, 2), (1, 3), (2, 2)],
        "what was there stays"
    );
    let told: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND action = 'audit_source.resumed'",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(told, 1);
    let again = sources
        .resume_audit_source(resume(tenant))
        .await
        .unwrap_err();
    assert_eq!(reason(&again), Reason::SourceNotStopped);
}

#[tokio::test]
async fn a_resume_leaves_nothing_out_by_default_and_one_event_at_most() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 5).await;
    let others: Vec<_> = (0..4).map(|_| event("another")).collect();
    let set_back = stream(tenant, 3, &others);
    let answer = world.appended("registry", set_back.clone()).await;
    assert_eq!(answer.outcomes[0].outcome, "stopped");
    let mut sources = AuditSourceServiceClient::new(world.as_caller(&operator()));
    for too_far in [8, 1_000_000] {
        let resumed = ResumeAuditSourceRequest {
            first_n: too_far,
            ..resume(tenant)
        };
        let refused = sources.resume_audit_source(resumed).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
    let resumed = sources
        .resume_audit_source(resume(tenant))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((resumed.epoch, resumed.expected_n), (2, 3));
    let answer = world.appended("registry", set_back.clone()).await;
    assert_eq!(
        (
            answer.outcomes[0].outcome.as_str(),
            answer.outcomes[0].expected_n
        ),
        ("taken", 7)
    );
    let again = world.appended("registry", set_back).await;
    assert_eq!(
        (
            again.outcomes[0].outcome.as_str(),
            again.outcomes[0].expected_n
        ),
        ("taken", 7)
    );
    let mut owner = world.owner().await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM events WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(count, 9);
}

#[tokio::test]
async fn behind_events_that_cannot_be_read_the_same_batch_is_taken_once() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 4).await;
    let events: Vec<_> = (5..10).map(|_| event("later")).collect();
    let mut batch = stream(tenant, 5, &events);
    for bad in [6, 8] {
        batch.events[bad - 5].event = b"no event".to_vec();
    }
    let mut sources = AuditSourceServiceClient::new(world.as_caller(&operator()));
    // The relay sends the whole of it each time, from before the first one that can't be read.
    for (bad, epoch) in [(6, 2), (8, 3)] {
        let answer = world.appended("registry", batch.clone()).await;
        let outcome = &answer.outcomes[0];
        assert_eq!((&*outcome.outcome, outcome.expected_n), ("stopped", bad));
        let behind = ResumeAuditSourceRequest {
            first_n: bad + 1,
            ..resume(tenant)
        };
        let resumed = sources.resume_audit_source(behind).await.unwrap();
        let resumed = resumed.into_inner();
        assert_eq!((resumed.epoch, resumed.expected_n), (epoch, bad + 1));
    }
    for _ in 0..2 {
        let answer = world.appended("registry", batch.clone()).await;
        let outcome = &answer.outcomes[0];
        assert_eq!((&*outcome.outcome, outcome.expected_n), ("taken", 10));
    }
    let kept: Vec<(i32, i64)> =
        sqlx::query_as("SELECT epoch, n FROM events WHERE tenant_id = $1 ORDER BY index")
            .bind(tenant.uuid())
            .fetch_all(&mut world.owner().await)
            .await
            .unwrap();
    assert_eq!(
        kept,
        [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 7), (3, 9)]
    );
}

#[tokio::test]
async fn a_tenants_people_see_and_resume_no_source() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let claims = member(tenant, tenantry_core::Permission::ALL);
    let people = tenantry_rpc::assertion::Claims {
        perms: claims.perms.without(tenantry_core::Permissions::PLATFORM),
        ..claims
    };
    let mut sources = AuditSourceServiceClient::new(world.as_caller(&people));
    let listed = sources.list_audit_sources(ListAuditSourcesRequest::default());
    assert_eq!(reason(&listed.await.unwrap_err()), Reason::PermissionDenied);
    let resumed = sources
        .resume_audit_source(resume(tenant))
        .await
        .unwrap_err();
    assert_eq!(reason(&resumed), Reason::PermissionDenied);
}

#[tokio::test]
async fn a_resume_that_makes_no_sense_says_every_field() {
    let world = World::start().await;
    let mut sources = AuditSourceServiceClient::new(world.as_caller(&operator()));
    let wrong = ResumeAuditSourceRequest {
        source: "registry".to_owned(),
        tenant_id: "acme".to_owned(),
        first_n: -1,
        ..Default::default()
    };
    let refused = sources.resume_audit_source(wrong).await.unwrap_err();
    let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
    let fields: Vec<_> = refusal
        .violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(fields, ["first_n", "reason", "tenant_id"]);
}
