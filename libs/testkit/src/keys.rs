//! Makes the keys of a fleet: private key rings, the trust file with their public halves, the gateway's word, and sealing keys.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tenantry_core::random;
use tenantry_transparency::Signers;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, InterceptorLayer};
use tonic::{Request, Status};

use crate::paths::write_secret;

/// A private key ring file: which key signs, and all keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyRing {
    /// Id of the key that signs now.
    pub signing: String,
    /// The keys.
    pub keys: Vec<PrivateKey>,
}

/// One Ed25519 key of a ring.
#[derive(Clone, Serialize, Deserialize)]
pub struct PrivateKey {
    /// Key id.
    pub kid: String,
    /// The 32-byte seed, base64url.
    pub private: String,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// A ring with one new key whose id begins with `name`.
    #[must_use]
    pub fn generate(name: &str) -> Self {
        let kid = format!("{name}-{}", URL_SAFE_NO_PAD.encode(random::bytes::<6>()));
        let private = URL_SAFE_NO_PAD.encode(random::bytes::<32>());
        Self {
            signing: kid.clone(),
            keys: vec![PrivateKey { kid, private }],
        }
    }

    /// Reads a ring file.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} isn't a key ring", path.display()))
    }

    /// Writes a ring file that only this user can read.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_secret(path, &serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("can't write {}", path.display()))
    }

    /// Public keys of the ring, as entries of a trust file.
    ///
    /// # Errors
    /// When a seed isn't 32 bytes in base64url.
    pub fn trusted(&self, issuer: &str, methods: &[&str]) -> Result<Vec<TrustedKey>> {
        let entry = |key: &PrivateKey| {
            let seed: [u8; 32] = URL_SAFE_NO_PAD
                .decode(&key.private)
                .ok()
                .and_then(|seed| seed.try_into().ok())?;
            let public = SigningKey::from_bytes(&seed).verifying_key();
            Some(TrustedKey {
                kid: key.kid.clone(),
                public: URL_SAFE_NO_PAD.encode(public.as_bytes()),
                issuer: issuer.to_owned(),
                methods: methods.iter().map(ToString::to_string).collect(),
                not_before: None,
                not_after: None,
            })
        };
        self.keys
            .iter()
            .map(|key| {
                entry(key)
                    .with_context(|| format!("key {} isn't a 32-byte seed in base64url", key.kid))
            })
            .collect()
    }
}

/// The trust file: whose signatures the services believe.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrustFile {
    /// The keys.
    pub keys: Vec<TrustedKey>,
    /// What the gateway is known by.
    #[serde(default)]
    pub gateway_words: Vec<TrustedWord>,
}

/// One word of the gateway's in the trust file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustedWord {
    /// SHA-256 of the word, base64url.
    pub sha256: String,
    /// Not valid before this instant (RFC 3339).
    pub not_before: Option<String>,
    /// Not valid after this instant (RFC 3339).
    pub not_after: Option<String>,
}

impl TrustedWord {
    /// The entry of a word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self {
            sha256: URL_SAFE_NO_PAD.encode(Sha256::digest(word)),
            not_before: None,
            not_after: None,
        }
    }
}

/// One public key of the trust file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustedKey {
    /// Key id.
    pub kid: String,
    /// The 32-byte public key, base64url.
    pub public: String,
    /// `gateway`, or `service:` and its name.
    pub issuer: String,
    /// Prefixes of the methods that the service may call; empty for the gateway.
    pub methods: Vec<String>,
    /// Not valid before this instant (RFC 3339).
    pub not_before: Option<String>,
    /// Not valid after this instant (RFC 3339).
    pub not_after: Option<String>,
}

impl TrustFile {
    /// Reads a trust file.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} isn't a trust file", path.display()))
    }

    /// Replaces a trust file as a whole, as its readers expect.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_secret(path, &serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("can't write {}", path.display()))
    }
}

/// What each service may call in the others, by prefix.
const SERVICE_CALLS: [(&str, &[&str]); 4] = [
    (
        "registry",
        &[
            "/tenantry.internal.audit.v1.",
            "/tenantry.internal.data.v1.",
            "/tenantry.internal.identity.v1.",
            "/tenantry.internal.quota.v1.FigureService/",
        ],
    ),
    (
        "identity",
        &[
            "/tenantry.internal.audit.v1.",
            "/tenantry.internal.quota.v1.",
            "/tenantry.internal.registry.v1.",
        ],
    ),
    (
        "audit",
        &[
            "/tenantry.internal.audit.v1.",
            "/tenantry.internal.identity.v1.",
            "/tenantry.internal.registry.v1.",
        ],
    ),
    (
        "quota",
        &[
            "/tenantry.internal.audit.v1.",
            "/tenantry.internal.identity.v1.",
            "/tenantry.internal.registry.v1.",
        ],
    ),
];

