//! Finding events, the newest first: the end of a log in order, and behind it by the runs that it is searched by.
//!
//! What a run gives are candidates, and each is held against its event: so an event that was moved, erased or dropped
//! meanwhile is shown as it is now or not at all, and what no run has yet is found at once.

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::{TenantId, clock};

use crate::domain::query::{Filter, Scope};
use crate::domain::search::places::Places;
use crate::domain::search::way::{Between, Contents, Way, earliest, latest};
use crate::domain::search::{Level, postings, times};
use crate::error::Error;
use crate::store::events::{self, Hit, Span};
use crate::store::search::runs::{self, Found};
use crate::store::search::times as run_times;

/// Runs that are looked at first, and most that are at once. What is common is found in the first, what is rare in none.
const FIRST_RUNS: i64 = 8;
const MOST_RUNS: i64 = 64;
/// By how much more are looked at each time.
const MORE: i64 = 4;
/// Most buckets that are read at once.
const MOST_BUCKETS: i64 = 256;
/// Fewest and most candidates that are held against their events at once.
const CANDIDATES: std::ops::RangeInclusive<usize> = 16..=1_000;

/// Most events that are read at once: they may be large.
const READ: usize = 100;

/// The first so many events before a place that came since an instant and that a filter lets through; fewer, once those that are
/// found have as many bytes as this.
#[derive(Clone, Copy)]
pub(super) struct Cut<'a> {
    pub(super) before: Option<i64>,
    pub(super) limit: usize,
    pub(super) bytes: usize,
    pub(super) since: Timestamp,
    /// Whether an event of this tenant that came then is shown: of all logs together each is shown as far back as its own tenant's
    /// plan says.
    pub(super) shows: &'a (dyn Fn(TenantId, Timestamp) -> bool + Sync),
}

/// Finds events of a scope, in the order of their places from the last.
pub(super) async fn find<H: Hit>(
    conn: &mut PgConnection,
    scope: Scope,
    filter: &Filter,
    cut: Cut<'_>,
) -> Result<Vec<H>, Error> {
    events::steady_plans(conn).await?;
    let mut search = Search {
        conn,
        scope,
        filter,
        cut,
        left: cut.before,
        came_before: latest(clock::now()),
        found: Vec::new(),
        bytes: 0,
        candidates: Vec::new(),
        batch: *CANDIDATES.start(),
        candidates_came: None,
    };
    search.all().await?;
    Ok(search.found)
}

/// A search on its way from the last place to the first.
struct Search<'a, H> {
    conn: &'a mut PgConnection,
    scope: Scope,
    filter: &'a Filter,
    cut: Cut<'a>,
    /// What lies before this place is still to be searched; all of it at first.
    left: Option<i64>,
    /// The latest instant at which any of that came.
    came_before: Timestamp,
    found: Vec<H>,
    /// How many all of these have.
    bytes: usize,
    /// Places that are to be held against their events, from the last, and when these came.
    candidates: Vec<i64>,
    candidates_came: Option<Between>,
    /// How many of them at once: more from time to time if few are what is sought.
    batch: usize,
}

