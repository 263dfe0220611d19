//! Assertions that hold and assertions that don't, on every method.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use tenantry_core::Reason;
use tenantry_rpc::assertion::{Claims, TYPE, sign};
use tenantry_rpc::keys::KeyRing;

use super::methods;
use crate::support::{Assertions, World, operator, service, why};

/// Claims under a header of the test's making.
fn forge(typ: Option<&str>, kid: Option<&str>, key: &EncodingKey, claims: &Claims) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = typ.map(str::to_owned);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

/// Requests that nobody vouches for, each with what is wrong about it.
fn strangers(world: &World) -> Vec<(&'static str, Vec<String>)> {
    let gateway = world.ring("gateway");
    let (kid, key) = (gateway.signing_kid(), gateway.signing_key());
    let identity = world.ring("service:identity");
    let good = || sign(&gateway, &operator()).unwrap();
    let by_gateway = |change: &dyn Fn(&mut Claims)| {
        let mut claims = operator();
        change(&mut claims);
        vec![sign(&gateway, &claims).unwrap()]
    };
    let namesake = KeyRing::parse(&KeyRing::generate(kid)).unwrap();
    let nobody = KeyRing::parse(&KeyRing::generate("nobody")).unwrap();
    let (head, tail) = {
        let token = good();
        let (head, tail) = token.split_once('.').unwrap();
        (head.to_owned(), tail.to_owned())
    };
    let (_, signature) = tail.split_once('.').unwrap();
    let other = good();
    let other_claims = other.split('.').nth(1).unwrap();
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.typ = Some(TYPE.to_owned());
    symmetric.kid = Some(kid.to_owned());
    let public = EncodingKey::from_secret(gateway.public()[0].x.as_bytes());
    // {"alg":"none","typ":"tenantry-assertion+jwt"}
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoidGVuYW50cnktYXNzZXJ0aW9uK2p3dCJ9";
    let now = tenantry_core::clock::now().as_second();
    vec![
        ("no assertion", vec![]),
        ("an empty one", vec![String::new()]),
        ("the same twice", {
            let token = good();
            vec![token.clone(), token]
        }),
        ("two that hold", vec![good(), good()]),
        ("a good and a bad one", vec![good(), "x".to_owned()]),
        ("two in one header", vec![format!("{}, {}", good(), good())]),
        ("with a scheme", vec![format!("Bearer {}", good())]),
        ("no token", vec!["x.y.z".to_owned()]),
        ("expired", by_gateway(&|c| c.exp = now - 10)),
        (
            "for one service alone",
            by_gateway(&|c| c.aud = "service:registry".to_owned()),
        ),
        (
            "for the public",
            by_gateway(&|c| c.aud = "tenantry".to_owned()),
        ),
        (
            "the gateway as a service",
            by_gateway(&|c| c.iss = "service:identity".to_owned()),
        ),
        (
            "the gateway as a stranger",
            by_gateway(&|c| c.iss = "tenantry".to_owned()),
        ),
        (
            "a service as the gateway",
            vec![sign(&identity, &operator()).unwrap()],
        ),
        ("a service for another", {
            let claims = Claims::of_service("identity", "identity");
            vec![sign(&identity, &claims).unwrap()]
        }),
        ("a service for the fleet", {
            let mut claims = service("identity");
            claims.aud = "tenantry-fleet".to_owned();
            vec![sign(&identity, &claims).unwrap()]
        }),
        (
            "a key of the same name",
            vec![sign(&namesake, &operator()).unwrap()],
        ),
        (
            "a key of no trust",
            vec![sign(&nobody, &operator()).unwrap()],
        ),
        (
            "an access token's typ",
            vec![forge(Some("at+jwt"), Some(kid), key, &operator())],
        ),
        (
            "a plain typ",
            vec![forge(Some("JWT"), Some(kid), key, &operator())],
        ),
        ("no typ", vec![forge(None, Some(kid), key, &operator())]),
        ("no key id", vec![forge(Some(TYPE), None, key, &operator())]),
        (
            "a path as key id",
            vec![forge(
                Some(TYPE),
                Some("../../trust.json"),
                key,
                &operator(),
            )],
        ),
        (
            "other claims",
            vec![format!("{head}.{other_claims}.{signature}")],
        ),
        ("no signature", vec![format!("{head}.{other_claims}.")]),
        ("no algorithm", vec![format!("{unsigned}.{other_claims}.")]),
        ("the public key as a secret", {
            vec![encode(&symmetric, &operator(), &public).unwrap()]
        }),
    ]
}

#[tokio::test]
async fn no_method_runs_for_a_caller_nobody_vouches_for() {
    let world = World::start().await;
    for (what, assertions) in strangers(&world) {
        for method in methods() {
            let refused = world
                .call(method.path, Assertions(assertions.clone()))
                .await;
            assert!(refused.is_err(), "{what} on {}", method.path);
            assert_eq!(
                why(refused),
                Reason::Unauthenticated,
                "{what} on {}",
                method.path
            );
        }
    }
}

#[tokio::test]
async fn each_door_takes_its_own_assertions_only() {
    let world = World::start().await;
    let (gateway, identity, own) = (
        world.sign(&operator()),
        world.sign(&service("identity")),
        world.sign(&service("registry")),
    );
    for method in methods() {
        let (let_in, kept_out) = if method.internal {
            (&identity, [&gateway, &own])
        } else {
            (&gateway, [&identity, &own])
        };
        for assertion in kept_out {
            let refused = world.call(method.path, assertion.clone()).await;
            assert_eq!(why(refused), Reason::InternalMethod, "{}", method.path);
        }
        let outcome = world.call(method.path, let_in.clone()).await;
        if let Err(status) = outcome {
            let reason = crate::support::reason(&status);
            assert!(
                !matches!(
                    reason,
                    Reason::Unauthenticated | Reason::InternalMethod | Reason::Internal
                ),
                "{}: {status:?}",
                method.path
            );
        }
    }
}

#[tokio::test]
async fn a_method_that_isn_t_there_is_refused_to_strangers_first() {
    let world = World::start().await;
    for path in ["/tenantry.registry.v1.TenantService/Nothing", "/x.y/Z"] {
        let refused = world.call(path, Assertions(Vec::new())).await;
        assert_eq!(why(refused), Reason::Unauthenticated);
        let absent = world.call(path, world.sign(&operator())).await;
        assert_eq!(why(absent), Reason::UnknownMethod);
    }
}
