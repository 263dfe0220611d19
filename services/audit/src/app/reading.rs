//! Reading events: pages of one log or of all, and single events.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_core::page::PageTokens;
use tenantry_core::{TenantId, clock};
use tenantry_transparency::leaf::{Disclosures, Leaf};

use super::App;
use super::searching::{Cut, find};
use crate::domain::query::{Filter, Scope};
use crate::domain::retention::{Class, visible_since};
use crate::domain::terms::Fact;
use crate::error::Error;
use crate::store::events::{self, Hit as _, Place, Row};

/// Most bytes of a page's events, unless a single one has more: clients of gRPC take 4 MiB by default.
const PAGE_BYTES: usize = 3_500_000;

/// As many days as any plan keeps events.
const LONGEST: i32 = Class::Days730.number() as i32;

/// An event as it is read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) tenant: TenantId,
    pub(crate) index: i64,
    /// The event with its personal values, as far as they aren't erased.
    pub(crate) event: Value,
}

/// A page that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) scope: Scope,
    pub(crate) filter: Filter,
    pub(crate) page_token: String,
    pub(crate) offset: usize,
    pub(crate) size: u32,
    /// Whether an operator asks, to whom a legal hold shows what it keeps.
    pub(crate) by_operator: bool,
}

impl Reading {
    pub(super) fn of(row: Row) -> Result<Self, Error> {
        let leaf = Leaf::parse(&row.leaf)?;
        Ok(Self {
            tenant: row.tenant_id.into(),
            index: row.index,
            event: leaf.open(&disclosures(row.disclosed.as_deref())?)?,
        })
    }
}

/// How many rows one page has room for, at least one.
fn fitting(rows: &[Row]) -> u32 {
    let mut bytes = 0;
    let fit = rows.iter().take_while(|row| {
        bytes += row.bytes();
        bytes <= PAGE_BYTES
    });
    u32::try_from(fit.count()).unwrap_or(u32::MAX).max(1)
}

/// What opens a leaf's personal values, as its row has it.
pub(super) fn disclosures(written: Option<&str>) -> Result<Disclosures, Error> {
    let Some(written) = written else {
        return Ok(Disclosures::new());
    };
    Ok(serde_json::from_str(written).map_err(tenantry_store::Error::from)?)
}

impl App {
    /// One page, the newest first; it ends early where its events are large.
    pub(crate) async fn page(
        &self,
        page: &Page,
        tokens: &PageTokens<'_>,
    ) -> Result<tenantry_core::page::Page<Reading>, Error> {
        let before = tokens.read(&page.page_token)?;
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        // One more than the page, which tells whether another follows.
        let rows = match page.scope {
            Scope::Log(tenant) => {
                let mut tx = self.store.read(tenant).await?;
                self.newest(tx.conn(), page, before, size + 1).await?
            }
            Scope::All => {
                let mut tx = self.store.platform().await?;
                self.newest(tx.conn(), page, before, size + 1).await?
            }
        };
        let size = page.size.min(fitting(&rows));
        let rows = tenantry_core::page::Page::cut(rows, size, |last| {
            tokens.write(&last.place(page.scope))
        });
        let items = rows.items.into_iter().map(Reading::of);
        Ok(tenantry_core::page::Page {
            items: items.collect::<Result<_, _>>()?,
            next_page_token: rows.next_page_token,
        })
    }

    /// The first so many events of a page that begins behind this place.
    async fn newest(
        &self,
        conn: &mut PgConnection,
        page: &Page,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let now = clock::now();
        let shows = |tenant, came| {
            let visible = || came >= visible_since(now, self.retention_days(tenant));
            page.scope != Scope::All || visible() || self.tenants.is_held(tenant)
        };
        let cut = Cut {
            before,
            limit,
            bytes: PAGE_BYTES,
            since: self.since(page),
            shows: &shows,
        };
        if page.offset == 0 {
            return find(conn, page.scope, &page.filter, cut).await;
        }
        let limit = page.offset;
        let left_out: Vec<Place> =
            find(conn, page.scope, &page.filter, Cut { limit, ..cut }).await?;
        match left_out.last() {
            Some(last) if left_out.len() == limit => {
                let before = Some(last.place(page.scope));
                find(conn, page.scope, &page.filter, Cut { before, ..cut }).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// One event of a log, by its id or index.
    pub(crate) async fn event(&self, tenant: TenantId, name: &str) -> Result<Reading, Error> {
        let mut tx = self.store.read(tenant).await?;
        let row = self.row(tx.conn(), tenant, name).await?;
        Reading::of(row.ok_or(Error::EventNotFound)?)
    }

    /// The row of an event that is shown, by its id or index.
    pub(super) async fn row(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Row>, Error> {
        let since = self.visible_since(Scope::Log(tenant));
        let row = match name.parse::<i64>() {
            Ok(index) => {
                events::steady_plans(&mut *conn).await?;
                let rows = events::from(conn, tenant, index, since, 1).await?;
                rows.into_iter().find(|row| row.index == index)
            }
            Err(_) => {
                let filter = Filter {
                    terms: vec![Fact::Event.term(name)],
                    ..Filter::default()
                };
                let cut = Cut {
                    before: None,
                    limit: 1,
                    bytes: PAGE_BYTES,
                    since,
                    shows: &|_, _| true,
                };
                let rows = find::<Row>(conn, Scope::Log(tenant), &filter, cut).await?;
                rows.into_iter().next()
            }
        };
        Ok(row)
    }

    /// Since when a page shows events. What is kept beyond a plan for the sake of a legal hold is there for operators.
    fn since(&self, page: &Page) -> jiff::Timestamp {
        match page.scope {
            Scope::Log(tenant) if page.by_operator && self.tenants.is_held(tenant) => {
                jiff::Timestamp::UNIX_EPOCH
            }
            scope => self.visible_since(scope),
        }
    }

    /// Since when events are shown: as long as the tenant's plan keeps them; those of no tenant as long as any.
    pub(super) fn visible_since(&self, scope: Scope) -> jiff::Timestamp {
        let days = match scope {
            Scope::Log(tenant) => self.retention_days(tenant),
            Scope::All => LONGEST,
        };
        visible_since(clock::now(), days)
    }

    /// How long a tenant's plan keeps events; for one that nobody knows any more as long as any.
    fn retention_days(&self, tenant: TenantId) -> i32 {
        self.tenants.retention_days(tenant).unwrap_or(LONGEST)
    }
}
