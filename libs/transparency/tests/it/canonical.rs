//! The canonical form: the same bytes as another implementation writes, whatever the value.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use tenantry_transparency::canonical;

/// Characters that are escaped, or that sort differently by bytes and by code units.
const CHARS: [char; 16] = [
    'a',
    'b',
    'Z',
    '"',
    '\\',
    '/',
    '\u{0}',
    '\n',
    '\u{1f}',
    '\u{7f}',
    '\u{e4}',
    '\u{2028}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{fb33}',
    '\u{1f600}',
];

fn text(random: &mut StdRng) -> String {
    let length = random.random_range(0..5);
    (0..length)
        .map(|_| CHARS[random.random_range(0..CHARS.len())])
        .collect()
}

fn value(random: &mut StdRng, depth: u32) -> Value {
    match random.random_range(0..if depth > 0 { 9 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<u64>() >> random.random_range(0..64)),
        3 => json!(random.random::<i64>() >> random.random_range(0..64)),
        4 => json!(f64::from_bits(random.random())),
        5 => json!(f64::from(random.random::<i32>()) / 1000.0),
        6 => json!(text(random)),
        7 => (0..random.random_range(0..4))
            .map(|_| value(random, depth - 1))
            .collect(),
        _ => (0..random.random_range(0..6))
            .map(|_| (text(random), value(random, depth - 1)))
            .collect::<Map<String, Value>>()
            .into(),
    }
}

#[test]
fn every_value_has_the_text_that_another_implementation_gives_it() {
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..20_000 {
        let value = value(&mut random, 4);
        let text = canonical::text(&value).unwrap();
        assert_eq!(text, serde_json_canonicalizer::to_string(&value).unwrap());
        // And is its own canonical text.
        let again: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(canonical::text(&again).unwrap(), text);
    }
}

#[test]
fn the_examples_of_the_standard_have_its_texts() {
    // RFC 8785, sections 3.2.2 and 3.2.3.
    let example = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let value: Value = serde_json::from_str(example).unwrap();
    assert_eq!(
        canonical::text(&value).unwrap(),
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    let sorted: Value = serde_json::from_str(
        r#"{"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7}"#,
    )
    .unwrap();
    assert_eq!(
        canonical::text(&sorted).unwrap(),
        "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
    );
}
