//! Transactions. The tenant is set for the transaction alone, so that a pooled connection, or one of PgBouncer in
//! transaction mode, carries nothing into the next.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tenantry_core::TenantId;
use tenantry_core::seal::Sealer;

use crate::begin;
use crate::error::Error;

/// Longest a statement runs before the database ends it: no lock or plan holds a connection longer. It is set for the
/// transaction, because a pooler in transaction mode takes no settings with the connection.
const STATEMENT_TIMEOUT_MS: u32 = 20_000;

/// Longest a transaction may stand still: a process that is frozen, or cut off, lets go of its locks then. Longer than the relay
/// waits for the log.
const IDLE_TIMEOUT_MS: u32 = 30_000;

/// What a transaction may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    ReadOnly,
    ReadWrite,
}

impl Mode {
    const fn sql(self) -> &'static str {
        match self {
            Self::ReadOnly => "READ ONLY",
            Self::ReadWrite => "READ WRITE",
        }
    }
}

/// What becomes of prepared statements between transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Statements {
    /// The connection keeps them.
    Kept,
    /// Each transaction begins without any. The driver names its statements also where it keeps none, and never takes
    /// them back: behind a pooler that hands one server connection around, two clients' names would meet.
    Forgotten,
}

impl Statements {
    const fn forget(self) -> &'static str {
        match self {
            Self::Kept => "",
            Self::Forgotten => "DEALLOCATE ALL; ",
        }
    }
}

/// A transaction that sees the rows of one tenant. Dropped, it is rolled back.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    began_in: TenantId,
    scope: TenantId,
    /// The one other tenant that this transaction may turn to.
    partner: Option<TenantId>,
    pub(crate) sealer: Sealer,
    /// Whether an event was written.
    pub(crate) recorded: bool,
}

impl TenantTx {
    pub(crate) async fn begin(
        pool: &PgPool,
        scope: TenantId,
        sealer: Sealer,
        mode: Mode,
        statements: Statements,
    ) -> Result<Self, Error> {
        // One round trip. The id is a UUID, so it needs no quoting rules.
        let (mode, forget) = (mode.sql(), statements.forget());
        let begin = format!(
            "BEGIN {mode}; {forget}SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; \
             SET LOCAL idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}; SELECT set_config('tenantry.tenant_id', '{scope}', true)"
        );
        let tx = begin::begin(pool, begin).await?;
        Ok(Self {
            tx,
            began_in: scope,
            scope,
            partner: None,
            sealer,
            recorded: false,
        })
    }

    /// Lets the transaction turn to one other tenant.
    pub(crate) const fn with_partner(mut self, partner: TenantId) -> Self {
        self.partner = Some(partner);
        self
    }

    /// The tenant whose rows this transaction sees.
    #[must_use]
    pub const fn scope(&self) -> TenantId {
        self.scope
    }

    /// The connection, for the service's own statements.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Goes on in the scope of a tenant that this very transaction creates. There is no way to an existing one.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn enter_new(&mut self, created: TenantId) -> Result<(), Error> {
        set_scope(&mut self.tx, created).await?;
        self.scope = created;
        Ok(())
    }

    /// Goes on in another scope: for the outbox, and for the other tenant of a transaction over two.
    pub(crate) async fn go_to(&mut self, scope: TenantId) -> Result<(), Error> {
        if self.scope != scope {
            set_scope(&mut self.tx, scope).await?;
            self.scope = scope;
        }
        Ok(())
    }

    /// Goes on in the scope of the other tenant of a transaction over two, or back in that of the first.
    ///
    /// # Errors
    /// [`Error::Scope`] for any further tenant; or the database doesn't answer.
    pub async fn turn_to(&mut self, tenant: TenantId) -> Result<(), Error> {
        if tenant != self.began_in && Some(tenant) != self.partner {
            return Err(Error::Scope);
        }
        self.go_to(tenant).await
    }

    /// Returns to the scope that the transaction began in, where its request id was claimed.
    pub(crate) async fn leave_new(&mut self) -> Result<TenantId, Error> {
        self.go_to(self.began_in).await?;
        Ok(self.scope)
    }

    /// Commits. After an error it isn't known whether the changes are there: the same request id finds out.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }
}

async fn set_scope(conn: &mut PgConnection, scope: TenantId) -> Result<(), Error> {
    sqlx::query!(
        "SELECT set_config('tenantry.tenant_id', $1, true) AS scope",
        scope.to_string()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// A transaction that sees the rows of every tenant. Only for the feed, for look-ups before the tenant is known, and
/// for what operators list; a test holds the list of its call sites.
#[derive(Debug)]
pub struct PlatformTx {
    tx: Transaction<'static, Postgres>,
}

impl PlatformTx {
    pub(crate) async fn begin(pool: &PgPool, statements: Statements) -> Result<Self, Error> {
        let forget = statements.forget();
        let begin = format!(
            "BEGIN; {forget}SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; \
             SET LOCAL idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}"
        );
        Ok(Self {
            tx: begin::begin(pool, begin).await?,
        })
    }

    /// The connection, for the service's own statements.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Commits.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }
}
