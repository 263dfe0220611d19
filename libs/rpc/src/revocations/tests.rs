use tenantry_core::{Permissions, Principal};

use super::*;

const GRACE: Duration = Duration::from_secs(30);
const SESSION: Uuid = Uuid::from_u128(1);
const USER: Uuid = Uuid::from_u128(2);

fn context() -> RequestContext {
    RequestContext {
        principal: Principal {
            kind: PrincipalKind::User,
            id: USER,
            name: String::new(),
        },
        credential: SESSION.to_string(),
        ..RequestContext::of_service("", Permissions::NONE)
    }
}

fn heard() -> Revocations {
    let revocations = Revocations::unheard(GRACE);
    revocations.restart();
    revocations
}

fn changed(subject: Uuid, tenant: Option<TenantId>) -> Revocation {
    Revocation {
        subject: Some(subject),
        tenant,
        ended: false,
    }
}

fn reason(watch: &RevocationWatch) -> Option<Reason> {
    watch
        .look(&mut watch.next.clone())
        .map(|refusal| refusal.reason)
}

#[tokio::test]
async fn a_stream_ends_with_its_credential_and_with_its_principals_rights_and_no_others() {
    let revocations = heard();
    let (own, above, other) = (TenantId::new(), TenantId::new(), TenantId::new());
    let watch = revocations.watch(&context(), vec![own, above]).await;
    revocations.apply(changed(Uuid::from_u128(3), None));
    revocations.apply(changed(USER, Some(other)));
    assert_eq!(reason(&watch), None, "someone else, and elsewhere");
    revocations.apply(changed(USER, Some(above)));
    assert_eq!(reason(&watch), Some(Reason::StreamRightsChanged));

    let revocations = heard();
    let watch = revocations.watch(&context(), vec![own]).await;
    revocations.apply(Revocation {
        ended: true,
        ..changed(SESSION, None)
    });
    assert_eq!(reason(&watch), Some(Reason::StreamCredentialEnded));
    let late = revocations.watch(&context(), vec![own]).await;
    let refusal = tokio::time::timeout(GRACE, late.revoked()).await.unwrap();
    assert_eq!(
        refusal.reason,
        Reason::StreamCredentialEnded,
        "an assertion outlives it"
    );
}

#[tokio::test]
async fn everyone_in_a_tenant_is_everyone_below_it_too() {
    let revocations = heard();
    let (own, above) = (TenantId::new(), TenantId::new());
    let below = revocations.watch(&context(), vec![own, above]).await;
    let beside = revocations.watch(&context(), vec![own]).await;
    revocations.apply(Revocation {
        subject: None,
        tenant: Some(above),
        ended: false,
    });
    assert_eq!(reason(&below), Some(Reason::StreamRightsChanged));
    assert_eq!(reason(&beside), None);
}

#[tokio::test]
async fn what_may_have_been_missed_ends_what_was_open() {
    let revocations = heard();
    let watch = revocations.watch(&context(), Vec::new()).await;
    assert_eq!(reason(&watch), None);
    revocations.restart();
    assert_eq!(reason(&watch), Some(Reason::StreamRightsChanged));
    let after = revocations.watch(&context(), Vec::new()).await;
    assert_eq!(reason(&after), None);
    for _ in 0..=MOST {
        revocations.apply(changed(Uuid::from_u128(3), None));
    }
    assert_eq!(reason(&after), Some(Reason::StreamRightsChanged));
}

#[tokio::test]
async fn without_news_a_stream_lives_for_the_grace() {
    let revocations = Revocations::unheard(Duration::from_millis(50));
    revocations.settle();
    let watch = revocations.watch(&context(), Vec::new()).await;
    assert_eq!(watch.revoked().await.reason, Reason::Unavailable);
    revocations.freshen(Duration::ZERO);
    assert_eq!(reason(&watch), None);
}
