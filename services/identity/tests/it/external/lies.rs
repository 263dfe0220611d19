//! What no issuer may get away with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tenantry_proto::identity::v1 as wire;

use super::hostile::{Hostile, KID, maced, signed, unsigned};
use super::{CLIENT, FAILED, begin, finish, parameters, provider, refused};
use crate::caller::Who;
use crate::world::World;

fn now() -> i64 {
    tenantry_core::clock::now().as_second()
}

/// Claims that are right for a sign-in.
fn right(issuer: &Hostile, begun: &wire::ExternalSignIn) -> Value {
    json!({
        "iss": issuer.issuer, "sub": "ann", "aud": CLIENT, "iat": now(), "exp": now() + 300,
        "nonce": parameters(&begun.authorization_url)["nonce"],
    })
}

#[tokio::test]
async fn only_a_token_of_the_issuer_for_this_client_and_this_very_sign_in_is_believed() {
    type Forge = fn(&Hostile, Value) -> String;
    fn with(issuer: &Hostile, mut claims: Value, name: &str, value: Value) -> String {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        issuer.sign(&claims)
    }
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let issuer = Hostile::start().await;
    let provider = provider(&world, &owner, &issuer.issuer, |_| {}).await;
    let forged: &[(&str, Forge)] = &[
        ("another audience", |i, c| {
            with(i, c, "aud", json!("someone-else"))
        }),
        ("no audience", |i, c| with(i, c, "aud", Value::Null)),
        ("an audience besides", |i, c| {
            with(i, c, "aud", json!([CLIENT, "someone-else"]))
        }),
        ("another party", |i, c| {
            with(i, c, "azp", json!("someone-else"))
        }),
        ("another issuer", |i, c| {
            with(i, c, "iss", json!("https://login.example.com"))
        }),
        ("no issuer", |i, c| with(i, c, "iss", Value::Null)),
        ("another nonce", |i, c| {
            with(i, c, "nonce", json!("of another sign-in"))
        }),
        ("no nonce", |i, c| with(i, c, "nonce", Value::Null)),
        ("expired", |i, c| with(i, c, "exp", json!(now() - 300))),
        ("issued long ago", |i, c| {
            with(i, c, "iat", json!(now() - 3_600))
        }),
        ("issued in the future", |i, c| {
            with(i, c, "iat", json!(now() + 600))
        }),
        ("no subject", |i, c| with(i, c, "sub", json!(""))),
        ("no signature", |_, c| unsigned(&c)),
        ("a MAC with the public key", |i, c| {
            maced(&i.public_key(), &c)
        }),
        ("a MAC with the client's secret", |_, c| {
            maced(b"of the client", &c)
        }),
        ("another key under the same id", |_, c| {
            signed(
                &SigningKey::from_bytes(&tenantry_core::random::bytes()),
                KID,
                &c,
            )
        }),
        ("a key that nobody knows", |_, c| {
            signed(
                &SigningKey::from_bytes(&tenantry_core::random::bytes()),
                "two",
                &c,
            )
        }),
        ("nonsense", |_, _| "a.b.c".to_owned()),
    ];
    for (what, forge) in forged {
        let begun = begin(&world, &provider).await.unwrap();
        issuer.say(&forge(&issuer, right(&issuer, &begun)));
        let outcome = world
            .external(1)
            .finish_external_sign_in(finish(&begun, "code"))
            .await;
        assert_eq!(refused(outcome), FAILED, "{what}");
    }
    let begun = begin(&world, &provider).await.unwrap();
    let token = issuer.sign(&right(&issuer, &begun));
    issuer.say(&token);
    let pair = world
        .external(1)
        .finish_external_sign_in(finish(&begun, "code"))
        .await;
    assert!(pair.is_ok(), "the right token: {pair:?}");
    // Nor is the token itself a credential at the gateway.
    assert_eq!(world.reason(&Who::bearer(&token)).await, "UNAUTHENTICATED");
    // The code went with the verifier of this sign-in's challenge.
    let exchange = issuer.said.lock().unwrap().exchanges.pop().unwrap();
    let sent = parameters(&format!("http://form/?{exchange}"));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&sent["code_verifier"]));
    assert_eq!(
        challenge,
        parameters(&begun.authorization_url)["code_challenge"]
    );
    let fetches = issuer.said.lock().unwrap().key_fetches;
    assert!(
        fetches <= 6,
        "tokens with unknown keys had them fetched {fetches} times"
    );
}

#[tokio::test]
async fn an_answer_of_another_issuer_goes_to_no_token_endpoint() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let issuer = Hostile::start().await;
    issuer.said.lock().unwrap().besides =
        json!({"authorization_response_iss_parameter_supported": true});
    let provider = provider(&world, &owner, &issuer.issuer, |_| {}).await;
    for iss in ["", "https://login.example.com"] {
        let begun = begin(&world, &provider).await.unwrap();
        issuer.say(&issuer.sign(&right(&issuer, &begun)));
        let request = wire::FinishExternalSignInRequest {
            iss: iss.to_owned(),
            ..finish(&begun, "code")
        };
        let outcome = world.external(0).finish_external_sign_in(request).await;
        assert_eq!(refused(outcome), FAILED, "iss {iss:?}");
    }
    assert!(issuer.said.lock().unwrap().exchanges.is_empty());
    let begun = begin(&world, &provider).await.unwrap();
    issuer.say(&issuer.sign(&right(&issuer, &begun)));
    let request = wire::FinishExternalSignInRequest {
        iss: issuer.issuer.clone(),
        ..finish(&begun, "code")
    };
    assert!(
        world
            .external(0)
            .finish_external_sign_in(request)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_issuer_that_calls_itself_another_or_sends_the_browser_elsewhere_signs_nobody_in() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    for besides in [
        json!({"issuer": "https://login.example.com"}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
    ] {
        let issuer = Hostile::start().await;
        issuer.said.lock().unwrap().besides = besides.clone();
        let provider = provider(&world, &owner, &issuer.issuer, |_| {}).await;
        assert_eq!(refused(begin(&world, &provider).await), FAILED, "{besides}");
    }
}
