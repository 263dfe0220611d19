//! What a provider may be, whom it lets in, and when its sessions end.

use super::*;

fn patch() -> Patch {
    Patch {
        name: Some("Login".to_owned()),
        issuer: Some("https://login.example.com/t/1".to_owned()),
        client_id: Some("tenantry".to_owned()),
        redirect_uris: Some(vec!["https://app.example.com/back".to_owned()]),
        ..Patch::default()
    }
}

fn provider() -> IdentityProvider {
    let scope = Scope::Tenant(TenantId::new());
    patch()
        .check(&scope, false)
        .unwrap()
        .create(&scope, Timestamp::UNIX_EPOCH)
}

#[test]
fn each_wrong_field_is_named() {
    let text = |text: &str| Some(text.to_owned());
    let list = |text: &str| Some(vec![text.to_owned()]);
    for (field, bad) in [
        (
            "name",
            Patch {
                name: text(" "),
                ..patch()
            },
        ),
        (
            "issuer",
            Patch {
                issuer: text("http://login.example.com"),
                ..patch()
            },
        ),
        (
            "issuer",
            Patch {
                issuer: text("https://10.0.0.1"),
                ..patch()
            },
        ),
        (
            "issuer",
            Patch {
                issuer: text("https://login.example.com?x=1"),
                ..patch()
            },
        ),
        (
            "client_id",
            Patch {
                client_id: text(""),
                ..patch()
            },
        ),
        (
            "scopes",
            Patch {
                scopes: list("openid"),
                ..patch()
            },
        ),
        (
            "scopes",
            Patch {
                scopes: list("a b"),
                ..patch()
            },
        ),
        (
            "redirect_uris",
            Patch {
                redirect_uris: Some(Vec::new()),
                ..patch()
            },
        ),
        (
            "redirect_uris",
            Patch {
                redirect_uris: list("javascript:alert(1)"),
                ..patch()
            },
        ),
        (
            "redirect_uris",
            Patch {
                redirect_uris: list("http://app.example.com"),
                ..patch()
            },
        ),
        (
            "redirect_uris",
            Patch {
                redirect_uris: list("https://app.example.com/#x"),
                ..patch()
            },
        ),
        (
            "email_domains",
            Patch {
                email_domains: list("not a domain"),
                ..patch()
            },
        ),
        (
            "just_in_time_roles",
            Patch {
                just_in_time_roles: list("Not a role"),
                ..patch()
            },
        ),
    ] {
        let refused = bad
            .check(&Scope::Tenant(TenantId::new()), false)
            .unwrap_err();
        let fields: Vec<_> = refused
            .violations
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(fields, [field], "{refused}");
    }
    let of_project = Patch {
        just_in_time_roles: list("member"),
        ..patch()
    };
    assert!(
        of_project
            .check(&Scope::Project("default".to_owned()), false)
            .is_err()
    );
}

#[test]
fn only_verified_addresses_of_the_domains_are_let_in() {
    let open = provider();
    assert!(open.lets_in("") && open.lets_in("ann@elsewhere.example"));
    let closed = IdentityProvider {
        email_domains: vec!["example.com".to_owned()],
        ..open
    };
    assert!(closed.lets_in("ann@example.com"));
    for outside in [
        "",
        "ann@sub.example.com",
        "ann@example.com.evil.example",
        "example.com",
    ] {
        assert!(!closed.lets_in(outside), "{outside}");
    }
}

#[test]
fn sessions_end_with_whoever_spoke_for_them() {
    let old = provider();
    assert!(!old.ends_sessions(&IdentityProvider {
        name: "New".to_owned(),
        ..old.clone()
    }));
    assert!(old.ends_sessions(&IdentityProvider {
        enabled: false,
        ..old.clone()
    }));
    assert!(old.ends_sessions(&IdentityProvider {
        issuer: "https://other.example".to_owned(),
        ..old.clone()
    }));
}
