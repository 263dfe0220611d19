//! Exports as clients get them, what `tenantry-verify` says of them, and replicas on copies of the database.

use std::process::{Command, Output};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_core::{Permission, TenantId};
use tenantry_proto::audit::v1::ExportEventsRequest;
use tenantry_proto::audit::v1::audit_export_service_client::AuditExportServiceClient;
use tenantry_proto::google::api::HttpBody;
use tenantry_testkit::{paths, service};
use tonic::{Status, Streaming};

use super::{Replica, World, member};

/// Every form.
pub(crate) const FORMATS: [&str; 3] = ["ndjson", "csv", "ocsf"];

/// An export, as it came.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    pub(crate) content_type: String,
    pub(crate) text: String,
    /// Sizes of its parts.
    pub(crate) parts: Vec<usize>,
    /// The status behind it, where it broke off.
    pub(crate) broken_off: Option<Status>,
}

/// How `tenantry-verify` ended, and what it said.
#[derive(Debug)]
pub(crate) struct Verdict {
    code: Option<i32>,
    pub(crate) text: String,
}

/// Everything in one form.
pub(crate) fn all(format: &str) -> ExportEventsRequest {
    ExportEventsRequest {
        format: format.to_owned(),
        ..Default::default()
    }
}

impl World {
    /// A replica on a copy of the database that these statements changed. The database itself is out of use from then on.
    pub(crate) async fn copied(&self, statements: &str) -> Replica {
        let copy = self.database.copy().await.unwrap();
        let url = copy.superuser_url();
        let mut superuser = PgConnection::connect(url.as_str()).await.unwrap();
        let statements = format!("SET search_path = audit; {statements}");
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut superuser)
            .await
            .unwrap();
        superuser.close().await.unwrap();
        Replica::start(&copy, &self.keys, &self.registry).await
    }
}

impl Replica {
    /// Begins an export, as a member of the tenant.
    pub(crate) async fn export(
        &self,
        tenant: TenantId,
        request: ExportEventsRequest,
    ) -> Result<Streaming<HttpBody>, Status> {
        let claims = member(tenant, &[Permission::AuditRead]);
        let mut exports = AuditExportServiceClient::new(self.as_caller(&claims));
        Ok(exports.export_events(request).await?.into_inner())
    }

    /// A whole export.
    pub(crate) async fn exported(
        &self,
        tenant: TenantId,
        request: ExportEventsRequest,
    ) -> Result<Exported, Status> {
        Ok(rest(self.export(tenant, request).await?).await)
    }
}

/// What is still to come of an export.
pub(crate) async fn rest(mut parts: Streaming<HttpBody>) -> Exported {
    let (mut exported, mut bytes) = (Exported::default(), Vec::new());
    loop {
        match parts.message().await {
            Ok(Some(part)) => {
                bytes.extend_from_slice(&part.data);
                exported.parts.push(part.data.len());
                exported.content_type = part.content_type;
            }
            Ok(None) => break,
            Err(status) => {
                exported.broken_off = Some(status);
                break;
            }
        }
    }
    exported.text = String::from_utf8(bytes).unwrap();
    exported
}

impl Exported {
    /// Has it checked by these public keys, against checkpoints that were kept.
    pub(crate) fn verdict(&self, keys: &[String], kept: &[&str]) -> Verdict {
        let folder = paths::scratch("verify").unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut command = Command::new(service::binary("tenantry-verify").unwrap());
        command.arg("export").arg(file("export", &self.text));
        for key in keys {
            command.args(["--key", key]);
        }
        for (number, note) in kept.iter().enumerate() {
            let note = file(&format!("checkpoint-{number}"), note);
            command.arg("--checkpoint").arg(note);
        }
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        Verdict {
            code: status.code(),
            text: String::from_utf8([stdout, stderr].concat()).unwrap(),
        }
    }
}

impl Verdict {
    #[track_caller]
    pub(crate) fn proves(&self, texts: &[&str]) {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.says(texts);
    }

    #[track_caller]
    pub(crate) fn refuses(&self, texts: &[&str]) {
        assert_eq!(self.code, Some(1), "{}", self.text);
        self.says(texts);
    }

    #[track_caller]
    fn says(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.text.contains(text), "{text:?} isn't in: {}", self.text);
        }
    }
}
