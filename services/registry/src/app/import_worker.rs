//! Works imports off, row by row. Any replica takes up an import that is due; one that dies in the middle leaves it to the
//! others. A row's tenant and the word that it was made are one transaction, so it is made once, whoever else tries.

use std::time::Duration;

use tenantry_core::{Reason, Refusal, TenantId, TenantImportId, clock};
use tenantry_rpc::Tasks;
use tenantry_store::{Error as StoreError, TenantTx};

use super::imports::end;
use super::{App, contained};
use crate::domain::import::{Decision, Import};
use crate::domain::purge::pause;
use crate::error::Error;
use crate::store::{import_rows, imports};

/// How often imports are looked for that another replica left, or that come due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after its last row an import is a replica's own before others take it up. Each row is safe without it: it only
/// keeps two replicas from waiting for each other.
const LEASE: Duration = Duration::from_secs(5);
/// Most rows that are decided before other imports have their turn.
const ROWS_PER_TURN: usize = 200;
/// Turns in a row that failed before a fault decides about the row that meets it: some minutes, by their pauses. A fault of ours
/// says nothing of the row and may well be over by then, but it must not keep the other rows back for good. A database that
/// is away counts as a turn that failed, and decides about none.
const FAULTS_OF_ONE_ROW: i32 = 10;
/// How long an import is kept after its end, with what its file said.
const KEPT_DAYS: i32 = 30;
/// Most imports that one look removes.
const SWEPT_AT_ONCE: i64 = 10;

/// Whether an import goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Decided,
    Ended,
}

impl App {
    /// Works imports off until cancelled, and removes those that ended long ago. While the database doesn't answer, it goes on
    /// trying.
    pub(crate) async fn work_imports_off(self, tasks: Tasks) {
        let work = async {
            loop {
                if let Err(error) = self.sweep_imports().await {
                    tracing::warn!(error = %error, "old imports can't be removed");
                }
                loop {
                    match self.take_an_import().await {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error) => {
                            tracing::warn!(error = %error, "imports can't be worked off");
                            break;
                        }
                    }
                }
                tokio::select! {
                    () = self.import_started.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        };
        tokio::select! {
            () = tasks.cancelled() => {}
            () = work => {}
        }
    }

    async fn sweep_imports(&self) -> Result<(), Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        imports::sweep(tx.conn(), KEPT_DAYS, SWEPT_AT_ONCE).await?;
        Ok(tx.commit().await?)
    }

    /// Takes up one import, if one is due, for one turn.
    async fn take_an_import(&self) -> Result<bool, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let Some((import, failures)) = imports::take(tx.conn(), LEASE).await? else {
            return Ok(false);
        };
        tx.commit().await?;
        let brought = contained("imports", self.bring_import_on(import.id, failures));
        let (failed, rest) = match brought.await {
            Ok(Step::Ended) => return Ok(true),
            Ok(Step::Decided) => (false, Duration::ZERO),
            Err(error) => {
                tracing::warn!(import.id = %import.id, error = %error, "an import has to wait");
                (true, pause(failures).unsigned_abs())
            }
        };
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        imports::put_back(tx.conn(), import.id, failed, rest).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Decides about some rows. So many turns in a row came to nothing before.
    async fn bring_import_on(&self, id: TenantImportId, mut failures: i32) -> Result<Step, Error> {
        for _ in 0..ROWS_PER_TURN {
            if self.decide_next_row(id, failures).await? == Step::Ended {
                return Ok(Step::Ended);
            }
            failures = 0;
        }
        Ok(Step::Decided)
    }

    /// Decides about the next row, or ends the import after its last one.
    async fn decide_next_row(&self, id: TenantImportId, failures: i32) -> Result<Step, Error> {
        let Some((mut tx, import)) = self.hold_import(id).await? else {
            return Ok(Step::Ended);
        };
        let Some((row, draft)) = import_rows::next(tx.conn(), id).await? else {
            return finish(tx, &import).await;
        };
        let decided = contained("imports", self.decide_row(&mut tx, &import, draft)).await;
        let decision = match decided {
            Ok(decision) if !import.dry_run => {
                tx.turn_to(TenantId::PLATFORM).await?;
                import_rows::decide(tx.conn(), id, row, &decision, LEASE).await?;
                tx.commit().await?;
                return Ok(Step::Decided);
            }
            Ok(decision) => decision,
            // It says nothing of the row, which has its turn again.
            Err(Error::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
            Err(error) => {
                let refusal = Refusal::from(error);
                if refusal.reason == Reason::Internal && failures < FAULTS_OF_ONE_ROW {
                    return Err(refusal.into());
                }
                Decision::Refused(refusal.into())
            }
        };
        // Nothing stays of what was tried; what it showed does.
        drop(tx);
        let Some((mut tx, _)) = self.hold_import(id).await? else {
            return Ok(Step::Ended);
        };
        import_rows::decide(tx.conn(), id, row, &decision, LEASE).await?;
        tx.commit().await?;
        Ok(Step::Decided)
    }

    /// The import, locked, unless it has ended.
    async fn hold_import(&self, id: TenantImportId) -> Result<Option<(TenantTx, Import)>, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        let import = imports::lock(tx.conn(), id).await?;
        let running = import.filter(|import| import.finished_at.is_none());
        Ok(running.map(|import| (tx, import)))
    }
}

async fn finish(mut tx: TenantTx, import: &Import) -> Result<Step, Error> {
    if let Some(finished) = import.finish(clock::now()) {
        let starter = import.starter();
        end(
            &mut tx,
            &starter,
            "tenant_import.finished",
            import,
            &finished,
        )
        .await?;
        tx.commit().await?;
        tracing::info!(import.id = %import.id, state = %finished.state, "an import has ended");
    }
    Ok(Step::Ended)
}
