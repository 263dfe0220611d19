//! A leaf of the log: the canonical text of one event, in which salted commitments stand for personal values. Values and
//! salts are kept beside it and can be erased; the leaf, its hash and every proof stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tlog_tiles::Hash;

use crate::{canonical, pointer};

/// The member of a leaf that lists the pointers (RFC 6901) of its personal values, in the order of their bytes.
pub const PERSONAL: &str = "personal";
/// The member of an opened leaf that lists the pointers of values that are gone.
pub const ERASED: &str = "erased";

/// What makes a commitment say nothing to whoever tries values: 16 random bytes, new for each value.
pub type Salt = [u8; 16];

/// One event, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    text: String,
}

/// What opens one commitment.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// The value's salt.
    #[serde(with = "salt_text")]
    pub salt: Salt,
    /// The personal value.
    pub value: Value,
}

/// What opens the commitments of a leaf, by pointer.
pub type Disclosures = BTreeMap<String, Disclosure>;

/// Why something is no leaf, or no disclosure of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// It is no JSON object.
    #[error("an event is a JSON object")]
    NotAnObject,
    /// The event has a member that leaves have for themselves.
    #[error("an event has no member called {0}: leaves have it for themselves")]
    Reserved(&'static str),
    /// A pointer isn't one, or leads to no member of the event.
    #[error("{0:?} is no pointer into an event")]
    Pointer(String),
    /// It is nested too deep.
    #[error("the event is nested deeper than {} levels", canonical::MAX_DEPTH)]
    TooDeep,
    /// The text isn't in the canonical form.
    #[error("the leaf is no JSON in the canonical form of RFC 8785")]
    NotCanonical,
    /// The list of personal values isn't there or isn't sorted.
    #[error("the leaf doesn't list its personal values")]
    NoList,
    /// A listed pointer leads to no commitment.
    #[error("the leaf has no commitment at {0}")]
    NoCommitment(String),
    /// A value is disclosed that the leaf doesn't list.
    #[error("the leaf lists no personal value at {0}")]
    Unlisted(String),
    /// A disclosed value isn't what the leaf commits to.
    #[error("the value shown for {0} isn't the one that the leaf commits to")]
    Mismatch(String),
}

impl Leaf {
    /// The leaf of an event, and what opens it again. Where a pointer leads to nothing or to null, nothing is personal; what
    /// lies within another personal value goes with it.
    ///
    /// # Errors
    /// For an event that isn't an object, is nested deeper than [`canonical::MAX_DEPTH`] or has a member called `personal` or
    /// `erased`; and for a pointer that isn't well formed.
    pub fn seal(
        mut event: Value,
        personal: &[String],
        mut salt: impl FnMut() -> Salt,
    ) -> Result<(Self, Disclosures), LeafError> {
        let members = event.as_object().ok_or(LeafError::NotAnObject)?;
        if let Some(reserved) = [PERSONAL, ERASED]
            .into_iter()
            .find(|name| members.contains_key(*name))
        {
            return Err(LeafError::Reserved(reserved));
        }
        canonical::settle(&mut event)?;
        let mut disclosures = Disclosures::new();
        // Sorted, so that a value comes before what lies within it.
        for pointer in personal.iter().collect::<BTreeSet<_>>() {
            if !pointer::is_well_formed(pointer) {
                return Err(LeafError::Pointer(pointer.clone()));
            }
            if let Some(place) = pointer::find_mut(&mut event, pointer) {
                let disclosure = Disclosure {
                    salt: salt(),
                    value: place.take(),
                };
                *place = Value::String(disclosure.commitment()?);
                disclosures.insert(pointer.clone(), disclosure);
            }
        }
        let listed = disclosures.keys().cloned().map(Value::String).collect();
        event[PERSONAL] = Value::Array(listed);
        let text = canonical::text(&event)?;
        Ok((Self { text }, disclosures))
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// For a text that [`Self::seal`] doesn't make of any event.
    pub fn parse(text: &str) -> Result<Self, LeafError> {
        let leaf = Self {
            text: text.to_owned(),
        };
        let (members, personal) = leaf.read()?;
        if members.contains_key(ERASED) {
            return Err(LeafError::Reserved(ERASED));
        }
        let event = Value::Object(members);
        for pointer in personal {
            if !pointer::is_well_formed(&pointer) || pointer::first_token(&pointer) == PERSONAL {
                return Err(LeafError::Pointer(pointer));
            }
            let commitment = event.pointer(&pointer).and_then(Value::as_str);
            if !commitment.is_some_and(is_commitment) {
                return Err(LeafError::NoCommitment(pointer));
            }
        }
        if canonical::text(&event)? != text {
            return Err(LeafError::NotCanonical);
        }
        Ok(leaf)
    }

    /// The text, whose hash is in the log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text, taken out.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    /// The hash of the leaf in its tree (RFC 6962, section 2.1).
    #[must_use]
    pub fn hash(&self) -> Hash {
        tlog_tiles::record_hash(self.text.as_bytes())
    }

    /// The event, its personal values put back. One whose disclosure is gone is null, and the member `erased` lists it.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn open(&self, disclosures: &Disclosures) -> Result<Value, LeafError> {
        let (mut members, personal) = self.read()?;
        members.remove(PERSONAL);
        let mut event = Value::Object(members);
        check(&event, &personal, disclosures)?;
        let mut erased = Vec::new();
        for pointer in personal {
            let value = disclosures.get(&pointer).map(|known| known.value.clone());
            if let Some(place) = event.pointer_mut(&pointer) {
                *place = value.unwrap_or_else(|| {
                    erased.push(Value::String(pointer));
                    Value::Null
                });
            }
        }
        if !erased.is_empty() {
            event[ERASED] = Value::Array(erased);
        }
        Ok(event)
    }

