//! Which replica served what, by the replicas' own metrics.

use anyhow::Result;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest;

/// How many requests of a method each replica has served, as its own metrics tell.
pub async fn served(fleet: &Fleet, service: &str, method: &str) -> Result<Vec<u64>> {
    let mut counts = Vec::new();
    for replica in fleet.replicas(service) {
        let text = rest::get_text(&format!("http://{}/metrics", replica.metrics())).await?;
        let lines = text
            .lines()
            .filter(|l| l.starts_with("tenantry_rpc_requests_total") && l.contains(method));
        counts.push(
            lines
                .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
                .sum::<f64>() as u64,
        );
    }
    Ok(counts)
}

/// Shows that every replica served a part.
pub async fn shared(fleet: &Fleet, service: &str, method: &str, before: &[u64]) -> Result<()> {
    let after = served(fleet, service, method).await?;
    let parts: Vec<u64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    println!("{method}: served by the replicas of {service}: {parts:?}");
    assert!(
        parts.iter().all(|part| *part > 0),
        "each replica serves a part: {parts:?}"
    );
    Ok(())
}
