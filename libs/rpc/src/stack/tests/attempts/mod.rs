//! What becomes of attempts that are refused.

mod ids;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tenantry_core::event::Outcome;

use super::*;
use crate::attempts::{Attempt, Counted};
use crate::stack::load::MOST_OF_ONE;

pub(super) const UPDATE: &str = "/tenantry.registry.v1.TenantService/UpdateTenant";
const SIGN_UP: &str = "/tenantry.internal.registry.v1.SignUpService/CreateSignedUpTenant";
const IP: &str = "192.0.2.7";

/// What was told and counted.
#[derive(Debug, Default)]
pub(super) struct Log {
    told: Mutex<Vec<Attempt>>,
    counted: Mutex<Vec<Counted>>,
    /// Whether nothing more can be told.
    is_full: AtomicBool,
    /// Whether telling takes for ever.
    hangs: AtomicBool,
}

impl Attempts for Log {
    fn record(&self, attempt: Attempt) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async {
            if self.hangs.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
            if self.is_full.load(Ordering::Relaxed) {
                return Err(Refusal::unavailable());
            }
            self.told.lock().unwrap().push(attempt);
            Ok(())
        })
    }

    fn count(&self, counted: Counted) {
        self.counted.lock().unwrap().push(counted);
    }
}

impl Log {
    fn told(&self) -> Vec<Attempt> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    pub(super) fn counted(&self) -> Vec<Counted> {
        std::mem::take(&mut self.counted.lock().unwrap())
    }
}

pub(super) fn watched() -> (Fleet, Arc<Log>) {
    let (fleet, log) = (Fleet::new(), Arc::new(Log::default()));
    let stack = fleet.stack.clone().recording(log.clone());
    (Fleet { stack, ..fleet }, log)
}

fn counted(reason: Reason, method: &'static str) -> Counted {
    Counted {
        ip: IP.to_owned(),
        reason,
        method,
    }
}

fn refused(path: &str, assertion: &str, reason: Reason) -> http::Request<Body> {
    let mut request = request(path, assertion);
    let headers = request.headers_mut();
    headers.insert(REFUSE, reason.word().parse().unwrap());
    headers.insert("x-envoy-external-address", IP.parse().unwrap());
    request
}

#[tokio::test]
async fn an_attempt_at_a_change_that_is_refused_is_told_by_itself() {
    let (fleet, log) = watched();
    let (home, tenant) = (TenantId::new(), TenantId::new());
    let claims = Claims {
        home: Some(home),
        tenant: Some(tenant),
        credential: "a session".to_owned(),
        ..person()
    };
    for (reason, outcome) in [
        (Reason::PermissionDenied, Outcome::Denied),
        (Reason::TenantNotFound, Outcome::Denied),
        (Reason::UserNotFound, Outcome::Failed),
        (Reason::SlugTaken, Outcome::Failed),
        (Reason::EtagMismatch, Outcome::Failed),
        (Reason::LegalHold, Outcome::Failed),
    ] {
        let answered = fleet
            .ask(refused(UPDATE, &fleet.says(&claims), reason))
            .await;
        assert_eq!(
            crate::status::refusal(&answered.unwrap()).unwrap().reason,
            reason
        );
        let told = log.told();
        let [attempt] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(attempt.ctx.home, Some(home));
        let event = attempt.event();
        assert_eq!((event.outcome, &*event.reason), (outcome, reason.word()));
        assert_eq!(event.action, "tenant.updated");
        assert_eq!(
            (&*event.resource.kind, event.resource.id),
            ("tenant", tenant.uuid())
        );
        assert_eq!(
            (event.actor.id, &*event.credential),
            (claims.sub, "a session")
        );
        assert_eq!(event.origin.ip, IP);
        assert!(event.before.is_null() && event.after.is_null());
    }
    assert_eq!(log.counted(), []);
}

#[tokio::test]
async fn a_panic_may_have_come_behind_the_change_and_leaves_no_trace() {
    let (fleet, log) = watched();
    let mut request = request(UPDATE, &fleet.acts_in(TenantId::new()));
    request.headers_mut().insert(PANIC, "1".parse().unwrap());
    assert_eq!(fleet.ask(request).await.unwrap().code(), Code::Internal);
    assert!(log.told().is_empty());
    assert_eq!(log.counted(), []);
}

