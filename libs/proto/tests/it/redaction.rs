//! Secrets never show in `Debug`.

use prost_reflect::Kind;
use tenantry_proto::identity::v1::{CreateMemberRequest, LoginRequest, TokenPair};

use crate::pool;

/// What the names of fields end with that hold a secret.
const SECRET: [&str; 3] = ["password", "secret", "token"];
/// Tokens that grant nothing.
const HARMLESS: [&str; 3] = ["page_token", "next_page_token", "resume_token"];

#[test]
fn debug_shows_every_field_but_the_secret() {
    let request = LoginRequest {
        email: "ada@example.com".into(),
        password: "hunter2".into(),
        ..Default::default()
    };
    let shown = format!("{request:?} {request:#?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("ada@example.com") && shown.contains("password: [redacted]"),
        "{shown}"
    );
}

#[test]
fn debug_of_other_messages_with_secrets_is_redacted_too() {
    let request = CreateMemberRequest {
        password: "hunter2".into(),
        roles: vec!["owner".into()],
        ..Default::default()
    };
    let pair = TokenPair {
        access_token: "hunter2".into(),
        refresh_token: "hunter2".into(),
        ..Default::default()
    };
    let shown = format!("{request:?} {pair:?}");
    assert!(
        !shown.contains("hunter2") && shown.contains("owner"),
        "{shown}"
    );
}

#[test]
fn fields_that_sound_secret_are_marked() {
    for message in pool()
        .all_messages()
        .filter(|message| message.package_name().starts_with("tenantry."))
    {
        for field in message
            .fields()
            .filter(|field| field.kind() == Kind::String && sounds_secret(field.name()))
        {
            let options = field.options();
            let marked = options
                .get_field_by_name("debug_redact")
                .and_then(|value| value.as_bool());
            assert_eq!(
                marked,
                Some(true),
                "{}: mark it `debug_redact = true`",
                field.full_name()
            );
        }
    }
}

fn sounds_secret(name: &str) -> bool {
    let last = name.rsplit('_').next().unwrap_or(name);
    SECRET.contains(&last) && !HARMLESS.contains(&name)
}