/// Name of the logs that a fleet of this machine signs.
const LOG_NAME: &str = "tenantry.test/audit";

/// The keys of one fleet, as files in one folder.
#[derive(Clone, Debug)]
pub struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// Makes what isn't there yet.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)
            .with_context(|| format!("can't make the folder {}", dir.display()))?;
        let keys = Self {
            dir: dir.to_owned(),
        };
        let assertion = ring(&keys.assertion_ring(), "gateway")?;
        ring(&keys.token_ring(), "token")?;
        let word = gateway_word(&keys.gateway_word_file())?;
        let mut trust = TrustFile {
            keys: assertion.trusted("gateway", &[])?,
            gateway_words: vec![TrustedWord::of(&word)],
        };
        for (service, calls) in SERVICE_CALLS {
            let own = ring(&keys.service_ring(service), service)?;
            trust
                .keys
                .extend(own.trusted(&format!("service:{service}"), calls)?);
            seal_key(&keys.seal_key(service))?;
        }
        log_key(&keys.log_key())?;
        if keys.trust_file().exists() {
            // The keys that were made before, with what this version lets each service call.
            let mut kept = TrustFile::read(&keys.trust_file())?;
            for key in &mut kept.keys {
                if let Some(made) = trust.keys.iter().find(|made| made.kid == key.kid) {
                    key.methods.clone_from(&made.methods);
                }
            }
            // A service that an earlier release hadn't.
            for made in trust.keys {
                if !kept.keys.iter().any(|key| key.issuer == made.issuer) {
                    kept.keys.push(made);
                }
            }
            // And the gateway's word, where it isn't one that they know it by already.
            for word in trust.gateway_words {
                let mut known = kept.gateway_words.iter();
                if !known.any(|known| known.sha256 == word.sha256) {
                    kept.gateway_words.push(word);
                }
            }
            trust = kept;
        }
        trust.write(&keys.trust_file())?;
        Ok(keys)
    }

    /// Folder of all of them.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Key ring of the assertions that identity gives the gateway.
    #[must_use]
    pub fn assertion_ring(&self) -> PathBuf {
        self.dir.join("assertion.json")
    }

    /// Key ring of access tokens.
    #[must_use]
    pub fn token_ring(&self) -> PathBuf {
        self.dir.join("token.json")
    }

    /// Key ring of a service's own assertions.
    #[must_use]
    pub fn service_ring(&self, service: &str) -> PathBuf {
        self.dir.join(format!("service-{service}.json"))
    }

    /// Sealing key of a service, the same for all its replicas.
    #[must_use]
    pub fn seal_key(&self, service: &str) -> PathBuf {
        self.dir.join(format!("seal-{service}.key"))
    }

    /// Key that the checkpoints of the log are signed with.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.dir.join("log.key")
    }

    /// File of the gateway's word.
    #[must_use]
    pub fn gateway_word_file(&self) -> PathBuf {
        self.dir.join("gateway-word.json")
    }

    /// What a service is called by as if it were the gateway.
    ///
    /// # Panics
    /// When the file of its word is gone.
    #[must_use]
    pub fn gateway_word(&self) -> GatewayWord {
        let word = gateway_word(&self.gateway_word_file()).expect("the file of the word");
        GatewayWord(word.parse().expect("a word that a header can carry"))
    }

    /// What makes every request of a server one that came by the gateway, for tests that have none.
    #[must_use]
    pub fn behind_gateway(&self) -> InterceptorLayer<GatewayWord> {
        InterceptorLayer::new(self.gateway_word())
    }

    /// The trust file.
    #[must_use]
    pub fn trust_file(&self) -> PathBuf {
        self.dir.join("trust.json")
    }
}

fn ring(path: &Path, name: &str) -> Result<KeyRing> {
    if !path.exists() {
        KeyRing::generate(name).write(path)?;
    }
    KeyRing::read(path)
}

/// Says the gateway's word with each request.
#[derive(Clone)]
pub struct GatewayWord(MetadataValue<Ascii>);