    /// Holds disclosures against the leaf. Those of erased values may be missing.
    ///
    /// # Errors
    /// For one that the leaf doesn't list, or that isn't what it commits to.
    pub fn check(&self, disclosures: &Disclosures) -> Result<(), LeafError> {
        let (members, personal) = self.read()?;
        check(&Value::Object(members), &personal, disclosures)
    }

    /// The members, and the listed pointers.
    fn read(&self) -> Result<(Map<String, Value>, Vec<String>), LeafError> {
        let value = serde_json::from_str(&self.text).map_err(|_| LeafError::NotCanonical)?;
        let Value::Object(members) = value else {
            return Err(LeafError::NotAnObject);
        };
        let listed = members.get(PERSONAL).ok_or(LeafError::NoList)?;
        let personal = Vec::<String>::deserialize(listed).map_err(|_| LeafError::NoList)?;
        if !personal.is_sorted_by(|one, next| one < next) {
            return Err(LeafError::NoList);
        }
        Ok((members, personal))
    }
}

impl Disclosure {
    /// What stands in the leaf in the value's place: SHA-256 of the salt and the value's canonical text, in base64url.
    ///
    /// # Errors
    /// None for values that were read from JSON.
    pub fn commitment(&self) -> Result<String, LeafError> {
        let hash = Sha256::new()
            .chain_update(self.salt)
            .chain_update(canonical::text(&self.value)?)
            .finalize();
        Ok(URL_SAFE_NO_PAD.encode(hash))
    }
}

// What is personal stays out of logs.
impl fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disclosure(..)")
    }
}

fn check(event: &Value, personal: &[String], disclosures: &Disclosures) -> Result<(), LeafError> {
    for (pointer, disclosure) in disclosures {
        if personal.binary_search(pointer).is_err() {
            return Err(LeafError::Unlisted(pointer.clone()));
        }
        let commitment = event.pointer(pointer).and_then(Value::as_str);
        if commitment != Some(&disclosure.commitment()?) || !canonical::is_exact(&disclosure.value)
        {
            return Err(LeafError::Mismatch(pointer.clone()));
        }
    }
    Ok(())
}

fn is_commitment(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|hash| hash.len() == 32)
}

/// Salts in base64url.
mod salt_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use super::Salt;

    pub(super) fn serialize<S: Serializer>(salt: &Salt, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&URL_SAFE_NO_PAD.encode(salt))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Salt, D::Error> {
        let text = String::deserialize(from)?;
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| de::Error::custom("a salt is 16 bytes in base64url"))
    }
}
