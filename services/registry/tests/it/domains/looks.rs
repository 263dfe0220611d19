//! Looks that are under way at the same time, of one tenant and of several.

use sqlx::{Connection as _, PgConnection};
use tenantry_core::Reason;
use tenantry_testkit::wait;

use super::{actions, create, get, names, publish, unpublish, verify};
use crate::support::{SOON, World, reason};

/// Waits until so many statements of the database wait for a lock.
async fn waiting(superuser: &mut PgConnection, many: i64) {
    wait::until("waiting statements", SOON, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *superuser)
        .await?;
        Ok((waiting == many).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_domain_is_not_taken_from_a_tenant_that_showed_it_after_the_look_began() {
    let world = World::start().await;
    // The one that asks first is locked first.
    let (second, first) = (world.tenant("Second").await, world.tenant("First").await);
    let ours = create(&world, &first, "acme.com").await;
    publish(&world, &[&ours]).await;
    verify(&world, &first, "acme.com").await.unwrap();
    let theirs = create(&world, &second, "acme.com").await;
    publish(&world, &[&theirs]).await;

    let (mut owner, mut superuser) = (world.owner().await, world.superuser().await);
    let mut held = owner.begin().await.unwrap();
    sqlx::query("SELECT FROM tenants WHERE tenant_id = $1::uuid FOR UPDATE")
        .bind(&second.id)
        .execute(&mut *held)
        .await
        .unwrap();
    let taking = verify(&world, &second, "acme.com");
    let meanwhile = async {
        // It has seen the second tenant's record alone.
        waiting(&mut superuser, 1).await;
        publish(&world, &[&ours]).await;
        verify(&world, &first, "acme.com").await.unwrap();
        held.commit().await.unwrap();
    };
    let (taken, ()) = tokio::join!(taking, meanwhile);
    assert_eq!(reason(&taken.unwrap_err()), Reason::DomainTaken);
    assert_eq!(names(&world, &first).await, ["acme.com"]);
    assert_eq!(names(&world, &second).await, Vec::<String>::new());
    assert_eq!(get(&world, &first, "acme.com").await.problem, "");
}

#[tokio::test]
async fn what_a_look_does_not_show_says_nothing_against_what_was_shown_meanwhile() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let domain = create(&world, &tenant, "acme.com").await;
    publish(&world, &[&domain]).await;

    let (mut owner, mut superuser) = (world.owner().await, world.superuser().await);
    let mut held = owner.begin().await.unwrap();
    sqlx::query("SELECT FROM tenants WHERE tenant_id = $1::uuid FOR UPDATE")
        .bind(&tenant.id)
        .execute(&mut *held)
        .await
        .unwrap();
    let shows = verify(&world, &tenant, "acme.com");
    let meanwhile = async {
        // It has seen the record; what is looked for from here on doesn't, while nothing is written yet.
        waiting(&mut superuser, 1).await;
        unpublish(&world, &domain).await;
        let mut due = world.owner().await;
        sqlx::query("UPDATE domains SET next_check_at = clock_timestamp()")
            .execute(&mut due)
            .await
            .unwrap();
        waiting(&mut superuser, 2).await;
        let refused = verify(&world, &tenant, "acme.com");
        let release = async {
            waiting(&mut superuser, 3).await;
            held.commit().await.unwrap();
        };
        tokio::join!(refused, release).0
    };
    let (shown, refused) = tokio::join!(shows, meanwhile);
    assert_eq!(shown.unwrap().status, "verified");
    assert_eq!(reason(&refused.unwrap_err()), Reason::DomainNotVerified);
    // The regular look is written before the refused one came to its turn, or is just being.
    waiting(&mut superuser, 0).await;
    let now = get(&world, &tenant, "acme.com").await;
    assert_eq!(
        (now.status.as_str(), now.problem.as_str()),
        ("verified", "")
    );
    let told = actions(&mut world.owner().await, &tenant).await;
    assert_eq!(told[2..], ["tenant.domain_added"]);
}

#[tokio::test]
async fn tenants_that_take_a_domain_from_each_other_at_once_leave_one_with_it() {
    let world = World::start().await;
    let second = world.replica().await;
    let (first, other) = (world.tenant("First").await, world.tenant("Other").await);
    let ours = create(&world, &first, "acme.com").await;
    let theirs = create(&world, &other, "acme.com").await;
    for record in [&ours, &theirs, &ours, &theirs] {
        publish(&world, &[record]).await;
        let (one, two, three, four) = tokio::join!(
            verify(&world, &first, "acme.com"),
            verify(&second, &other, "acme.com"),
            verify(&second, &first, "acme.com"),
            verify(&world, &other, "acme.com"),
        );
        let shown = record.tenant_id == first.id;
        for (outcome, right) in [(one, shown), (three, shown), (two, !shown), (four, !shown)] {
            match outcome {
                Ok(_) => assert!(right),
                Err(refused) => {
                    assert!(!right, "{refused:?}");
                    assert_eq!(reason(&refused), Reason::DomainNotVerified);
                }
            }
        }
        let named = [names(&world, &first).await, names(&world, &other).await];
        assert_eq!(
            named.map(|names| names.len()),
            [usize::from(shown), usize::from(!shown)]
        );
    }
}

#[tokio::test]
async fn a_domain_that_stays_anothers_is_looked_for_no_longer_than_any_and_says_why() {
    let world = World::start().await;
    let (first, second) = (world.tenant("First").await, world.tenant("Second").await);
    let ours = create(&world, &first, "acme.com").await;
    let theirs = create(&world, &second, "acme.com").await;
    publish(&world, &[&ours]).await;
    verify(&world, &first, "acme.com").await.unwrap();
    publish(&world, &[&ours, &theirs]).await;
    // A month after it was added, this look is the last one.
    sqlx::query(
        "UPDATE domains SET created_at = created_at - interval '30 days', next_check_at = clock_timestamp()
         WHERE tenant_id = $1::uuid",
    )
        .bind(&second.id)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let contested = wait::until("end of the looks", SOON, async || {
        let domain = get(&world, &second, "acme.com").await;
        Ok(domain.next_check_at.is_none().then_some(domain))
    });
    let contested = contested.await.unwrap();
    assert_eq!(contested.status, "pending");
    assert!(
        contested.problem.contains("another tenant"),
        "{}",
        contested.problem
    );
}
