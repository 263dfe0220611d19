//! The gateway: Envoy, with `deploy/envoy/envoy.yaml` rendered for this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use url::Url;

use crate::paths;
use crate::probe::Probe;
use crate::process::Command;
use crate::tools::Tool;
use crate::unit::Unit;

/// Certificate and key of the gateway's listener, as PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl Tls {
    /// Makes a certificate that signs itself, for `localhost` and 127.0.0.1, in `dir`.
    ///
    /// # Errors
    /// When openssl isn't installed or `dir` can't be written.
    pub fn self_signed(dir: &Path) -> Result<Self> {
        let tls = Self {
            certificate: dir.join("gateway.pem"),
            key: dir.join("gateway.key"),
        };
        let made = std::process::Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-addext",
                // A server's certificate that is an authority's too is refused by strict clients.
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
            ])
            .arg(&tls.key)
            .arg("-out")
            .arg(&tls.certificate)
            .output()
            .context("openssl isn't installed. Run: ./dev setup   (or: apt-get install openssl)")?;
        ensure!(
            made.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        Ok(tls)
    }
}

/// What differs from one gateway to the next.
#[derive(Clone, Debug)]
pub struct EnvoyConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where its admin endpoint listens.
    pub admin: SocketAddr,
    /// Replicas of registry.
    pub registry: Vec<SocketAddr>,
    /// Replicas of identity.
    pub identity: Vec<SocketAddr>,
    /// Replicas of audit.
    pub audit: Vec<SocketAddr>,
    /// Replicas of quota.
    pub quota: Vec<SocketAddr>,
    /// Whether requests are refused while quota doesn't answer how much may pass.
    pub rate_limit_fails_closed: bool,
    /// Origins of web pages that may call it.
    pub cors_origins: Vec<String>,
    /// OTLP receiver for traces, as `http://127.0.0.1:4317`.
    pub otlp_endpoint: Option<String>,
    /// TLS on its listener.
    pub tls: Option<Tls>,
    /// Folder of `gateway-word.json`, which the services know it by.
    pub word_dir: PathBuf,
}

/// A gateway.
#[derive(Debug)]
pub struct Envoy {
    unit: Unit,
}

impl Envoy {
    /// Renders the configuration into `dir` and prepares Envoy, started by its unit.
    ///
    /// # Errors
    /// When Envoy or Swagger UI isn't installed, or `dir` can't be written.
    pub fn prepare(dir: &Path, config: &EnvoyConfig, log: &Path) -> Result<Self> {
        fs::create_dir_all(dir)
            .with_context(|| format!("can't make the folder {}", dir.display()))?;
        let descriptors = dir.join("descriptors.binpb");
        fs::write(&descriptors, tenantry_proto::DESCRIPTOR_SET)?;
        let rendered = dir.join("envoy.yaml");
        fs::write(&rendered, render(config, &descriptors)?)?;
        let command = Command::new(Tool::Envoy.find()?, log)
            .arg("--config-path")
            .arg(rendered)
            .args(["--log-level", "warning", "--concurrency", "2"])
            // Hot restart would make all gateways of one machine share memory.
            .arg("--disable-hot-restart");
        Ok(Self {
            unit: Unit::new("envoy", command, Probe::Envoy(config.admin)),
        })
    }

    /// Its process.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }
}