impl<H: Hit> Search<'_, H> {
    async fn all(&mut self) -> Result<(), Error> {
        let most = MOST_BUCKETS / i64::try_from(self.filter.terms.len().max(1)).unwrap_or(i64::MAX);
        let mut count = FIRST_RUNS;
        loop {
            let asked = count.min(most).max(1);
            let terms = &self.filter.terms;
            let runs = runs::below(self.conn, self.scope, self.left, terms, asked).await?;
            let last = i64::try_from(runs.len()).unwrap_or(i64::MAX) < asked;
            for found in runs {
                // A part of a long run comes behind it.
                if self.left.is_none_or(|left| found.run.first() < left) {
                    self.in_order_down_to(found.run.until, found.contents.as_ref())
                        .await?;
                    self.run(&found).await?;
                }
                if self.is_full() {
                    return Ok(());
                }
                if self.came_before < self.cut.since {
                    return self.hold_candidates().await;
                }
            }
            self.hold_candidates().await?;
            if last {
                return self.in_order_down_to(0, None).await;
            }
            if self.is_full() {
                return Ok(());
            }
            count = (count * MORE).min(MOST_RUNS);
        }
    }

    fn missing(&self) -> usize {
        self.cut.limit.saturating_sub(self.found.len())
    }

    /// One that is too large for a page alone needs a next one, to tell that there is more.
    fn is_full(&self) -> bool {
        self.missing() == 0 || self.bytes > self.cut.bytes && self.found.len() > 1
    }

    /// How many events are read next.
    fn read(&self) -> usize {
        self.missing().min(READ)
    }

    /// Keeps what is shown of these; or the place of the last of them, where more may follow.
    fn keep(&mut self, rows: Vec<H>, read: usize) -> Option<i64> {
        let last = rows.last().filter(|_| rows.len() == read);
        let last = last.map(|row| row.place(self.scope));
        for row in rows {
            let (tenant, came) = row.came();
            if !self.is_full() && (self.cut.shows)(tenant, came) {
                self.bytes += row.bytes();
                self.found.push(row);
            }
        }
        last.filter(|_| !self.is_full())
    }

    /// Searches what no run has, down to this place; below it lies a run of this, if any.
    async fn in_order_down_to(&mut self, from: i64, below: Option<&Contents>) -> Result<(), Error> {
        if self.is_full() || self.left.is_some_and(|left| left <= from) {
            return Ok(());
        }
        self.hold_candidates().await?;
        let came_since = below.map_or(self.cut.since, |below| earliest(below.came.1));
        self.in_order(from, (came_since, self.came_before)).await
    }

    async fn in_order(&mut self, from: i64, came: Between) -> Result<(), Error> {
        let came = (came.0.max(self.cut.since), came.1);
        while !self.is_full() {
            let (before, read) = (self.left, self.read());
            let span = Span { from, before, came };
            let limit = i64::try_from(read).unwrap_or(i64::MAX);
            let rows = events::in_order(self.conn, self.scope, self.filter, span, limit).await?;
            let Some(last) = self.keep(rows, read) else {
                break;
            };
            self.left = Some(last);
        }
        self.left = Some(from);
        Ok(())
    }

    async fn run(&mut self, found: &Found) -> Result<(), Error> {
        let contents = found.contents.as_ref();
        match (
            Contents::way(contents, self.filter, self.cut.since),
            contents,
        ) {
            (Way::Order, Some(contents)) => {
                self.hold_candidates().await?;
                self.in_order(found.run.first(), contents.came).await?;
            }
            (Way::Look { times }, Some(contents)) => self.look(found, contents, times).await?,
            (Way::Skip, _) | (_, None) => {}
        }
        self.left = Some(found.run.first());
        if let Some(contents) = contents {
            self.came_before = latest(contents.came.0);
        }
        Ok(())
    }

    /// Collects the places of a run that have all terms, and those of the right time where that is to be looked at.
    async fn look(&mut self, found: &Found, contents: &Contents, times: bool) -> Result<(), Error> {
        let Some(mut places) = with_all(found, &self.filter.terms)? else {
            return Ok(());
        };
        if times {
            let within = self.at_the_time(found).await?;
            match &mut places {
                Some(places) => places.keep(&within),
                none => *none = Some(within),
            }
        }
        let first = found.run.first();
        let left = self.left;
        let places = places.iter().flat_map(Places::backwards);
        let places = places.map(|place| first + i64::from(place));
        for place in places.filter(|place| left.is_none_or(|left| *place < left)) {
            self.candidates.push(place);
            let came = self.candidates_came.get_or_insert(contents.came);
            *came = (came.0.min(contents.came.0), came.1.max(contents.came.1));
            if self.candidates.len() >= self.missing().clamp(self.batch, *CANDIDATES.end()) {
                self.hold_candidates().await?;
                if self.is_full() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn at_the_time(&mut self, found: &Found) -> Result<Places, Error> {
        let mut places = Places::none(found.run.level);
        let of_runs = run_times::within(self.conn, self.scope, found.run, self.filter).await?;
        for (until, bytes) in of_runs {
            let first = until - Level::Short.span();
            let moved = u32::try_from(first - found.run.first()).unwrap_or(0);
            times::within(
                &bytes,
                moved,
                (self.filter.start, self.filter.end),
                &mut places,
            )?;
        }
        Ok(places)
    }

    /// Holds the candidates against their events.
    async fn hold_candidates(&mut self) -> Result<(), Error> {
        let mut candidates = std::mem::take(&mut self.candidates);
        let Some(came) = self.candidates_came.take() else {
            return Ok(());
        };
        let came = (came.0.max(self.cut.since), came.1);
        let (all, had) = (candidates.len(), self.found.len());
        while !candidates.is_empty() && !self.is_full() {
            let read = self.read();
            let next = candidates.len().min(self.batch.max(read));
            let places = (&candidates[..next], came);
            let limit = i64::try_from(read).unwrap_or(i64::MAX);
            let rows = events::among(self.conn, self.scope, self.filter, places, limit).await?;
            match self.keep(rows, read) {
                Some(last) => candidates.retain(|place| *place < last),
                None => drop(candidates.drain(..next)),
            }
        }
        if self.found.len() - had < all / 2 {
            self.batch = (self.batch * 4).min(*CANDIDATES.end());
        }
        Ok(())
    }
}

/// The places of a run that have all of these terms: none at all, or `Some(None)` where nothing is asked for.
fn with_all(found: &Found, terms: &[i64]) -> Result<Option<Option<Places>>, Error> {
    let mut all: Option<Places> = None;
    for term in terms {
        let number = postings::bucket(found.run.level, *term);
        let bucket = found.buckets.iter().find(|(bucket, _)| *bucket == number);
        let places = match bucket {
            Some((_, bytes)) => postings::find(found.run.level, bytes, *term)?,
            None => None,
        };
        let Some(places) = places else {
            return Ok(None);
        };
        match &mut all {
            Some(all) => all.keep(&places),
            none => *none = Some(places),
        }
        if all.as_ref().is_some_and(Places::is_empty) {
            return Ok(None);
        }
    }
    Ok(Some(all))
}
