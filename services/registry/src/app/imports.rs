//! Imports: started with a file that was read, watched, and cancelled. They belong to the platform, as those who start them.

use tenantry_core::event::Event;
use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId, TenantImportId, clock};
use tenantry_store::TenantTx;

use super::App;
use super::event::event;
use crate::domain::import::{Format, Import, MAX_UNDER_WAY, NewRow, Outcome, Row};
use crate::error::Error;
use crate::store::{import_rows, imports, projects};

/// A file to import.
#[derive(Debug)]
pub(crate) struct NewImport {
    pub(crate) project: String,
    pub(crate) format: Format,
    pub(crate) dry_run: bool,
    pub(crate) rows: Vec<NewRow>,
}

impl App {
    /// Starts an import. What becomes of its rows is decided later.
    pub(crate) async fn start_import(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        new: NewImport,
    ) -> Result<Import, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Import>(key).await? {
            return Ok(replay.answer);
        }
        if !projects::exists(tx.conn(), &new.project).await? {
            return Err(Error::ProjectNotFound);
        }
        if imports::under_way(tx.conn()).await? >= MAX_UNDER_WAY {
            return Err(Error::TooManyImports);
        }
        let (format, dry_run, now) = (new.format, new.dry_run, clock::now());
        let import = Import::new(ctx, new.project, format, dry_run, &new.rows, now);
        let scope = tx.scope().uuid();
        imports::insert(tx.conn(), scope, &import).await?;
        import_rows::insert(tx.conn(), scope, import.id, &new.rows).await?;
        let event = started_or_ended(ctx, "tenant_import.started", None, &import)?;
        tx.record(&event).await?;
        tx.finish(key, &import).await?;
        self.import_started.notify_one();
        Ok(import)
    }

    /// One import, as far as it is.
    pub(crate) async fn import(&self, id: TenantImportId) -> Result<Import, Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let import = imports::find(tx.conn(), id).await?;
        import.ok_or(Error::ImportNotFound)
    }

    /// One page of imports, the newest first.
    pub(crate) async fn imports(
        &self,
        tokens: &PageTokens<'_>,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Import>, Error> {
        let before = tokens.read(page_token)?;
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let page = imports::page(tx.conn(), before, i64::from(size) + 1).await?;
        Ok(Page::cut(page, size, |import| tokens.write(&import.id)))
    }

    /// One page of the rows of an import, and whether it makes no tenants.
    pub(crate) async fn import_rows(
        &self,
        id: TenantImportId,
        outcome: Option<Outcome>,
        tokens: &PageTokens<'_>,
        size: u32,
        page_token: &str,
    ) -> Result<(Page<Row>, bool), Error> {
        let after = tokens.read(page_token)?.unwrap_or_default();
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let import = imports::find(tx.conn(), id).await?;
        let dry_run = import.ok_or(Error::ImportNotFound)?.dry_run;
        let page = import_rows::page(tx.conn(), id, outcome, after, i64::from(size) + 1).await?;
        let page = Page::cut(page, size, |row| tokens.write(&row.number));
        Ok((page, dry_run))
    }

    /// Ends an import before its last row. It is locked by whoever decides about a row, so none is under way then.
    pub(crate) async fn cancel_import(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        id: TenantImportId,
    ) -> Result<Import, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Import>(key).await? {
            return Ok(replay.answer);
        }
        let before = imports::lock(tx.conn(), id)
            .await?
            .ok_or(Error::ImportNotFound)?;
        let after = match before.cancel(clock::now()) {
            None => before,
            Some(cancelled) => {
                end(&mut tx, ctx, "tenant_import.cancelled", &before, &cancelled).await?;
                cancelled
            }
        };
        tx.finish(key, &after).await?;
        Ok(after)
    }
}

/// Writes the end of an import that the transaction holds locked, and its event.
pub(super) async fn end(
    tx: &mut TenantTx,
    ctx: &RequestContext,
    action: &str,
    before: &Import,
    after: &Import,
) -> Result<(), Error> {
    imports::end(tx.conn(), after).await?;
    let event = started_or_ended(ctx, action, Some(before), after)?;
    Ok(tx.record(&event).await?)
}

fn started_or_ended(
    ctx: &RequestContext,
    action: &str,
    before: Option<&Import>,
    after: &Import,
) -> Result<Event, Error> {
    let kind = ("tenant_import", after.id.uuid());
    event(ctx, action, kind, before, Some(after))
}