impl GatewayWord {
    /// The header that carries it.
    pub const HEADER: &str = "x-tenantry-gateway";

    /// The word itself.
    #[must_use]
    pub const fn value(&self) -> &MetadataValue<Ascii> {
        &self.0
    }
}

impl std::fmt::Debug for GatewayWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewayWord(..)")
    }
}

impl Interceptor for GatewayWord {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(Self::HEADER, self.0.clone());
        Ok(request)
    }
}

/// The word in a file as Envoy reads it; a new one where there is none.
fn gateway_word(path: &Path) -> Result<String> {
    if !path.exists() {
        write_gateway_word(path, &URL_SAFE_NO_PAD.encode(random::bytes::<32>()))?;
    }
    let text = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let file: Value = serde_json::from_slice(&text)?;
    let word = &file["resources"][0]["generic_secret"]["secret"]["inline_string"];
    let word = word.as_str();
    Ok(word
        .with_context(|| format!("no word is in {}", path.display()))?
        .to_owned())
}

/// Replaces the word in a file as a whole, as Envoy expects.
///
/// # Errors
/// When it can't be written.
pub fn write_gateway_word(path: &Path, word: &str) -> Result<()> {
    let secret = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "gateway-word",
        "generic_secret": {"secret": {"inline_string": word}},
    });
    let file = json!({"resources": [secret]});
    write_secret(path, &serde_json::to_vec_pretty(&file)?)
        .with_context(|| format!("can't write {}", path.display()))
}

fn seal_key(path: &Path) -> Result<()> {
    if !path.exists() {
        write_secret(
            path,
            URL_SAFE_NO_PAD.encode(random::bytes::<32>()).as_bytes(),
        )?;
    }
    Ok(())
}

fn log_key(path: &Path) -> Result<()> {
    if !path.exists() {
        let key = Signers::generate(LOG_NAME, random::bytes())?;
        write_secret(path, format!("{key}\n").as_bytes())?;
    }
    Ok(())
}

/// A new password of 24 random bytes, safe in URLs and configuration files.
#[must_use]
pub fn password() -> String {
    // base64url without its two signs, which some configuration files would have to quote.
    URL_SAFE_NO_PAD
        .encode(random::bytes::<24>())
        .replace(['-', '_'], "x")
}

/// The password in a file; a new one where there is none.
///
/// # Errors
/// When the file can't be read or written.
pub fn password_file(path: &Path) -> Result<String> {
    if !path.exists() {
        write_secret(path, password().as_bytes())
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(fs::read_to_string(path)
        .with_context(|| format!("can't read {}", path.display()))?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_file_holds_the_public_half_of_every_signing_ring() {
        let dir = crate::paths::scratch("keys").unwrap();
        let keys = Keys::create(&dir).unwrap();
        let trust = TrustFile::read(&keys.trust_file()).unwrap();
        let issuers: Vec<&str> = trust.keys.iter().map(|key| key.issuer.as_str()).collect();
        assert_eq!(
            issuers,
            [
                "gateway",
                "service:registry",
                "service:identity",
                "service:audit",
                "service:quota"
            ]
        );
        let token = KeyRing::read(&keys.token_ring()).unwrap();
        assert!(
            trust.keys.iter().all(|key| key.kid != token.signing),
            "access tokens are no assertions"
        );
    }

    #[test]
    fn a_new_word_in_the_place_of_a_lost_one_is_known_too() {
        let dir = crate::paths::scratch("keys").unwrap();
        let lost = Keys::create(&dir).unwrap();
        let before = lost.gateway_word();
        fs::remove_file(lost.gateway_word_file()).unwrap();
        let keys = Keys::create(&dir).unwrap();
        let now = keys.gateway_word();
        assert_ne!(before.value(), now.value());
        let trust = TrustFile::read(&keys.trust_file()).unwrap();
        let known = trust.gateway_words.into_iter().map(|word| word.sha256);
        let words = [before, now].map(|word| TrustedWord::of(word.value().to_str().unwrap()));
        assert!(known.eq(words.map(|word| word.sha256)));
    }

    #[test]
    fn creating_keys_again_keeps_them() {
        let dir = crate::paths::scratch("keys").unwrap();
        let first = KeyRing::read(&Keys::create(&dir).unwrap().assertion_ring()).unwrap();
        let second = KeyRing::read(&Keys::create(&dir).unwrap().assertion_ring()).unwrap();
        assert_eq!(first.signing, second.signing);
    }
}
