//! JSON pointers (RFC 6901), read strictly: each place has one pointer.

use serde_json::Value;

/// Whether this is a pointer to something within a document, written the one way that there is.
#[must_use]
pub fn is_well_formed(pointer: &str) -> bool {
    let Some(rest) = pointer.strip_prefix('/') else {
        return false;
    };
    rest.split('/').all(|token| {
        token
            .split('~')
            .skip(1)
            .all(|after| after.starts_with(['0', '1']))
    })
}

/// The name of the document's own member that the pointer leads into, as it is written in the pointer.
#[must_use]
pub fn first_token(pointer: &str) -> &str {
    pointer.split('/').nth(1).unwrap_or_default()
}

/// The pointer to a member or an element of what another one leads to.
#[must_use]
pub fn join(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// What the pointer leads to, unless that is nothing or null.
#[must_use]
pub fn find_mut<'a>(document: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    document
        .pointer_mut(pointer)
        .filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_pointer() {
        for good in ["/a", "/", "/a//b", "/a~0b/~1", "/0", "/ü"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in ["", "a", "a/b", "/a~b", "/~", "/~2", "/a~"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }

    #[test]
    fn a_joined_pointer_leads_there() {
        let document = serde_json::json!({"a/b": {"c~1d": [1, 2]}});
        let pointer = join(&join(&join("", "a/b"), "c~1d"), "1");
        assert!(is_well_formed(&pointer));
        assert_eq!(document.pointer(&pointer), Some(&Value::from(2)));
        assert_eq!(first_token(&pointer), "a~1b");
    }
}
