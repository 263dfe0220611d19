//! Go's own implementation of notes and trees (`tests/independent`) believes what this one makes, and refuses what is wrong.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tenantry_core::{TenantId, random};
use tenantry_transparency::tree::proof_to_text;
use tenantry_transparency::{Frontier, Leaf, Signers, Tiles, TreeHead, origin_of_tenant};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/independent");
/// Around the bounds of tiles and subtrees.
const SIZES: [u64; 10] = [0, 1, 2, 3, 255, 256, 257, 511, 600, 700];

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

#[track_caller]
fn refused(said: &Value, because: &str) {
    let (believed, text) = ask(said);
    assert!(!believed && text.contains(because), "{because:?}: {text}");
}

/// A log of 700 leaves with checkpoints of all sizes, some leaves in each of them, and each size in each larger one.
fn everything() -> Value {
    let signers = Signers::parse(&Signers::generate("log.acme.example", random::bytes()).unwrap());
    let signers = signers.unwrap();
    let origin = origin_of_tenant(signers.name(), TenantId::new());
    let leaves: Vec<Leaf> = (0..700).map(sealed).collect();
    let mut frontier = Frontier::new();
    let growth = frontier.extend(leaves.iter().map(Leaf::hash)).unwrap();
    let tiles: Tiles = growth.tiles.into_iter().collect();
    let heads = SIZES.map(|size| TreeHead {
        size,
        root: tiles.root_at(size, &growth.head).unwrap(),
    });
    let mut inclusions = Vec::new();
    let mut consistencies = Vec::new();
    for (to, head) in heads.iter().enumerate() {
        for index in [0, 1, 100, 254, 255, 256, 599, 699] {
            if index < head.size {
                let proof = tiles.prove_inclusion(head, index).unwrap();
                inclusions.push(json!({
                    "checkpoint": to,
                    "index": index,
                    "leaf": leaves[usize::try_from(index).unwrap()].as_str(),
                    "proof": proof_to_text(&proof),
                }));
            }
        }
        // Go has no proof for the empty tree, which needs none.
        for (from, earlier) in heads.iter().enumerate().take(to + 1).skip(1) {
            let proof = tiles.prove_consistency(earlier.size, head).unwrap();
            consistencies.push(json!({"from": from, "to": to, "proof": proof_to_text(&proof)}));
        }
    }
    json!({
        "vkey": signers.vkeys()[0],
        "checkpoints": heads.map(|head| signers.sign(&origin, &head).unwrap()),
        "inclusions": inclusions,
        "consistencies": consistencies,
    })
}

fn sealed(n: u64) -> Leaf {
    let event = json!({"n": n, "actor": {"email": "\u{e4}da@acme.example"}});
    let personal = ["/actor/email".to_owned()];
    Leaf::seal(event, &personal, random::bytes).unwrap().0
}

#[test]
fn go_believes_every_checkpoint_and_proof() {
    let said = everything();
    let (believed, text) = ask(&said);
    assert!(believed, "{text}");
    for (list, word) in [
        ("checkpoints", "checkpoint "),
        ("inclusions", "inclusion "),
        ("consistencies", "consistency "),
    ] {
        let lines = text.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!(lines, said[list].as_array().unwrap().len());
    }
}

#[test]
fn go_refuses_what_is_wrong() {
    let good = everything();
    let change = |pointer: &str, value: Value| {
        let mut said = good.clone();
        *said.pointer_mut(pointer).unwrap() = value;
        said
    };
    let last = good["inclusions"].as_array().unwrap().len() - 1;
    let leaf = format!("/inclusions/{last}/leaf");
    refused(
        &change(&leaf, json!(sealed(699).as_str())),
        &format!("inclusion {last}"),
    );
    refused(
        &change(&format!("/inclusions/{last}/index"), json!(698)),
        "inclusion",
    );
    refused(
        &change(&format!("/inclusions/{last}/checkpoint"), json!(8)),
        "inclusion",
    );
    let proof = good["inclusions"][last]["proof"].clone();
    refused(&change("/inclusions/0/proof", proof.clone()), "inclusion 0");
    refused(&change("/consistencies/4/proof", proof), "consistency 4");
    let other = everything();
    refused(&change("/vkey", other["vkey"].clone()), "checkpoint 0");
    refused(
        &change("/checkpoints/3", other["checkpoints"][3].clone()),
        "checkpoint 3",
    );
    let note = good["checkpoints"][9]
        .as_str()
        .unwrap()
        .replace("\n700\n", "\n701\n");
    refused(&change("/checkpoints/9", json!(note)), "checkpoint 9");
}
