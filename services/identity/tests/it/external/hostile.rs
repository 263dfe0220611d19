//! An issuer that says whatever it is told to: the attacker's own.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tenantry_rpc::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Key id of the key that its document names.
pub(super) const KID: &str = "one";

#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) id_token: String,
    /// Bodies that its token endpoint was sent.
    pub(super) exchanges: Vec<String>,
    /// How often its keys were fetched.
    pub(super) key_fetches: usize,
    /// What is added to its discovery document.
    pub(super) besides: Value,
}

pub(super) struct Hostile {
    pub(super) issuer: String,
    pub(super) said: Arc<Mutex<Said>>,
    key: SigningKey,
    tasks: Tasks,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Hostile {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hostile = Self {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            said: Arc::default(),
            key: SigningKey::from_bytes(&tenantry_core::random::bytes()),
            tasks: Tasks::new(),
        };
        let (said, issuer, keys) = (
            Arc::clone(&hostile.said),
            hostile.issuer.clone(),
            hostile.keys(),
        );
        let tasks = hostile.tasks.clone();
        hostile.tasks.spawn("hostile issuer", async move {
            loop {
                tokio::select! {
                    () = tasks.cancelled() => return,
                    accepted = listener.accept() => {
                        let (stream, _) = accepted.unwrap();
                        answer(stream, &said, &issuer, &keys).await;
                    }
                }
            }
        });
        hostile
    }

    fn keys(&self) -> Value {
        let x = BASE64.encode(self.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KID, "x": x}]})
    }

    pub(super) fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// A token signed with its key.
    pub(super) fn sign(&self, claims: &Value) -> String {
        signed(&self.key, KID, claims)
    }

    pub(super) fn say(&self, id_token: &str) {
        id_token.clone_into(&mut self.said.lock().unwrap().id_token);
    }
}

/// A token signed with any key, which it names so.
pub(super) fn signed(key: &SigningKey, kid: &str, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    let der = key.to_pkcs8_der().unwrap();
    encode(&header, claims, &EncodingKey::from_ed_der(der.as_bytes())).unwrap()
}

/// A token whose signature is a MAC with what everyone, or the client, knows.
pub(super) fn maced(secret: &[u8], claims: &Value) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(KID.to_owned());
    encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token that nobody signed.
pub(super) fn unsigned(claims: &Value) -> String {
    let header = BASE64.encode(json!({"alg": "none", "kid": KID}).to_string());
    format!("{header}.{}.", BASE64.encode(claims.to_string()))
}

async fn answer(mut stream: TcpStream, said: &Mutex<Said>, issuer: &str, keys: &Value) {
    let (path, body) = read(&mut stream).await;
    let answer = {
        let mut said = said.lock().unwrap();
        match path.as_str() {
            "/.well-known/openid-configuration" => {
                let mut document = json!({
                    "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
                    "response_types_supported": ["code"], "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["none", "HS256", "EdDSA"],
                });
                for (name, value) in said.besides.as_object().into_iter().flatten() {
                    document[name] = value.clone();
                }
                document
            }
            "/keys" => {
                said.key_fetches += 1;
                keys.clone()
            }
            "/token" => {
                said.exchanges.push(body);
                json!({"access_token": "any", "token_type": "Bearer", "id_token": said.id_token})
            }
            _ => json!({}),
        }
    };
    let body = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// Path and body of a request.
async fn read(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                let path = head.split(' ').nth(1).unwrap_or_default();
                return (path.to_owned(), body.to_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return (String::new(), String::new());
        }
    }
}
