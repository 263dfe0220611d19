//! The arrows of the house, by cargo's own account of it.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each part may build on, of ours and of what it must stay away from.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tenantry-core", &[]),
    ("tenantry-counter", &["tenantry-core"]),
    ("tenantry-proto", &[]),
    ("tenantry-rpc", &["tenantry-core", "tenantry-proto"]),
    ("tenantry-store", &["tenantry-core"]),
    ("tenantry-transparency", &["tenantry-core"]),
    (
        "tenantry-verify",
        &["tenantry-core", "tenantry-transparency"],
    ),
    (
        "tenantry-runtime",
        &[
            "tenantry-core",
            "tenantry-proto",
            "tenantry-rpc",
            "tenantry-store",
        ],
    ),
    (
        "tenantry-registry",
        &[
            "tenantry-core",
            "tenantry-proto",
            "tenantry-rpc",
            "tenantry-runtime",
            "tenantry-store",
        ],
    ),
    (
        "tenantry-identity",
        &[
            "tenantry-core",
            "tenantry-proto",
            "tenantry-rpc",
            "tenantry-runtime",
            "tenantry-store",
        ],
    ),
    (
        "tenantry-audit",
        &[
            "tenantry-core",
            "tenantry-proto",
            "tenantry-rpc",
            "tenantry-runtime",
            "tenantry-store",
            "tenantry-transparency",
        ],
    ),
    (
        "tenantry-quota",
        &[
            "tenantry-core",
            "tenantry-counter",
            "tenantry-proto",
            "tenantry-rpc",
            "tenantry-runtime",
            "tenantry-store",
        ],
    ),
];

/// Crates that a part must not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("tenantry-core", &["tokio", "tonic", "sqlx", "redis"]),
    ("tenantry-rpc", &["sqlx", "redis"]),
    ("tenantry-store", &["tonic", "redis"]),
    ("tenantry-counter", &["tonic", "sqlx"]),
    (
        "tenantry-transparency",
        &["tokio", "tonic", "sqlx", "redis"],
    ),
];

#[test]
fn each_part_builds_only_on_what_lies_below_it() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let names: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    for (part, allowed) in ALLOWED {
        let package = metadata
            .packages
            .iter()
            .find(|p| p.name.as_str() == *part)
            .unwrap();
        let normal = package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal);
        for dependency in normal.map(|d| d.name.as_str()) {
            assert!(
                !names.contains(dependency) || allowed.contains(&dependency),
                "{part} builds on {dependency}"
            );
            for (_, forbidden) in FORBIDDEN.iter().filter(|(name, _)| name == part) {
                assert!(
                    !forbidden.contains(&dependency),
                    "{part} names {dependency}"
                );
            }
        }
    }
    // A new crate stands in the table, or is test equipment.
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(part, _)| *part).collect();
    let equipment = ["tenantry-testkit", "tenantry-fleet-tests"];
    for name in names {
        assert!(
            known.contains(name) || equipment.contains(&name),
            "{name} has no place in the house"
        );
    }
}

#[test]
fn the_rules_know_neither_transport_nor_store() {
    let services = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../services");
    for service in std::fs::read_dir(services).unwrap() {
        let domain = service.unwrap().path().join("src/domain");
        for file in files(&domain) {
            let text = std::fs::read_to_string(&file).unwrap();
            for foreign in [
                "sqlx",
                "tonic",
                "redis",
                "tokio",
                "tenantry_store",
                "tenantry_rpc",
            ] {
                assert!(
                    !text.contains(&format!("{foreign}::")),
                    "{} names {foreign}",
                    file.display()
                );
            }
        }
    }
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
