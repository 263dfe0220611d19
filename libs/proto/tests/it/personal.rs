//! Which fields are about a person.

use tenantry_proto::personal;

use crate::golden;

#[test]
fn fields_about_persons_are_the_reviewed_ones() {
    let lines: String = personal::all()
        .iter()
        .map(|(resource_type, field)| format!("{resource_type} {field}\n"))
        .collect();
    golden::assert_text("tests/golden/personal.txt", &lines);
}

/// By the words that the services' events use, which aren't always those of a message.
#[test]
fn what_events_say_of_persons_is_known_as_that() {
    for (resource_type, fields) in [
        ("invitation", &["email"][..]),
        ("legal_hold", &["holder", "placed_by"]),
        ("limit", &["created_by"]),
        ("member", &["email", "name", "username"]),
        ("operator", &["email"]),
        ("session", &["ip_address", "user_agent"]),
        ("tenant", &["email", "billing_email", "contact_phone"]),
        ("tenant_import", &["started_by"]),
        ("user", &["email", "name", "subject"]),
    ] {
        for field in fields {
            assert!(
                personal::is_personal(resource_type, field),
                "{resource_type}.{field}"
            );
        }
    }
}

#[test]
fn names_of_what_is_no_person_are_not_personal() {
    for (resource_type, field) in [
        ("api_key", "name"),
        ("domain", "name"),
        ("identity_provider", "name"),
        ("invitation", "roles"),
        ("legal_hold", "reason"),
        ("limit", "reason"),
        ("member", "roles"),
        ("plan", "name"),
        ("project", "name"),
        ("role", "name"),
        ("service_account", "name"),
        ("tenant", "name"),
        ("tenant", "slug"),
        ("user", "issuer"),
    ] {
        assert!(
            !personal::is_personal(resource_type, field),
            "{resource_type}.{field}"
        );
    }
}

/// A type that no message is called by may be of a service that is still to come: rather too much than too little.
#[test]
fn an_unknown_type_is_judged_by_the_names_of_its_fields() {
    assert!(personal::is_personal("unheard_of", "email"));
    assert!(!personal::is_personal("unheard_of", "slug"));
}

/// Fields that sound like a person's are marked, so that a new one isn't forgotten.
#[test]
fn fields_that_sound_personal_are_marked() {
    const SOUNDS: [&str; 6] = [
        "email",
        "contact_phone",
        "username",
        "ip_address",
        "user_agent",
        "billing_email",
    ];
    for message in crate::pool().all_messages().filter(|message| {
        message.package_name().starts_with("tenantry.")
            && !message.package_name().starts_with("tenantry.options")
    }) {
        for field in message.fields() {
            let marked = field.options().extensions().any(|(option, value)| {
                option.full_name() == "tenantry.options.v1.personal"
                    && value.as_bool() == Some(true)
            });
            assert!(
                marked || !SOUNDS.contains(&field.name()),
                "{}: mark it `(tenantry.options.v1.personal) = true`",
                field.full_name()
            );
        }
    }
}