#[tokio::test]
async fn what_is_malformed_too_much_or_unproven_is_counted() {
    let (fleet, log) = watched();
    let someone = fleet.acts_in(TenantId::new());
    for reason in [
        Reason::InvalidArgument,
        Reason::ResumeTokenTooOld,
        Reason::Overloaded,
        Reason::BadCredentials,
    ] {
        fleet.ask(refused(UPDATE, &someone, reason)).await.unwrap();
        assert_eq!(log.counted(), [counted(reason, UPDATE)]);
    }
    assert!(log.told().is_empty());
}

#[tokio::test]
async fn strangers_are_counted_whatever_they_are_refused_for() {
    let (fleet, log) = watched();
    for reason in [Reason::BadCredentials, Reason::InvitationNotFound] {
        let mut request = refused(LOGIN, "", reason);
        request.headers_mut().remove(HEADER);
        fleet.ask(request).await.unwrap();
        assert_eq!(log.counted(), [counted(reason, LOGIN)]);
    }
    assert!(log.told().is_empty());
}

#[tokio::test]
async fn what_the_stack_refuses_before_the_handler_is_counted_too() {
    let (fleet, log) = watched();
    for path in [UPDATE, GET] {
        let forged = refused(path, "forged", Reason::Internal);
        assert_eq!(
            fleet.ask(forged).await.unwrap().code(),
            Code::Unauthenticated
        );
        let expected = counted(Reason::Unauthenticated, path);
        assert_eq!(log.counted(), [expected]);
    }
    let someone = fleet.acts_in(TenantId::new());
    let burst = fleet.hanging(&someone, MOST_OF_ONE);
    let one_more = fleet.ask(refused(GET, &someone, Reason::Internal)).await;
    assert_eq!(one_more.unwrap().code(), Code::ResourceExhausted);
    assert_eq!(log.counted(), [counted(Reason::Overloaded, GET)]);
    drop(burst);
    assert!(log.told().is_empty());
}

#[tokio::test]
async fn what_changes_nothing_or_may_have_changed_something_leaves_no_trace() {
    let (fleet, log) = watched();
    let someone = fleet.acts_in(TenantId::new());
    let mut late = request(UPDATE, &someone);
    late.headers_mut().insert(HANG, "1".parse().unwrap());
    late.headers_mut()
        .insert("grpc-timeout", "10m".parse().unwrap());
    let requests = [
        request(UPDATE, &someone),
        refused(UPDATE, &someone, Reason::Unavailable),
        refused(UPDATE, &someone, Reason::Internal),
        late,
        refused(GET, &someone, Reason::PermissionDenied),
        refused(GET, &someone, Reason::InvalidArgument),
        refused(SIGN_UP, &fleet.service(), Reason::SlugTaken),
        refused(
            "/tenantry.registry.v1.TenantService/Nothing",
            &someone,
            Reason::Internal,
        ),
    ];
    for request in requests {
        fleet.ask(request).await;
    }
    assert!(log.told().is_empty());
    assert_eq!(log.counted(), []);
}

#[tokio::test]
async fn what_can_t_be_told_is_answered_as_unavailable() {
    let (fleet, log) = watched();
    log.is_full.store(true, Ordering::Relaxed);
    let someone = fleet.acts_in(TenantId::new());
    let denied = refused(UPDATE, &someone, Reason::PermissionDenied);
    let answered = fleet.ask(denied).await.unwrap();
    assert_eq!(answered.code(), Code::Unavailable);
    assert!(!answered.message().contains("No."), "{answered:?}");
    log.is_full.store(false, Ordering::Relaxed);
    let denied = refused(UPDATE, &someone, Reason::PermissionDenied);
    assert_eq!(
        fleet.ask(denied).await.unwrap().code(),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn nobody_hears_of_a_refusal_before_it_is_told() {
    let (fleet, log) = watched();
    log.hangs.store(true, Ordering::Relaxed);
    let mut denied = refused(
        UPDATE,
        &fleet.acts_in(TenantId::new()),
        Reason::PermissionDenied,
    );
    denied
        .headers_mut()
        .insert("grpc-timeout", "20m".parse().unwrap());
    let answered = fleet.ask(denied).await.unwrap();
    assert_eq!(answered.code(), Code::DeadlineExceeded);
}
