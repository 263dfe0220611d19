//! The gateway against its own OpenAPI document: requests that nobody thought of never fail a service (5xx), and each answer
//! is one that the document has. Schemathesis (PyPI) makes them up, alone and in sequences.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tenantry_testkit::fleet::FleetConfig;
use tenantry_testkit::paths;
use tenantry_testkit::process::Command;
use tenantry_testkit::tools::Tool;

use crate::support::world::{Party, text};
use crate::support::{OwnFleet, full};

/// These answer until the caller goes.
const ENDLESS: &[&str] = &["TenantService_WatchTenants", "AuditEventService_TailEvents"];
/// What an operator ends others by: rights, and tenants. The key that asks could be among them.
const ENDS_BY_OPERATORS: &[&str] = &[
    "OperatorService_RevokePlatformApiKey",
    "OperatorService_RotatePlatformApiKey",
    "OperatorService_RemoveOperator",
    "OperatorService_UpdateOperator",
    "TenantService_DeleteTenant",
    "TenantService_PurgeTenant",
];
/// What could end the tenant's key that asks.
const ENDS_OF_KEYS: &[&str] = &["ApiKeyService_RevokeApiKey", "ApiKeyService_RotateApiKey"];
/// What people alone do.
const OF_PEOPLE: &[&str] = &[
    "AuthService_GetCaller",
    "SessionService_ListSessions",
    "InvitationService_AcceptInvitation",
    "MemberService_ListUserMemberships",
];
/// What could end the session that asks.
const ENDS_OF_SESSIONS: &[&str] = &[
    "AuthService_Logout",
    "PasswordService_ChangePassword",
    "SessionService_RevokeSession",
    "SessionService_RevokeSessions",
];

const ONLY: &str = "--include-operation-id";
const EXCEPT: &str = "--exclude-operation-id";

/// One run: as whom, over which operations, for how long.
struct Run<'a> {
    name: &'a str,
    credential: &'a str,
    /// [`ONLY`] or [`EXCEPT`].
    filter: &'a str,
    operations: Vec<&'a str>,
    phases: &'a str,
    seconds: u32,
}

/// The configuration with the values of this fleet.
fn configuration(party: &Party) -> String {
    [
        ("@tenant@", &party.id),
        ("@slug@", &party.slug),
        ("@child@", &party.child),
        ("@owner@", &party.owner),
        ("@member@", &party.member),
        ("@child_member@", &party.child_member),
        ("@key@", &party.key_id),
    ]
    .iter()
    .fold(
        include_str!("schemathesis.toml").to_owned(),
        |text, (name, value)| text.replace(name, value),
    )
}

/// Runs it and returns its report.
async fn report(
    run: &Run<'_>,
    gateway: &str,
    configuration: &Path,
    folder: &Path,
) -> Result<Value> {
    let file = folder.join(format!("{}.json", run.name));
    let command = Command::new(Tool::Schemathesis.find()?, folder.join("log"))
        .args(["--no-color", "--config-file"])
        .arg(configuration)
        .arg("run")
        .arg(paths::repository().join("deploy/openapi.json"))
        .args(["--url", gateway, "--phases", run.phases, "--seed", "1"])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", run.credential),
        ])
        .args(["--max-time", &run.seconds.to_string()])
        .args(run.operations.iter().flat_map(|id| [run.filter, *id]))
        .args(["--report", "json", "--report-json-path"])
        .arg(&file);
    command.output().await.context(run.name.to_owned())?;
    Ok(serde_json::from_str(&fs::read_to_string(&file)?)?)
}

/// How many requests to each operation were taken, by operation.
fn taken(report: &Value) -> BTreeMap<&str, u64> {
    let rates = report["valid_rates"].as_object();
    let rates = rates.into_iter().flatten();
    rates
        .map(|(operation, phases)| {
            let phases = phases.as_object().into_iter().flatten();
            let accepted = phases.filter_map(|(_, counts)| counts["accepted"].as_u64());
            (operation.as_str(), accepted.sum())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_a_service_and_every_answer_is_in_the_document() -> Result<()> {
    let fleet = OwnFleet::start(FleetConfig::replicas(2)).await?;
    let party = Party::create(&fleet).await?;
    let operator = fleet.operator_rest()?;
    let made = operator
        .post(
            "/api/v1/operators/api-keys",
            serde_json::json!({"name": "made up"}),
        )
        .await?
        .ok()?;
    let platform = text(&made, "secret");
    // Each request is one of the tenant's calls, and there are more of them than its plan has.
    let calls = serde_json::json!({"resource_type": "api_calls", "limit": "100000000", "reason": "Made up"});
    let limits = format!("/api/v1/tenants/{}/limits", party.id);
    operator.patch(&limits, calls).await?.ok()?;
    let folder = paths::scratch("schemathesis")?;
    let file = folder.join("schemathesis.toml");
    fs::write(&file, configuration(&party))?;

    let (phases, long) = if full() {
        ("coverage,fuzzing,stateful", 9)
    } else {
        ("coverage", 1)
    };
    let except = |ends: &[&'static str]| [ENDLESS, ends].concat();
    let run = |name, credential, filter, operations, seconds: u32| Run {
        name,
        credential,
        filter,
        operations,
        phases,
        seconds: seconds * long,
    };
    let (own, signed_in) = (party.key.as_str(), party.token.as_str());
    let last = fleet.operator().token.as_str();
    // What may end the others comes last.
    let runs = [
        run("tenant", own, EXCEPT, except(ENDS_OF_KEYS), 10),
        run("person", signed_in, ONLY, OF_PEOPLE.to_vec(), 4),
        run("operator", &platform, EXCEPT, except(ENDS_BY_OPERATORS), 20),
        run("keys", own, ONLY, ENDS_OF_KEYS.to_vec(), 2),
        run("sessions", signed_in, ONLY, ENDS_OF_SESSIONS.to_vec(), 2),
        run("operators", last, ONLY, ENDS_BY_OPERATORS.to_vec(), 4),
    ];
    for each in runs {
        let report = report(&each, &fleet.gateway(), &file, &folder).await?;
        let taken = taken(&report);
        let some = taken.values().filter(|count| **count > 0).count();
        println!(
            "{}: {} requests, {} of {} operations; {some} took some, all others refused all",
            each.name,
            report["test_cases"]["generated"],
            report["operations"]["tested"],
            report["operations"]["selected"],
        );
        for (operation, count) in &taken {
            println!("    {count:6} taken of {operation}");
        }
        // Time ends a run, on a busy machine before it came to all; in the long form it is plenty for the most part.
        let asked = |which: &str| report["operations"][which].as_u64().unwrap_or_default();
        let least = if full() { asked("selected") / 2 } else { 1 };
        assert!(asked("tested") >= least.max(1), "{}", each.name);
        if each.filter == EXCEPT {
            assert!(some > 0, "{}: nothing was taken", each.name);
            let rest = fleet.rest()?.bearer(each.credential);
            assert_eq!(
                rest.get("/api/v1/auth/me").await?.status,
                200,
                "its credential held"
            );
        }
    }
    Ok(())
}
