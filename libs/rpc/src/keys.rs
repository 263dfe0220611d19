//! Signing keys and whom a service trusts. Ed25519 (RFC 8032); keys lie in files, never in the database.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Private keys of one signer. Rotation: add the new key here and its public half to the trust file, wait, switch
/// `signing`, wait for the old tokens' end, remove the old key.
pub struct KeyRing {
    signing: SigningEntry,
    public: Vec<PublicKey>,
}

struct SigningEntry {
    kid: String,
    key: EncodingKey,
}

/// The public half of a key.
#[derive(Clone)]
pub struct PublicKey {
    /// Key id.
    pub kid: String,
    /// The 32 bytes, base64url.
    pub x: String,
    /// Ready to verify with.
    pub key: DecodingKey,
}

#[derive(Serialize, Deserialize)]
struct RingFile {
    signing: String,
    keys: Vec<RingFileKey>,
}

#[derive(Serialize, Deserialize)]
struct RingFileKey {
    kid: String,
    private: String,
}

impl KeyRing {
    /// Reads a key ring file: `{"signing": kid, "keys": [{"kid", "private": base64url of 32 bytes}]}`.
    ///
    /// # Errors
    /// A sentence on what is wrong with the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: RingFile =
            serde_json::from_str(text).map_err(|e| format!("not a key ring: {e}"))?;
        let mut signing = None;
        let mut public = Vec::new();
        for entry in file.keys {
            let seed: [u8; 32] = URL_SAFE_NO_PAD
                .decode(&entry.private)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| {
                    format!("key {}: `private` must be 32 bytes in base64url", entry.kid)
                })?;
            let key = SigningKey::from_bytes(&seed);
            let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
            public.push(PublicKey {
                key: DecodingKey::from_ed_components(&x)
                    .map_err(|e| format!("key {}: {e}", entry.kid))?,
                kid: entry.kid.clone(),
                x,
            });
            if entry.kid == file.signing {
                let der = key
                    .to_pkcs8_der()
                    .map_err(|e| format!("key {}: {e}", entry.kid))?;
                signing = Some(SigningEntry {
                    kid: entry.kid,
                    key: EncodingKey::from_ed_der(der.as_bytes()),
                });
            }
        }
        let signing = signing
            .ok_or_else(|| format!("`signing` names {}, which isn't among `keys`", file.signing))?;
        Ok(Self { signing, public })
    }

    /// The text of a new key ring file with one key of this id.
    #[must_use]
    pub fn generate(kid: &str) -> String {
        let file = RingFile {
            signing: kid.to_owned(),
            keys: vec![RingFileKey {
                kid: kid.to_owned(),
                private: URL_SAFE_NO_PAD.encode(tenantry_core::random::bytes::<32>()),
            }],
        };
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// Id of the key that signs now.
    #[must_use]
    pub fn signing_kid(&self) -> &str {
        &self.signing.kid
    }

    /// The key that signs now.
    #[must_use]
    pub const fn signing_key(&self) -> &EncodingKey {
        &self.signing.key
    }

    /// The public halves of all keys of the ring.
    #[must_use]
    pub fn public(&self) -> &[PublicKey] {
        &self.public
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing(signing: {})", self.signing.kid)
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.kid)
    }
}

/// Whom a service believes: the public keys, whose they are, and what each may claim; and what the gateway says to be known by.
#[derive(Debug)]
pub struct Trust {
    keys: Vec<TrustedKey>,
    words: Vec<TrustedWord>,
}

/// One trusted key.
#[derive(Debug)]
pub struct TrustedKey {
    /// Key id.
    pub kid: String,
    /// `gateway`, or `service:<name>`.
    pub issuer: String,
    /// Prefixes of the methods that a service may call with it.
    pub methods: Vec<String>,
    /// The public key.
    pub key: DecodingKey,
    valid: Validity,
}

/// A word of the gateway's: only its hash, so that there is no secret in the file that every service has.
#[derive(Debug)]
struct TrustedWord {
    sha256: [u8; 32],
    valid: Validity,
}

#[derive(Debug, Deserialize)]
struct Validity {
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

impl Validity {
    fn holds(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|at| at <= now) && self.not_after.is_none_or(|at| now < at)
    }
}

#[derive(Deserialize)]
struct TrustFile {
    keys: Vec<TrustFileKey>,
    gateway_words: Vec<TrustFileWord>,
}

#[derive(Deserialize)]
struct TrustFileKey {
    kid: String,
    public: String,
    issuer: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(flatten)]
    valid: Validity,
}

#[derive(Deserialize)]
struct TrustFileWord {
    sha256: String,
    #[serde(flatten)]
    valid: Validity,
}

impl Trust {
    /// Reads a trust file: `{"keys": [{"kid", "public", "issuer", "methods", "not_before", "not_after"}],
    /// "gateway_words": [{"sha256", "not_before", "not_after"}]}`. Rotation of the word: add the new one's hash here, wait, give
    /// the gateway the new word, remove the old one's hash.
    ///
    /// # Errors
    /// A sentence on what is wrong with the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: TrustFile =
            serde_json::from_str(text).map_err(|e| format!("not a trust file: {e}"))?;
        let keys = file
            .keys
            .into_iter()
            .map(|entry| {
                Ok(TrustedKey {
                    key: DecodingKey::from_ed_components(&entry.public)
                        .map_err(|e| format!("key {}: {e}", entry.kid))?,
                    kid: entry.kid,
                    issuer: entry.issuer,
                    methods: entry.methods,
                    valid: entry.valid,
                })
            })
            .collect::<Result<_, String>>()?;
        let words = file
            .gateway_words
            .into_iter()
            .map(|entry| {
                let bytes = URL_SAFE_NO_PAD.decode(&entry.sha256).ok();
                let sha256 = bytes.and_then(|bytes| bytes.try_into().ok());
                Ok(TrustedWord {
                    sha256: sha256.ok_or("`sha256` of a word must be 32 bytes in base64url")?,
                    valid: entry.valid,
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { keys, words })
    }

    /// The key of this id, while it is valid.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&TrustedKey> {
        let now = tenantry_core::clock::now();
        self.keys
            .iter()
            .find(|key| key.kid == kid && key.valid.holds(now))
    }

    /// Whether this is a word that only the gateway knows, while it is valid.
    #[must_use]
    pub fn knows_word(&self, word: &[u8]) -> bool {
        let said = Sha256::digest(word);
        let now = tenantry_core::clock::now();
        self.words
            .iter()
            .any(|known| bool::from(known.sha256.ct_eq(&said)) && known.valid.holds(now))
    }
}