/// Puts the values into the template.
///
/// # Errors
/// When Swagger UI isn't installed, or the template names a value that isn't known here.
pub fn render(config: &EnvoyConfig, descriptors: &Path) -> Result<String> {
    let root = paths::repository();
    let template = root.join("deploy/envoy/envoy.yaml");
    let mut text = fs::read_to_string(&template)
        .with_context(|| format!("can't read {}", template.display()))?;
    let otlp: Vec<(String, u16)> = config
        .otlp_endpoint
        .as_deref()
        .map(host_and_port)
        .transpose()?
        .into_iter()
        .collect();
    let local = |replicas: &[SocketAddr]| -> Vec<(String, u16)> {
        replicas
            .iter()
            .map(|address| (address.ip().to_string(), address.port()))
            .collect()
    };
    let origins: Vec<Value> = config
        .cors_origins
        .iter()
        .map(|origin| json!({"exact": origin}))
        .collect();
    let values = BTreeMap::from([
        ("LISTEN_ADDRESS", config.listen.ip().to_string()),
        ("LISTEN_PORT", config.listen.port().to_string()),
        ("ADMIN_ADDRESS", config.admin.ip().to_string()),
        ("ADMIN_PORT", config.admin.port().to_string()),
        ("REGISTRY_ENDPOINTS", endpoints(&local(&config.registry))),
        ("IDENTITY_ENDPOINTS", endpoints(&local(&config.identity))),
        ("AUDIT_ENDPOINTS", endpoints(&local(&config.audit))),
        ("QUOTA_ENDPOINTS", endpoints(&local(&config.quota))),
        (
            "RATE_LIMIT_FAILS_CLOSED",
            config.rate_limit_fails_closed.to_string(),
        ),
        ("OTLP_ENDPOINTS", endpoints(&otlp)),
        ("TRACING", tracing(!otlp.is_empty()).to_string()),
        (
            "DOWNSTREAM_TLS",
            config
                .tls
                .as_ref()
                .map_or(Value::Null, downstream_tls)
                .to_string(),
        ),
        ("UPSTREAM_TLS", Value::Null.to_string()),
        ("CORS_ORIGINS", Value::Array(origins).to_string()),
        ("TRUSTED_HOPS", "0".to_owned()),
        ("WORD_DIR", config.word_dir.display().to_string()),
        ("DESCRIPTOR_FILE", descriptors.display().to_string()),
        (
            "OPENAPI_FILE",
            root.join("deploy/openapi.json").display().to_string(),
        ),
        ("DOCS_DIR", root.join("deploy/docs").display().to_string()),
        ("SWAGGER_UI_DIR", swagger_ui()?.display().to_string()),
    ]);
    for (name, value) in values {
        text = text.replace(&format!("${{{name}}}"), &value);
    }
    let unknown = text
        .lines()
        .find(|line| line.contains("${") && !line.trim_start().starts_with('#'));
    ensure!(
        unknown.is_none(),
        "{} names a value that isn't known: {unknown:?}",
        template.display()
    );
    Ok(text)
}

fn endpoints(addresses: &[(String, u16)]) -> String {
    let endpoint = |(host, port): &(String, u16)| json!({"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}});
    Value::Array(addresses.iter().map(endpoint).collect()).to_string()
}

fn host_and_port(endpoint: &str) -> Result<(String, u16)> {
    let url = Url::parse(endpoint).with_context(|| format!("{endpoint:?} isn't a URL"))?;
    let host = url
        .host_str()
        .with_context(|| format!("{endpoint:?} names no host"))?;
    Ok((host.to_owned(), url.port().unwrap_or(4317)))
}

fn tracing(wanted: bool) -> Value {
    if !wanted {
        return Value::Null;
    }
    json!({
        "random_sampling": {"value": 100},
        "spawn_upstream_span": true,
        // The path may hold a one-time token; the span's route and RPC say what was called.
        "max_path_tag_length": 0,
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": "otlp"}, "timeout": "1s"},
                "service_name": "gateway",
            },
        },
    })
}

fn downstream_tls(tls: &Tls) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificates": [{
                    "certificate_chain": {"filename": tls.certificate},
                    "private_key": {"filename": tls.key},
                }],
            },
        },
    })
}

/// Swagger UI's own files, out of the Python package that `./dev setup` installs.
fn swagger_ui() -> Result<PathBuf> {
    let library = paths::dev().join("venv/lib");
    let packages = fs::read_dir(&library).into_iter().flatten().flatten();
    packages
        .map(|python| {
            python.path().join("site-packages/drf_spectacular_sidecar/static/drf_spectacular_sidecar/swagger-ui-dist")
        })
        .find(|dir| dir.join("swagger-ui-bundle.js").exists())
        .context("Swagger UI isn't installed. Run: ./dev setup")
}
