//! Which methods each status of a tenant admits, for whom: the whole table, as a file to review.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tenantry_core::TenantStatus;
use tenantry_core::tenant::{Admission, Caller, MethodKind};

fn word(admission: Admission) -> String {
    match admission {
        Admission::Admitted => "admitted".to_owned(),
        Admission::Stopped(stop) => format!("TENANT_{}", format!("{stop:?}").to_uppercase()),
        Admission::Kept => "STATUS_FORBIDS".to_owned(),
        Admission::Absent => "TENANT_NOT_FOUND".to_owned(),
    }
}

#[test]
fn which_methods_each_status_admits_is_one_table() {
    let mut table = format!(
        "{:14}{:10}{:20}{:20}{}\n",
        "status", "caller", "read", "change", "life cycle"
    );
    for status in TenantStatus::ALL {
        for caller in Caller::ALL {
            let caller_word = format!("{caller:?}").to_lowercase();
            let [read, change, life_cycle] =
                [MethodKind::Read, MethodKind::Change, MethodKind::LifeCycle]
                    .map(|method| word(status.admits(*caller, method)));
            writeln!(
                table,
                "{:14}{caller_word:10}{read:20}{change:20}{life_cycle}",
                status.name()
            )
            .unwrap();
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/admission.txt");
    if std::env::var_os("TENANTRY_GOLDEN").is_some_and(|mode| mode == "write") {
        fs::write(&file, &table).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&file).unwrap_or_default(),
        table,
        "what a status admits changed; if that is wanted, run `TENANTRY_GOLDEN=write cargo test -p tenantry-core`"
    );
}
