//! Which fields are about a person, by the contracts' option `tenantry.options.v1.personal`: the log holds their values so
//! that they can be erased.

include!(concat!(env!("OUT_DIR"), "/personal.rs"));

/// What events say of persons and no message has.
const OF_EVENTS: &[(&str, &str)] = &[
    // Who the person is at an identity provider.
    ("user", "subject"),
];

/// Every field that is about a person: the type of its resource, as events spell it, and its name. Sorted.
#[must_use]
pub fn all() -> &'static [(&'static str, &'static str)] {
    PERSONAL
}

/// Whether a field of an event's states is about a person. A type of resource that is no message's name is judged by the
/// name of the field alone: it is one where it is one of any message.
#[must_use]
pub fn is_personal(resource_type: &str, field: &str) -> bool {
    if OF_EVENTS.contains(&(resource_type, field)) {
        return true;
    }
    if RESOURCE_TYPES.binary_search(&resource_type).is_ok() {
        PERSONAL.binary_search(&(resource_type, field)).is_ok()
    } else {
        NAMES.binary_search(&field).is_ok()
    }
}
