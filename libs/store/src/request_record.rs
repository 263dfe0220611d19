//! Request ids: the first answer is kept in the change's transaction and given again to every repetition.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenantry_core::request_id::RequestKey;

use crate::error::Error;
use crate::pool::Store;
use crate::tx::{PlatformTx, TenantTx};

/// How long a sealed secret of an answer can be had again, in minutes.
const SECRET_MINUTES: i32 = 10;
/// How long an answer is kept, in hours.
const RECORD_HOURS: i32 = 24;
/// Most records that one sweep removes, so that it never holds a long transaction.
const SWEEP_ROWS: i64 = 10_000;

/// The first answer to a repeated request.
#[derive(Clone, Debug)]
pub struct Replay<T> {
    /// The answer, without its secret.
    pub answer: T,
    /// The secret, while it can be had.
    pub secret: Option<String>,
}

impl TenantTx {
    /// Claims a request id in this transaction's scope, or returns the answer that it had before. Waits for a
    /// transaction that is just claiming the same. Call it first, after the caller is authorised.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`] where the body was another.
    pub async fn claim<T: DeserializeOwned>(
        &mut self,
        key: Option<&RequestKey>,
    ) -> Result<Option<Replay<T>>, Error> {
        let Some(key) = key else { return Ok(None) };
        let scope = self.scope();
        // Keyed, because a body may hold a password: whoever reads the record can't try guesses against it.
        let digest = self.sealer.fingerprint(&key.digest);
        let claimed = sqlx::query!(
            "INSERT INTO request_record (tenant_id, principal, method, request_id, digest) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            scope.uuid(),
            key.principal,
            key.method,
            key.request_id,
            &digest[..],
        )
        .execute(self.conn())
        .await?
        .rows_affected();
        if claimed == 1 {
            return Ok(None);
        }
        let row = sqlx::query!(
            r#"SELECT digest, answer AS "answer: serde_json::Value",
                      CASE WHEN sealed_until > clock_timestamp() THEN sealed END AS sealed
               FROM request_record
               WHERE tenant_id = $1 AND principal = $2 AND method = $3 AND request_id = $4"#,
            scope.uuid(),
            key.principal,
            key.method,
            key.request_id,
        )
        .fetch_one(self.conn())
        .await?;
        if row.digest != digest {
            return Err(Error::RequestIdReused);
        }
        let secret = row
            .sealed
            .and_then(|sealed| self.sealer.open(&key.associated_data(scope), &sealed).ok())
            .and_then(|plain| String::from_utf8(plain).ok());
        Ok(Some(Replay {
            answer: serde_json::from_value(row.answer.unwrap_or_default())?,
            secret,
        }))
    }

    /// Keeps the answer for repetitions of the request and commits the change.
    ///
    /// # Errors
    /// The database doesn't answer; [`Error::TenantClosed`] where the tenant is being purged.
    pub async fn finish(
        self,
        key: Option<&RequestKey>,
        answer: &(impl Serialize + Sync),
    ) -> Result<(), Error> {
        self.finish_as(key, answer, None).await
    }

    /// [`Self::finish`] for an answer that shows a secret once: it is kept sealed, for ten minutes.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn finish_with_secret(
        self,
        key: Option<&RequestKey>,
        answer: &(impl Serialize + Sync),
        secret: &str,
    ) -> Result<(), Error> {
        self.finish_as(key, answer, Some(secret)).await
    }

    async fn finish_as(
        mut self,
        key: Option<&RequestKey>,
        answer: &(impl Serialize + Sync),
        secret: Option<&str>,
    ) -> Result<(), Error> {
        if let Some(key) = key {
            let scope = self.leave_new().await?;
            if !self.recorded {
                self.still_open().await?;
            }
            let sealed = secret.map(|secret| {
                self.sealer
                    .seal(&key.associated_data(scope), secret.as_bytes())
            });
            sqlx::query!(
                "UPDATE request_record
                 SET answer = $5, sealed = $6, sealed_until = clock_timestamp() + make_interval(mins => $7)
                 WHERE tenant_id = $1 AND principal = $2 AND method = $3 AND request_id = $4",
                scope.uuid(),
                key.principal,
                key.method,
                key.request_id,
                serde_json::to_value(answer)?,
                sealed,
                SECRET_MINUTES,
            )
            .execute(self.conn())
            .await?;
        }
        self.commit().await
    }
}

impl Store {
    /// Removes answers past their time and secrets past theirs; returns how many records went. It goes on until none is
    /// left, in transactions of a bounded size: dropped, it loses the one that runs.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn sweep_request_records(&self) -> Result<u64, Error> {
        let mut gone = 0;
        loop {
            let batch = self.sweep_batch().await?;
            gone += batch;
            if batch < SWEEP_ROWS.unsigned_abs() {
                return Ok(gone);
            }
        }
    }

    async fn sweep_batch(&self) -> Result<u64, Error> {
        let mut tx: PlatformTx = self.platform().await?;
        sqlx::query!("UPDATE request_record SET sealed = NULL WHERE sealed IS NOT NULL AND sealed_until < clock_timestamp()")
            .execute(tx.conn())
            .await?;
        let gone = sqlx::query!(
            "DELETE FROM request_record WHERE (tenant_id, principal, method, request_id) IN (
                 SELECT tenant_id, principal, method, request_id FROM request_record
                 WHERE created_at < clock_timestamp() - make_interval(hours => $1) LIMIT $2)",
            RECORD_HOURS,
            SWEEP_ROWS,
        )
        .execute(tx.conn())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(gone)
    }
}
