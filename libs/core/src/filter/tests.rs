use super::*;

fn term(field: &str, op: Op, value: &str) -> Filter {
    Filter::Term(Term {
        field: field.into(),
        op,
        value: value.into(),
    })
}

#[test]
fn or_binds_tighter_than_and() {
    let filter = Filter::parse("a = 1 AND b = 2 OR c = 3").unwrap().unwrap();
    let or = Filter::Any(vec![term("b", Op::Eq, "2"), term("c", Op::Eq, "3")]);
    assert_eq!(filter, Filter::All(vec![term("a", Op::Eq, "1"), or]));
}

#[test]
fn literals_may_be_quoted_and_a_blank_means_and() {
    let filter = Filter::parse(r#"name : "a \"b\"" labels.tier != gold-1 NOT (x <= 2026-01-31)"#);
    assert_eq!(
        filter.unwrap().unwrap(),
        Filter::All(vec![
            term("name", Op::Has, "a \"b\""),
            term("labels.tier", Op::Ne, "gold-1"),
            Filter::Not(Box::new(term("x", Op::Le, "2026-01-31"))),
        ])
    );
}

#[test]
fn nothing_is_no_filter() {
    assert_eq!(Filter::parse("  ").unwrap(), None);
}

#[test]
fn nonsense_is_refused_with_a_sentence() {
    let deep = format!("{}a = 1{}", "(".repeat(20), ")".repeat(20));
    let long = "a = 1 ".repeat(40);
    for text in [
        "=",
        "a",
        "a =",
        "a = = b",
        "(a = 1",
        "a = 1)",
        "a = \"x",
        "AND a = 1",
        "a = 1 OR",
        "a ; 1",
        "NOT",
        &deep,
        &long,
    ] {
        let refusal = Filter::parse(text).unwrap_err();
        assert_eq!(refusal.reason, Reason::InvalidFilter, "{text}");
    }
}
