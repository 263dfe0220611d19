//! What was used, read through the gateway.

use anyhow::Result;
use serde_json::json;

use crate::support::fleet;
use crate::support::world::{Party, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_used_is_in_the_log_the_export_and_the_series() -> Result<()> {
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    let (owner, own) = (party.rest(fleet)?, format!("/api/v1/tenants/{}", party.id));
    for amount in [2, 3] {
        let used = json!({"resource_type": "alerts", "amount": amount, "description": "=1+1"});
        owner
            .post(&format!("{own}/usage/increment"), used)
            .await?
            .ok()?;
    }
    let listed = owner
        .get(&format!("{own}/usage-logs?filter=resource_type%3Dalerts"))
        .await?
        .ok()?;
    let amounts: Vec<_> = listed["usage_logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| text(line, "amount"))
        .collect();
    assert_eq!(amounts, ["3", "2"]);
    let answer = owner.stream(&format!("{own}/usage-logs:export")).await?;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let export = answer.text().await?;
    let records: Vec<_> = export.split("\r\n").collect();
    assert!(
        records[0].starts_with("id,line,resource_type,amount"),
        "{export}"
    );
    assert!(
        records[1].contains(",alerts,3,used,user,") && records[1].contains(",'=1+1,"),
        "{export}"
    );
    let end = records
        .iter()
        .rev()
        .find(|record| !record.is_empty())
        .unwrap();
    assert!(
        end.starts_with("end,") && end.contains("COMPLETE"),
        "{export}"
    );
    let series = owner
        .get(&format!(
            "{own}/usage-series?resource_type=alerts&interval=day"
        ))
        .await?
        .ok()?;
    let points = series["points"].as_array().unwrap();
    assert!(points.len() >= 30, "{series}");
    let sum: i64 = points
        .iter()
        .map(|point| text(point, "amount").parse::<i64>().unwrap())
        .sum();
    assert_eq!(sum, 5);
    // An organization is the same tenant.
    let usage = owner.get(&format!("{own}/usage")).await?.ok()?;
    let alias = owner
        .get(&format!("/api/v1/organizations/{}/usage", party.id))
        .await?
        .ok()?;
    assert_eq!(usage, alias);
    assert_eq!(
        usage["daily_active_users"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()["count"],
        1
    );
    assert_eq!(
        text(&usage["resource_consumption"]["alerts"], "current"),
        "5"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_tenants_come_to_is_for_operators() -> Result<()> {
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    for path in ["health-summary", "metrics"] {
        let path = format!("/api/v1/tenants/{path}");
        let refused = party.rest(fleet)?.get(&path).await?;
        assert_eq!(
            (refused.status, refused.reason().as_str()),
            (403, "PERMISSION_DENIED")
        );
        fleet.operator_rest()?.get(&path).await?.ok()?;
    }
    Ok(())
}
