//! What does the gateway's question cost? Identity's Check, warm, against an RPC that takes the same questions and gives one
//! of the same answers without doing anything for it, in turn; and what Check asks the database.

use std::collections::BTreeMap;

use anyhow::Result;
use tenantry_bench::drive::Target;
use tenantry_bench::side::{Side, compare, noop};
use tenantry_bench::{figures, load, question};
use tenantry_testkit::statements::Statements;

const TENANTS: i64 = 1_000;
/// Credentials, half of them keys, half access tokens.
const CREDENTIALS: i64 = 1_000;
const IN_FLIGHT: [usize; 2] = [8, 64];
const REQUESTS: usize = 20_000;
const ROUNDS: usize = 7;
/// Checks over which the database's statements are counted.
const COUNTED: usize = 10_000;

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = load::fleet().await?;
    load::tenants(&fleet, TENANTS, 0).await?;
    let mut credentials = load::keys(&fleet, CREDENTIALS / 2, TENANTS).await?;
    credentials.extend(load::sessions(&fleet, CREDENTIALS / 2, TENANTS).await?);
    let identity = fleet.service("identity", 0);
    // It learns the tenants by its list at the start.
    identity.unit().restart().await?;
    let asks = question::asks(&credentials, &fleet.keys().gateway_word());
    let check = Side {
        target: Target::connect(identity.address(), question::CHECK, question::is_admitted).await?,
        asks: asks.clone(),
        unit: identity.unit(),
    };
    let answer = check.target.once(&asks[0]).await?;
    let (noop, noop_address) = noop(&answer).await?;
    let nothing = Side {
        target: Target::connect(noop_address, question::CHECK, question::is_admitted).await?,
        asks: asks.clone(),
        unit: &noop,
    };
    compare([&nothing, &check], 8, REQUESTS, 1).await?;

    figures::head("Check, warm", "no-op", "Check");
    for in_flight in IN_FLIGHT {
        let measured = compare([&nothing, &check], in_flight, REQUESTS, ROUNDS).await?;
        figures::all(in_flight, &measured);
    }

    let mut connection = load::superuser(&fleet).await?;
    check.target.round(&asks, 8, credentials.len()).await?;
    let start = Statements::of("identity", &mut connection).await?;
    let round = check.target.round(&asks, 8, COUNTED).await?;
    let end = Statements::of("identity", &mut connection).await?;
    tokio::time::sleep(round.took).await;
    let idle = Statements::of("identity", &mut connection).await?;
    println!(
        "\nstatements by identity's roles over {COUNTED} checks of {CREDENTIALS} credentials ({:.0} ms), and idle as long:",
        round.took.as_secs_f64() * 1e3
    );
    let idle: BTreeMap<_, _> = idle.since(&end).into_iter().collect();
    for (query, counts) in end.since(&start) {
        let idle = idle.get(query).map_or(0, |counts| counts.calls);
        let beginning: String = query.chars().take(90).collect();
        println!("{:>6} {idle:>6}  {beginning}", counts.calls);
    }
    noop.stop().await?;
    fleet.stop().await
}
