//! Makes the runs that the log is searched by, on whichever replica is first: nobody waits for it, since what isn't in a run is
//! read in order.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tenantry_rpc::tasks::contained;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{App, away};
use crate::domain::query::Scope;
use crate::domain::search::way::Contents;
use crate::domain::search::{Damaged, Level, Run, SHORT_IN_LONG, postings, times};
use crate::error::Error;
use crate::store::events::{self, Facts};
use crate::store::search::{due, postings as buckets, runs, times as run_times};

/// How often it is looked for runs to make while there are none.
const TICK: Duration = Duration::from_secs(1);
/// Logs of one turn, and most runs of each: those of one large log keep nobody else's waiting for long.
const LOGS: i64 = 16;
const RUNS: usize = 8;
/// Buckets of short runs that are merged at once.
const BUCKETS: i32 = 32;

impl App {
    /// Makes runs until it is cancelled. What fails comes again.
    pub(crate) async fn keep_searchable(self: Arc<Self>, cancel: CancellationToken) {
        // The logs take turns, in the order of their tenants' ids.
        let mut after = None;
        loop {
            let turn = contained("search runs", self.turn(after)).await;
            let made = match turn {
                Some(Ok((next, made))) => {
                    after = next;
                    made
                }
                Some(Err(error)) => {
                    tracing::warn!(error = %error, "runs for the search can't be made; it is tried again");
                    false
                }
                None => false,
            };
            let pause = if made { Duration::ZERO } else { TICK };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Makes runs of all logs together, to whom half of all that is due belongs, and of some logs behind this one: which is the
    /// last of them, none at the end of all, and whether any was made.
    async fn turn(&self, after: Option<Uuid>) -> Result<(Option<Uuid>, bool), Error> {
        let mut tx = self.store.platform().await?;
        let logs = due::logs(tx.conn(), after, LOGS).await?;
        drop(tx);
        let last = logs.last().map(|log| log.uuid());
        let mut made = false;
        for scope in [Scope::All]
            .into_iter()
            .chain(logs.into_iter().map(Scope::Log))
        {
            for _ in 0..RUNS {
                match contained("search run", self.make_next(scope)).await {
                    Some(Ok(true)) => made = true,
                    Some(Ok(false)) | None => break,
                    Some(Err(error)) => {
                        tracing::warn!(scope = ?scope, error = %error, "a run for the search can't be made; it is tried again");
                        break;
                    }
                }
            }
        }
        Ok((last, made))
    }

    /// Makes the run of a scope that is next; `false` where there is none, or another replica makes it.
    async fn make_next(&self, scope: Scope) -> Result<bool, Error> {
        let mut tx = self.store.platform().await?;
        if !due::try_lock(tx.conn(), scope).await? {
            return Ok(false);
        }
        let Some(run) = due::next(tx.conn(), scope).await? else {
            return Ok(false);
        };
        match run.level {
            Level::Short => make(tx.conn(), scope, run).await?,
            Level::Long => merge(tx.conn(), scope, run).await?,
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Makes a short run of its events.
async fn make(conn: &mut PgConnection, scope: Scope, run: Run) -> Result<(), Error> {
    events::steady_plans(conn).await?;
    let facts = events::facts(conn, scope, run.first(), run.until).await?;
    let Made {
        contents,
        buckets,
        times,
    } = away(move || made(run, &facts)).await?;
    buckets::remove(conn, scope, run).await?;
    buckets::insert(conn, scope, run, buckets).await?;
    run_times::put(conn, scope, run, contents.as_ref(), &times).await?;
    runs::put(conn, scope, run, contents.as_ref()).await?;
    due::done(conn, scope, run).await?;
    let (parts, _) = runs::parts(conn, scope, run.long()).await?;
    if parts == SHORT_IN_LONG {
        due::add(conn, &[(scope, run.long())]).await?;
    }
    Ok(())
}

/// Merges short runs into a long one. Where they aren't all there, because it is to be made anew from its events, they are made
/// first, and it serves meanwhile.
async fn merge(conn: &mut PgConnection, scope: Scope, long: Run) -> Result<(), Error> {
    due::done(conn, scope, long).await?;
    let (parts, contents) = runs::parts(conn, scope, long).await?;
    if parts < SHORT_IN_LONG {
        let parts: Vec<_> = long.parts().map(|part| (scope, part)).collect();
        return Ok(due::add(conn, &parts).await?);
    }
    buckets::remove(conn, scope, long).await?;
    for first in (0..postings::buckets(Level::Short)).step_by(BUCKETS as usize) {
        let parts = buckets::parts(conn, scope, long, (first, BUCKETS)).await?;
        let merged = away(move || merged(long, &parts)).await??;
        buckets::insert(conn, scope, long, merged).await?;
    }
    runs::remove_parts(conn, scope, long).await?;
    runs::put(conn, scope, long, contents.as_ref()).await?;
    Ok(())
}

/// A short run before it is written.
struct Made {
    contents: Option<Contents>,
    buckets: Vec<postings::Bucket>,
    times: Vec<u8>,
}

fn made(run: Run, facts: &[Facts]) -> Made {
    let place = |facts: &Facts| u32::try_from(facts.place - run.first()).unwrap_or(0);
    let between = |time: fn(&Facts) -> jiff::Timestamp| {
        let times = || facts.iter().map(time);
        times().min().zip(times().max())
    };
    let came = between(|facts| facts.received_at.into());
    let happened = between(|facts| facts.at.into());
    Made {
        contents: came.zip(happened).map(|(came, happened)| Contents {
            events: i32::try_from(facts.len()).unwrap_or(i32::MAX),
            came,
            happened,
        }),
        buckets: postings::of_events(facts.iter().map(|one| (place(one), one.terms.as_slice()))),
        times: times::written(facts.iter().map(|one| (place(one), one.at.into()))),
    }
}

/// Some buckets of a long run, of those of its short ones.
fn merged(long: Run, parts: &[(i32, i64, Vec<u8>)]) -> Result<Vec<postings::Bucket>, Damaged> {
    let mut merged = Vec::new();
    for of_one in parts.chunk_by(|a, b| a.0 == b.0) {
        let runs: Vec<_> = of_one
            .iter()
            .map(|(_, until, bytes)| {
                let first = until - Level::Short.span() - long.first();
                (u32::try_from(first).unwrap_or(0), bytes.as_slice())
            })
            .collect();
        merged.extend(postings::merged(of_one[0].0, &runs)?);
    }
    Ok(merged)
}
