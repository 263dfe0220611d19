//! Go's own implementation of notes and trees (`tests/independent`) believes what the API gives out.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tenantry_proto::audit::v1::GetFleetCheckpointRequest;

use crate::support::{World, operator};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/independent");

/// Whether the program believes it all, and what it says.
fn ask(said: &Value) -> (bool, String) {
    let child = Command::new("go")
        .args(["run", "."])
        .current_dir(PROGRAM)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!("install Go (https://go.dev/dl/, 1.26 or later) and have `go` on the PATH; this test checks proofs with Go's own libraries: {error}")
    });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(said.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn go_believes_the_checkpoints_and_proofs_of_a_log_and_of_the_fleets() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let (mut checkpoints, mut sizes, mut fleet_indexes) = (Vec::new(), Vec::new(), Vec::new());
    for (first, count) in [(1, 3), (4, 253), (257, 1), (258, 343)] {
        world.fill(tenant, first, count).await;
        let signed = world.all_signed(tenant).await;
        checkpoints.push(signed.checkpoint);
        sizes.push(signed.tree_size as u64);
        fleet_indexes.push(signed.fleet_index.unwrap());
    }
    let newest = checkpoints.len() - 1;
    let (mut inclusions, mut consistencies) = (Vec::new(), Vec::new());
    for (place, size) in sizes.iter().enumerate() {
        for event in [0, 2, 255, 256, 599]
            .into_iter()
            .filter(|event| event < size)
        {
            let proof = world
                .proof(tenant, &event.to_string(), *size, 0)
                .await
                .unwrap();
            inclusions.push(json!({
                "checkpoint": place, "index": event, "leaf": proof.leaf, "proof": proof.inclusion,
            }));
        }
        let proof = world.proof(tenant, "", 0, *size).await.unwrap();
        consistencies.push(json!({"from": place, "to": newest, "proof": proof.consistency}));
    }
    // The log of the fleet: every checkpoint of above is a leaf of it.
    let entries = world.entries().await;
    let signed = world.all_signed(tenant).await;
    checkpoints.push(signed.fleet_checkpoint);
    let fleet = checkpoints.len() - 1;
    let index = signed.fleet_index.unwrap();
    inclusions.push(json!({
        "checkpoint": fleet, "index": index, "leaf": entries[index as usize], "proof": signed.fleet_inclusion,
    }));
    let other = world.registry.add("other", 365, None);
    world.fill(other, 1, 2).await;
    world.signed(other).await;
    let request = GetFleetCheckpointRequest {
        from_size: entries.len() as i64,
    };
    let later = world.logs(&operator()).get_fleet_checkpoint(request).await;
    let later = later.unwrap().into_inner();
    checkpoints.push(later.checkpoint);
    consistencies.push(json!({"from": fleet, "to": fleet + 1, "proof": later.consistency}));
    let said = json!({
        "vkey": world.vkeys()[0], "checkpoints": checkpoints, "inclusions": inclusions, "consistencies": consistencies,
    });
    let (believed, text) = ask(&said);
    assert!(believed, "{text}");
    for (list, word) in [
        ("checkpoints", "checkpoint "),
        ("inclusions", "inclusion "),
        ("consistencies", "consistency "),
    ] {
        let lines = text.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!(lines, said[list].as_array().unwrap().len(), "{text}");
    }
    let mut wrong = said.clone();
    wrong["inclusions"][0]["index"] = json!(1);
    assert!(!ask(&wrong).0);
}
