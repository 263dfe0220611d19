//! Every change leaves its events, once, in the right log and with all that belongs in them; every attempt that is denied
//! leaves one. The table has each RPC of the gateway that changes something, found by the contracts: one without a row
//! fails the build of trust here. Each noun has a file with its rows.

mod case;
mod catalogue;
mod coming_in;
mod domains;
mod events;
mod keys;
mod limits;
mod log;
mod members;
mod providers;
mod scene;
mod sessions;
mod tenants;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use tenantry_proto::methods::{self, Method};

use self::case::{ANY, Denied, Left, PLATFORM, Refused};
pub use self::case::{Caller, Case};
use self::events::{check, check_denied, drained, found};
pub use self::scene::Scene;
use crate::support::{fleet, unique};

/// The only RPC that succeeds once in a fleet's life: it was called when the fleet started.
const BOOTSTRAP: &str = "/tenantry.identity.v1.OperatorService/Bootstrap";

/// Changes that no gateway leads to, and what tells of them.
const INTERNAL: &[(&str, &str)] = &[
    (
        "/tenantry.internal.audit.v1.AppendService/Append",
        "it is how the events of others come into the log",
    ),
    (
        "/tenantry.internal.data.v1.TenantDataService/Purge",
        "a part of PurgeTenant; services/identity/tests/it/tenant_data.rs shows its event",
    ),
    (
        "/tenantry.internal.identity.v1.SeatService/SettleSeats",
        "it says what became of a change, which has its event where it was made",
    ),
    (
        "/tenantry.internal.quota.v1.HoldService/Confirm",
        "it counts, and is no event of its own",
    ),
    (
        "/tenantry.internal.quota.v1.HoldService/Hold",
        "it counts, and is no event of its own",
    ),
    (
        "/tenantry.internal.quota.v1.HoldService/Release",
        "it counts, and is no event of its own",
    ),
    (
        "/tenantry.internal.registry.v1.SignUpService/CreateSignedUpTenant",
        "a part of SignUp, whose row has its event",
    ),
];

/// Rows that are under way at once.
const AT_ONCE: usize = 4;

/// Every RPC with a row.
fn rows() -> Vec<&'static str> {
    [
        catalogue::METHODS,
        coming_in::METHODS,
        domains::METHODS,
        keys::METHODS,
        limits::METHODS,
        log::METHODS,
        members::METHODS,
        providers::METHODS,
        sessions::METHODS,
        tenants::METHODS,
        &[BOOTSTRAP],
    ]
    .concat()
}

/// The calls of one row.
pub async fn cases(scene: &Scene<'_>, path: &str) -> Result<Vec<Case>> {
    let method = path.rsplit('/').next().unwrap_or_default();
    match path {
        BOOTSTRAP => Ok(Vec::new()),
        _ if catalogue::METHODS.contains(&path) => catalogue::cases(scene, method).await,
        _ if coming_in::METHODS.contains(&path) => coming_in::cases(scene, method).await,
        _ if domains::METHODS.contains(&path) => domains::cases(scene, method).await,
        _ if keys::METHODS.contains(&path) => keys::cases(scene, method).await,
        _ if limits::METHODS.contains(&path) => limits::cases(scene, method).await,
        _ if log::METHODS.contains(&path) => log::cases(scene, method).await,
        _ if members::METHODS.contains(&path) => members::cases(scene, method).await,
        _ if providers::METHODS.contains(&path) => providers::cases(scene, method).await,
        _ if sessions::METHODS.contains(&path) => sessions::cases(scene, method).await,
        _ => tenants::cases(scene, method).await,
    }
}

fn mutations(internal: bool) -> BTreeSet<&'static str> {
    let all = methods::all().iter();
    all.filter(|method| !method.read_only && method.internal == internal)
        .map(|method| method.path)
        .collect()
}

#[test]
fn every_rpc_that_changes_something_has_a_row() {
    let rows = rows();
    let named: BTreeSet<_> = rows.iter().copied().collect();
    assert_eq!(rows.len(), named.len(), "a row twice");
    assert_eq!(
        named,
        mutations(false),
        "each mutating RPC of the gateway needs a row in audit_walk/, and each row an RPC"
    );
    let internal: BTreeSet<_> = INTERNAL.iter().map(|(path, _)| *path).collect();
    assert_eq!(internal, mutations(true));
}

/// A request that was made, and what it is to have left.
struct Made {
    what: String,
    request_id: String,
    leaves: Leaves,
}

