//! The rules that buf enforces are not weakened on the quiet.

use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;

/// buf.yaml without comments. A change of it needs the same change here, and a reason in the commit.
const BUF_YAML: &str = "\
version: v2
modules:
  - path: proto
  - path: libs/proto/third_party
    lint:
      ignore:
        - libs/proto/third_party
    breaking:
      ignore:
        - libs/proto/third_party
lint:
  use:
    - STANDARD
    - COMMENTS
  except:
    - RPC_REQUEST_RESPONSE_UNIQUE
    - RPC_RESPONSE_STANDARD_NAME
  disallow_comment_ignores: true
breaking:
  use:
    - WIRE_JSON
";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn buf_enforces_what_was_agreed() {
    let file = fs::read_to_string(repository().join("buf.yaml")).expect("buf.yaml is there");
    let rules: String = file
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(rules, BUF_YAML);
}

/// `buf breaking proto --against proto/baseline.binpb` is worth as much as its baseline.
#[test]
fn the_baseline_holds_the_published_packages() {
    let bytes = fs::read(repository().join("proto/baseline.binpb")).expect("the baseline is there");
    let pool = DescriptorPool::decode(bytes.as_slice()).expect("the baseline decodes");
    for package in [
        "errors.v1",
        "identity.v1",
        "internal.registry.v1",
        "registry.v1",
    ] {
        let package = format!("tenantry.{package}");
        assert!(
            pool.files().any(|file| file.package_name() == package),
            "{package} left the baseline"
        );
    }
}
