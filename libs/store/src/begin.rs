//! Beginning a transaction: whole, or not at all.

use std::pin::Pin;
use std::task::{Context, Poll};

use sqlx::{AssertSqlSafe, PgPool, Postgres, SqlSafeStr as _, Transaction};
use tokio::runtime::Handle;

type Begun = Result<Transaction<'static, Postgres>, sqlx::Error>;

/// Begins a transaction by this statement, on a connection of its own.
pub(crate) async fn begin(pool: &PgPool, statement: String) -> Begun {
    let connection = pool.acquire().await?;
    let statement = AssertSqlSafe(statement).into_sql_str();
    let beginning = Transaction::begin(connection, Some(statement));
    Beginning(Some(beginning)).await
}

/// A transaction that is just beginning. Where its caller goes away meanwhile, it is begun all the same, and rolled back: stopped
/// in the middle, the driver would give its connection to the next one without knowing that a transaction is open there, whose
/// mode and time limits that one would have.
struct Beginning(Option<Pin<Box<dyn Future<Output = Begun> + Send>>>);

impl Future for Beginning {
    type Output = Begun;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Begun> {
        let beginning = self.0.as_mut().expect("it wasn't done before");
        let begun = beginning.as_mut().poll(cx);
        if begun.is_ready() {
            self.0 = None;
        }
        begun
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        // One answer of the database away from its end: nobody needs to wait for it, at the end of the process neither.
        if let Some(beginning) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async { drop(beginning.await) });
        }
    }
}
