//! The subcommand that prints a one-time token for the first operator.

use anyhow::Context as _;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::domain::secret;
use crate::store;

/// How long a token is valid.
const VALID_MINUTES: i32 = 60;
const TOKEN_BYTES: usize = 32;

/// Makes a token, stores its hash and prints it: the one time that it is seen.
pub(crate) async fn print_token(platform: &PgConnectOptions) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect_with(platform)
        .await
        .context("can't reach the database; check TENANTRY_PLATFORM_DATABASE_URL")?;
    let token = format!("tb_{}", secret::random::<TOKEN_BYTES>());
    store::bootstrap::insert(&mut conn, &secret::hash(&token), VALID_MINUTES)
        .await
        .context("can't store the token; run `identity migrate` first")?;
    conn.close().await?;
    println!("{token}");
    Ok(())
}
