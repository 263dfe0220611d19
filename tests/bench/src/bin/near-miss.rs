//! Does time tell a key that exists from one that doesn't? Identity's Check of wrong secrets of known keys against secrets of no
//! key, all well-formed and each with its right checksum, in turn.

use anyhow::{Context as _, Result};
use tenantry_bench::drive::Target;
use tenantry_bench::side::{Side, compare};
use tenantry_bench::{figures, load, question};
use uuid::Uuid;

const KEYS: i64 = 1_000;
/// Wrong secrets of each kind: more than identity remembers, and more than it is asked about while it remembers one.
const SECRETS: usize = 20_000;
const IN_FLIGHT: [usize; 2] = [1, 8];
const REQUESTS: usize = SECRETS;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = load::fleet().await?;
    load::tenants(&fleet, KEYS, 0).await?;
    let keys = load::keys(&fleet, KEYS, KEYS).await?;
    let identity = fleet.service("identity", 0);
    let known = keys.iter().map(|key| id_of(key));
    let known: Vec<Uuid> = known.collect::<Result<_>>()?;
    let near: Vec<String> = known
        .iter()
        .cycle()
        .take(SECRETS)
        .map(load::secret)
        .collect();
    let random: Vec<String> = (0..SECRETS)
        .map(|_| load::secret(&load::random_id()))
        .collect();
    let side = async |secrets: &[String]| {
        let address = identity.address();
        let target = Target::connect(address, question::CHECK, question::is_denied).await?;
        let asks = question::asks(secrets, &fleet.keys().gateway_word());
        let unit = identity.unit();
        anyhow::Ok(Side { target, asks, unit })
    };
    let (random, near) = (side(&random).await?, side(&near).await?);
    compare([&random, &near], 8, REQUESTS, 1).await?;
    figures::head("Check, wrong secret", "of no key", "of a key");
    for in_flight in IN_FLIGHT {
        let measured = compare([&random, &near], in_flight, REQUESTS, ROUNDS).await?;
        figures::all(in_flight, &measured);
    }
    fleet.stop().await
}

/// The id that a secret names.
fn id_of(secret: &str) -> Result<Uuid> {
    let id = secret.split('_').nth(1).context("a secret names its key")?;
    Ok(Uuid::try_parse(id)?)
}
