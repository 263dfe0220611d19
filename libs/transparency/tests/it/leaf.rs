//! Leaves: what is shown is what was logged, and what is erased stays proven.

use serde_json::{Value, json};
use tenantry_core::random;
use tenantry_transparency::{Disclosures, Leaf, LeafError};

fn seal(event: Value, personal: &[&str]) -> Result<(Leaf, Disclosures), LeafError> {
    let personal: Vec<String> = personal.iter().map(|&pointer| pointer.to_owned()).collect();
    Leaf::seal(event, &personal, random::bytes)
}

fn sign_in() -> Value {
    json!({
        "id": "0199",
        "action": "session.created",
        "actor": {"id": "7", "email": "ada@acme.example", "name": null},
        "ip_address": "192.0.2.7",
        "n": 12,
    })
}

const PERSONAL: &[&str] = &["/actor/email", "/actor/name", "/ip_address", "/absent/too"];

#[test]
fn a_leaf_says_nothing_of_personal_values_and_opens_to_the_event() {
    let (leaf, disclosures) = seal(sign_in(), PERSONAL).unwrap();
    assert!(!leaf.as_str().contains("acme.example") && !leaf.as_str().contains("192.0.2.7"));
    // What leads nowhere, or to null, isn't listed.
    assert!(
        leaf.as_str()
            .contains(r#""personal":["/actor/email","/ip_address"]"#)
    );
    assert_eq!(Leaf::parse(leaf.as_str()).unwrap(), leaf);
    assert_eq!(leaf.check(&disclosures), Ok(()));
    assert_eq!(leaf.open(&disclosures), Ok(sign_in()));
}

#[test]
fn the_same_value_leaves_another_commitment_each_time() {
    let (one, _) = seal(sign_in(), PERSONAL).unwrap();
    let (other, _) = seal(sign_in(), PERSONAL).unwrap();
    assert_ne!(one, other);
    let salts = seal(json!({"a": "x", "b": "x"}), &["/a", "/b"]).unwrap().1;
    assert_ne!(salts["/a"].salt, salts["/b"].salt);
}

#[test]
fn an_erased_value_is_null_and_told_and_the_hash_stays() {
    let (leaf, mut disclosures) = seal(sign_in(), PERSONAL).unwrap();
    let hash = leaf.hash();
    disclosures.remove("/actor/email");
    let mut expected = sign_in();
    expected["actor"]["email"] = Value::Null;
    expected["erased"] = json!(["/actor/email"]);
    assert_eq!(leaf.open(&disclosures), Ok(expected));
    assert_eq!(leaf.hash(), hash);
    assert_eq!(
        leaf.open(&Disclosures::new()).unwrap()["erased"],
        json!(["/actor/email", "/ip_address"])
    );
}

#[test]
fn a_changed_or_foreign_disclosure_is_named() {
    let (leaf, disclosures) = seal(sign_in(), PERSONAL).unwrap();
    let mismatch = Err(LeafError::Mismatch("/actor/email".to_owned()));
    let mut changed = disclosures.clone();
    changed.get_mut("/actor/email").unwrap().value = json!("eve@acme.example");
    assert_eq!(leaf.check(&changed), mismatch);
    let mut salted = disclosures.clone();
    salted.get_mut("/actor/email").unwrap().salt[3] ^= 1;
    assert_eq!(leaf.check(&salted), mismatch);
    let mut foreign = disclosures.clone();
    foreign.insert("/n".to_owned(), disclosures["/actor/email"].clone());
    assert_eq!(
        leaf.open(&foreign),
        Err(LeafError::Unlisted("/n".to_owned()))
    );
    let mut swapped = disclosures.clone();
    swapped.insert(
        "/ip_address".to_owned(),
        disclosures["/actor/email"].clone(),
    );
    assert_eq!(
        leaf.check(&swapped),
        Err(LeafError::Mismatch("/ip_address".to_owned()))
    );
}

#[test]
fn keys_and_values_of_every_kind_survive() {
    let event = json!({
        "z": 1, "a": -0.0, "large": 1e21, "small": 1e-7, "tenth": 0.1, "third": 0.333_333_333_333_333_3,
        "a/b": {"m~n": {"": ["x", {"deep": "ä€😀"}]}},
        "\u{fb33}": "beyond the surrogates in code units", "😀": "before it", "\u{7}\"\\": "\u{1f}\u{7f}",
        "object": {"name": "Ada", "tags": ["a", {"b": [1.5, null, true]}]},
    });
    let pointers = [
        "/a~1b/m~0n//1/deep",
        "/object",
        "/object/name",
        "/large",
        "/😀",
        "/a",
        "/z",
    ];
    let (leaf, disclosures) = seal(event.clone(), &pointers).unwrap();
    assert_eq!(
        disclosures.len(),
        6,
        "what lies within another one goes with it"
    );
    let text = serde_json::to_string(&disclosures).unwrap();
    let read: Disclosures = serde_json::from_str(&text).unwrap();
    let opened = Leaf::parse(leaf.as_str()).unwrap().open(&read).unwrap();
    assert_eq!(opened["large"], json!(1e21));
    assert_eq!(opened["object"], event["object"]);
    assert_eq!(opened["a/b"], event["a/b"]);
    assert_eq!(opened["third"], event["third"]);
    // In the order of UTF-16 code units, as RFC 8785 asks.
    let place = |key: &str| leaf.as_str().find(key).unwrap();
    assert!(place("😀") < place("\u{fb33}"));
    assert!(leaf.as_str().contains(r#""small":1e-7"#));
    let (plain, _) = seal(event, &[]).unwrap();
    assert!(plain.as_str().contains(r#""a":0,"#) && plain.as_str().contains(r#""large":1e+21"#));
}

#[test]
fn whole_numbers_that_doubles_would_round_are_kept_as_texts() {
    let most = 9_007_199_254_740_991_u64;
    let event =
        json!({"most": most, "more": most + 1, "max": u64::MAX, "min": i64::MIN, "mine": most + 2});
    let (leaf, mut disclosures) = seal(event, &["/mine"]).unwrap();
    let opened = leaf.open(&disclosures).unwrap();
    assert_eq!(opened["most"], json!(most));
    assert_eq!(opened["more"], json!("9007199254740992"));
    assert_eq!(opened["max"], json!("18446744073709551615"));
    assert_eq!(opened["min"], json!("-9223372036854775808"));
    assert_eq!(opened["mine"], json!("9007199254740993"));
    // Digits that the commitment doesn't speak for aren't believed.
    let (leaf, large) = seal(json!({"a": 1e17}), &["/a"]).unwrap();
    disclosures = large;
    disclosures.get_mut("/a").unwrap().value = json!(100_000_000_000_000_000_u64);
    assert_eq!(leaf.check(&disclosures), Ok(()));
    disclosures.get_mut("/a").unwrap().value = json!(100_000_000_000_000_001_u64);
    assert!(leaf.check(&disclosures).is_err());
}

#[test]
fn events_that_cannot_be_leaves_are_refused() {
    let reserved = |name| Err(LeafError::Reserved(name));
    assert_eq!(seal(json!({"personal": 1}), &[]), reserved("personal"));
    assert_eq!(seal(json!({"erased": []}), &[]), reserved("erased"));
    assert!(
        seal(
            json!({"after": {"personal": 1, "erased": 2}}),
            &["/after/personal"]
        )
        .is_ok()
    );
    assert_eq!(seal(json!([1]), &[]), Err(LeafError::NotAnObject));
    for pointer in ["", "a", "/a~2"] {
        assert_eq!(
            seal(json!({"a": 1}), &[pointer]),
            Err(LeafError::Pointer(pointer.to_owned()))
        );
    }
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    assert_eq!(seal(json!({"a": deep}), &[]), Err(LeafError::TooDeep));
}

#[test]
fn a_text_that_no_event_makes_is_no_leaf() {
    let commitment = "q".repeat(42) + "o";
    let good = format!(r#"{{"a":"{commitment}","b":[1],"personal":["/a"]}}"#);
    assert!(Leaf::parse(&good).is_ok());
    for (bad, why) in [
        (good.replace(",\"b\"", ", \"b\""), LeafError::NotCanonical),
        (good.replace("[1]", "[1.0]"), LeafError::NotCanonical),
        (
            good.replace("\"b\":[1]", "\"b\":[1],\"b\":[1]"),
            LeafError::NotCanonical,
        ),
        (
            good.replace("\"b\":[1],", "") + " ",
            LeafError::NotCanonical,
        ),
        (good.replace("}", ""), LeafError::NotCanonical),
        ("[]".to_owned(), LeafError::NotAnObject),
        (
            good.replace(",\"personal\":[\"/a\"]", ""),
            LeafError::NoList,
        ),
        (good.replace("[\"/a\"]", "\"/a\""), LeafError::NoList),
        (
            good.replace("[\"/a\"]", "[\"/a\",\"/a\"]"),
            LeafError::NoList,
        ),
        (
            good.replace("[\"/a\"]", "[\"/b\",\"/a\"]"),
            LeafError::NoList,
        ),
        (
            good.replace("[\"/a\"]", "[\"\"]"),
            LeafError::Pointer(String::new()),
        ),
        (
            good.replace("[\"/a\"]", "[\"/b\"]"),
            LeafError::NoCommitment("/b".to_owned()),
        ),
        (
            good.replace("[\"/a\"]", "[\"/c\"]"),
            LeafError::NoCommitment("/c".to_owned()),
        ),
        (
            good.replace(&commitment, "abc"),
            LeafError::NoCommitment("/a".to_owned()),
        ),
        (
            good.replace("[1]", "[1],\"erased\":[]"),
            LeafError::Reserved("erased"),
        ),
    ] {
        assert_eq!(Leaf::parse(&bad), Err(why), "{bad}");
    }
}

#[test]
fn leaves_keep_their_form() {
    let event = json!({"b": 2, "a": {"email": "ada@acme.example"}});
    let (leaf, disclosures) = Leaf::seal(event, &["/a/email".to_owned()], || [7; 16]).unwrap();
    assert_eq!(
        leaf.as_str(),
        r#"{"a":{"email":"riEUKUYNs4vNARGEL1OCX0Lab6ysXmQdjq4XQq3cbmM"},"b":2,"personal":["/a/email"]}"#
    );
    assert_eq!(
        serde_json::to_string(&disclosures).unwrap(),
        r#"{"/a/email":{"salt":"BwcHBwcHBwcHBwcHBwcHBw","value":"ada@acme.example"}}"#
    );
    assert_eq!(
        leaf.hash().to_string(),
        "rVpSeVX2TMdvu0jz2ehEX0MZKzOXcInieLG4Sh3Bx3Q="
    );
}

#[test]
fn debug_output_has_no_personal_value() {
    let (_, disclosures) = seal(sign_in(), PERSONAL).unwrap();
    assert!(!format!("{disclosures:?}").contains("ada"));
}
