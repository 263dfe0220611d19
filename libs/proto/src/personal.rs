//! Which fields are about people. Stand-in until the table is generated.

/// Whether a field of a resource of this type is about a person.
#[must_use]
pub fn is_personal(_resource_type: &str, field: &str) -> bool {
    matches!(
        field,
        "email" | "billing_email" | "contact_phone" | "username" | "subject"
    )
}
