//! Do a million tenants and a hundred thousand keys slow the gateway's questions down? Identity's Check, warm, with few of
//! both and with many, in turn; and the memory that identity takes for them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tenantry_bench::drive::Target;
use tenantry_bench::side::{Side, compare, memory_mib};
use tenantry_bench::{figures, load, question};
use tenantry_testkit::fleet::Fleet;

const FEW: (i64, i64) = (1_000, 1_000);
const MANY: (i64, i64) = (1_000_000, 100_000);
const CREDENTIALS: usize = 1_000;
const IN_FLIGHT: [usize; 2] = [8, 64];
const REQUESTS: usize = 20_000;
const ROUNDS: usize = 7;
/// Longest wait for identity to know all tenants.
const KNOWN_WITHIN: Duration = Duration::from_secs(120);
/// Longer than a looked-up tenant is given to others who ask.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Memory that identity may take with many.
const MOST_MIB: f64 = 1_536.0;

/// A fleet with so many tenants and keys, and the secrets of its keys.
async fn start((tenants, keys): (i64, i64)) -> Result<(Fleet, Vec<String>)> {
    let fleet = load::fleet().await?;
    let began = Instant::now();
    load::tenants(&fleet, tenants, 0).await?;
    let secrets = load::keys(&fleet, keys, tenants).await?;
    let loaded = began.elapsed();
    let identity = fleet.service("identity", 0);
    let began = Instant::now();
    identity.unit().restart().await?;
    // While it doesn't know all tenants, it looks up each that it is asked about.
    let check = Target::connect(identity.address(), question::CHECK, question::is_admitted).await?;
    let ask = &question::asks(&secrets[..1], &fleet.keys().gateway_word())[0];
    loop {
        let before = lookups(&fleet).await?;
        check.once(ask).await?;
        if lookups(&fleet).await? == before {
            break;
        }
        ensure!(
            began.elapsed() < KNOWN_WITHIN,
            "identity doesn't hear of the tenants"
        );
        tokio::time::sleep(ASK_EVERY).await;
    }
    println!(
        "{tenants} tenants and {keys} keys: loaded in {:.1} s; identity serves {:.1} s after its start",
        loaded.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    Ok((fleet, secrets))
}

/// How many tenants registry has looked up for others.
async fn lookups(fleet: &Fleet) -> Result<String> {
    let metrics = format!("http://{}/metrics", fleet.service("registry", 0).metrics());
    let metrics = tenantry_testkit::rest::get_text(&metrics).await?;
    let line = metrics.lines().find(|line| {
        line.starts_with("tenantry_rpc_requests_total") && line.contains("/LookupTenant")
    });
    Ok(line.unwrap_or_default().to_owned())
}

async fn side<'a>(fleet: &'a Fleet, secrets: &[String]) -> Result<Side<'a>> {
    let identity = fleet.service("identity", 0);
    Ok(Side {
        target: Target::connect(identity.address(), question::CHECK, question::is_admitted).await?,
        asks: question::asks(secrets, &fleet.keys().gateway_word()),
        unit: identity.unit(),
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let (small, few_keys) = start(FEW).await?;
    let (large, many_keys) = start(MANY).await?;
    let few = side(&small, &few_keys[..CREDENTIALS]).await?;
    let many = side(&large, &many_keys[..CREDENTIALS]).await?;
    println!(
        "\nidentity's memory with the tenants alone: {:.0} MiB",
        memory_mib(many.unit, "VmRSS")?
    );
    compare([&few, &many], 8, CREDENTIALS, 2).await?;
    figures::head("Check, warm", "few", "many");
    for in_flight in IN_FLIGHT {
        let measured = compare([&few, &many], in_flight, REQUESTS, ROUNDS).await?;
        figures::all(in_flight, &measured);
    }

    let all = side(&large, &many_keys).await?;
    let cold = all.target.round(&all.asks, 64, many_keys.len()).await?;
    let warm = all.target.round(&all.asks, 64, many_keys.len()).await?;
    println!(
        "\neach of all keys once, 64 in flight: {:.0}/s read from the database, then {:.0}/s warm",
        cold.per_second(),
        warm.per_second()
    );
    let (now, peak) = (
        memory_mib(many.unit, "VmRSS")?,
        memory_mib(many.unit, "VmHWM")?,
    );
    println!("identity's memory with all keys in use: {now:.0} MiB, at most {peak:.0} MiB");
    ensure!(peak < MOST_MIB, "more than {MOST_MIB:.0} MiB");
    small.stop().await?;
    large.stop().await
}