enum Leaves {
    /// These, by this caller.
    Events(Vec<Left>, Caller),
    /// What tells of a denial, as the contract calls it.
    Denial(&'static Method, Box<Refused>),
}

/// Calls, repeats, and tries as someone else.
async fn walk(scene: &Scene<'_>, path: &'static str) -> Result<Vec<Made>> {
    let method = methods::find(path).context("an RPC")?;
    let (mut made, mut says) = (Vec::new(), false);
    for case in cases(scene, path).await? {
        succeed(scene, method, &case, &mut made).await?;
        says |= !matches!(case.denied, Denied::Elsewhere);
        match case.denied {
            Denied::By(refused) => made.push(deny(scene, method, refused).await?),
            Denied::Nobody(why) => println!("{path} is denied to nobody: {why}"),
            Denied::Elsewhere => {}
        }
    }
    ensure!(
        says,
        "{path}: no case says whom it is denied to, or why to nobody"
    );
    Ok(made)
}

async fn succeed(
    scene: &Scene<'_>,
    method: &Method,
    case: &Case,
    made: &mut Vec<Made>,
) -> Result<()> {
    let (path, at) = (method.path, case.at.as_deref());
    let mut request = case.request.clone();
    if method.has_request_id {
        request["requestId"] = json!(unique("walk"));
    }
    let what = format!("{path} {request}");
    let answer = scene.call(path, &case.by, at, &request).await?;
    ensure!(answer.is_ok(), "{what}: {:?}", answer.status);
    let message = answer.messages.first().cloned().unwrap_or_default();
    let left = (case.leaves)(&message);
    let counted = method.audit.is_some_and(|audit| audit.counted);
    ensure!(
        !counted || left.is_empty(),
        "{what}: what is only counted leaves no event"
    );
    made.push(Made {
        what: what.clone(),
        request_id: answer.request_id,
        leaves: Leaves::Events(left, case.by.clone()),
    });
    if method.has_request_id {
        let again = scene.call(path, &case.by, at, &request).await?;
        ensure!(again.is_ok(), "{what}, again: {:?}", again.status);
        made.push(Made {
            what: format!("{what}, again,"),
            request_id: again.request_id,
            leaves: Leaves::Events(Vec::new(), case.by.clone()),
        });
    }
    Ok(())
}

async fn deny(scene: &Scene<'_>, method: &'static Method, refused: Box<Refused>) -> Result<Made> {
    let (by, at) = (&refused.by, refused.at.as_deref());
    let answer = scene.call(method.path, by, at, &refused.request).await?;
    let what = format!("{} {}", method.path, refused.request);
    let told = tenantry_rpc::status::refusal(&answer.status);
    let reason = told.map(|refusal| refusal.reason.word());
    assert_eq!(reason, Some(refused.reason), "{what}: {:?}", answer.status);
    Ok(Made {
        what,
        request_id: answer.request_id,
        leaves: Leaves::Denial(method, refused),
    })
}

impl Made {
    /// The logs that are known to have something of it.
    fn logs(&self) -> Vec<String> {
        let logs = match &self.leaves {
            Leaves::Events(left, _) => left.iter().map(|left| left.log.clone()).collect(),
            Leaves::Denial(_, refused) => vec![refused.by.home.clone()],
        };
        logs.into_iter().filter(|log| log != ANY).collect()
    }

    /// Finds what it left, and holds it against what it is to leave.
    async fn check(&self, scene: &Scene<'_>) -> Result<()> {
        let count = match &self.leaves {
            Leaves::Events(left, _) => left.len(),
            Leaves::Denial(..) => 1,
        };
        let events = found(&scene.rest, &self.what, &self.request_id, count).await?;
        match &self.leaves {
            Leaves::Events(left, by) => check(&self.what, events, left, by),
            Leaves::Denial(method, refused) => {
                let audit = method.audit.context("an RPC that changes something")?;
                let names = (audit.action, audit.resource_type);
                check_denied(&self.what, &events, names, refused);
            }
        }
        Ok(())
    }
}

/// Does all, some at a time, and tells of all that fail.
async fn all<T>(
    all: impl Iterator<Item = (String, impl Future<Output = Result<T>>)>,
) -> Result<Vec<T>> {
    let caught =
        all.map(|(what, one)| async { (what, AssertUnwindSafe(one).catch_unwind().await) });
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let mut ends = pin!(stream::iter(caught).buffer_unordered(AT_ONCE));
    while let Some((what, end)) = ends.next().await {
        match end {
            Ok(Ok(one)) => done.push(one),
            Ok(Err(error)) => failed.push(format!("{what}: {error:#}")),
            Err(_panicked) => failed.push(format!("{what}: its panic says why")),
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_and_each_denial_leaves_exactly_its_events() -> Result<()> {
    let fleet = fleet().await?;
    let began = Instant::now();
    let scene = Scene::start(fleet).await?;
    let paths = rows().into_iter().filter(|path| *path != BOOTSTRAP);
    let made = all(paths.map(|path| (path.to_owned(), walk(&scene, path)))).await?;
    let made: Vec<Made> = made.into_iter().flatten().collect();
    println!("{} requests made in {:?}", made.len(), began.elapsed());
    // Once all is in the log that was written, what isn't there twice never will be.
    let logs: Vec<_> = made.iter().flat_map(Made::logs).collect();
    drained(fleet, &logs).await?;
    println!("all in the log after {:?}", began.elapsed());
    all(made
        .iter()
        .map(|made| (made.what.clone(), made.check(&scene))))
    .await?;
    first_operator(&scene).await?;
    println!("all found after {:?}", began.elapsed());
    Ok(())
}

/// Who was made an operator by the one-time token did it as nobody yet.
async fn first_operator(scene: &Scene<'_>) -> Result<()> {
    let path = format!(
        "/api/v1/tenants/audit-log/search?tenant_id=platform&q={}",
        scene.fleet.operator().email
    );
    let found = scene.rest.get(&path).await?.ok()?;
    let made = |event: &&Value| {
        event["actor"]["kind"] == "anonymous" && event["event_type"] == "operator.created"
    };
    let events = found["events"].as_array().cloned().unwrap_or_default();
    let made: Vec<_> = events.iter().filter(made).collect();
    let [event] = made[..] else {
        panic!("the first operator: {events:#?}");
    };
    assert_eq!(event["tenant_id"], PLATFORM, "{event:#}");
    assert_eq!(event["ip_address"], "127.0.0.1", "{event:#}");
    Ok(())
}
