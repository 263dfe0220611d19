use serde_json::json;
use tenantry_transparency::leaf::LeafError;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn event() -> Value {
    json!({
        "id": "0199", "timestamp": "2026-11-22T04:05:06.789Z", "event_type": "member.added", "outcome": "success",
        "actor": {"kind": "user", "id": "7", "email": "+ada@acme.example"},
        "resource": {"type": "member", "id": "8"},
        "user_agent": "=HYPERLINK(\"http://evil.example\")",
        "changes": {"name": {"before": null, "after": "@SUM(1)"}},
    })
}

fn line(event: Value) -> Line {
    let personal = ["/actor/email".to_owned(), "/user_agent".to_owned()];
    let (leaf, disclosed) = Leaf::seal(event, &personal, || [7; 16]).unwrap();
    let disclosed = serde_json::to_string(&disclosed).unwrap();
    let hash = leaf.hash();
    let (line, damage) = Line::new(5, leaf.into_string(), Some(disclosed), &[hash, hash]);
    assert_eq!(damage, None);
    line
}

fn head(format: Format) -> Head {
    let wanted = Wanted {
        format,
        from_index: 3,
        consistent_with: 2,
        filter: Filter::default(),
    };
    let checkpoint = (9, "note\n".to_owned());
    Head::new(&wanted, (TenantId::PLATFORM, 5), checkpoint, &[])
}

fn written(format: Format, lines: &[Line]) -> String {
    let mut writer = Writer::begin(format, &head(format), NOW);
    for line in lines {
        writer.line(line);
    }
    writer.end(COMPLETE, NOW);
    String::from_utf8(writer.take()).unwrap()
}

/// The records of a CSV, without the columns' names.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let records = reader.records().map(|record| {
        let record = record.unwrap();
        record.iter().map(str::to_owned).collect()
    });
    records.collect()
}

#[test]
fn each_form_begins_with_what_it_is_and_ends_with_how_it_ended() {
    for format in [Format::Ndjson, Format::Csv, Format::Ocsf] {
        let text = written(format, &[line(event())]);
        let [first, last] = match format {
            Format::Csv => {
                let records = records(&text);
                let leaf = records[0].len() - 3;
                assert_eq!(
                    [&records[0][0], &records[1][0], &records[2][0]],
                    ["export", "5", "end"]
                );
                [&records[0][leaf], &records[2][leaf]].map(|text| parsed(text))
            }
            Format::Ndjson | Format::Ocsf => {
                let lines: Vec<Value> = text.lines().map(parsed).collect();
                assert_eq!(lines.len(), 3);
                let at = if format == Format::Ocsf {
                    "/unmapped/tenantry"
                } else {
                    ""
                };
                let said = |line: usize, name: &str| {
                    let said = lines[line].pointer(&format!("{at}/{name}"));
                    said.unwrap().clone()
                };
                [said(0, "export"), said(2, "end")]
            }
        };
        let expected = json!({
            "version": 1, "format": format.name(), "tenant_id": TenantId::PLATFORM, "from_index": "5", "tree_size": "9",
            "checkpoint": "note\n", "complete": true, "consistency": {"from": "2", "proof": []},
        });
        assert_eq!(first, expected);
        assert_eq!(last, json!({"reason": "COMPLETE", "events": "1"}));
    }
}

#[test]
fn no_cell_is_a_formula_and_each_says_what_was_logged() {
    let text = written(Format::Csv, &[line(event())]);
    assert!(text.contains("\r\n"));
    let records = records(&text);
    let has = |cell: &str| {
        assert!(
            records[1].contains(&cell.to_owned()),
            "{cell}: {:?}",
            records[1]
        );
    };
    has("'+ada@acme.example");
    has("'=HYPERLINK(\"http://evil.example\")");
    has("{\"name\":{\"after\":\"@SUM(1)\",\"before\":null}}");
    for (text, cell) in [
        ("=1", "'=1"),
        ("-1", "'-1"),
        ("\t1", "'\t1"),
        ("\n=1", "'\n=1"),
        ("\u{ff1d}1", "'\u{ff1d}1"),
        ("'", "''"),
        ("'=1", "''=1"),
        ("1=1", "1=1"),
        ("", ""),
    ] {
        let mut said = event();
        said["user_agent"] = json!(text);
        let records = self::records(&written(Format::Csv, &[line(said)]));
        assert!(records[1].contains(&cell.to_owned()), "{text:?}");
    }
}

#[test]
fn what_was_damaged_comes_out_as_it_is() {
    let whole = line(event());
    let disclosed = whole.disclosed.to_string();
    let other = disclosed.replace("ada@", "eve@");
    let cases = [
        (
            "no leaf".to_owned(),
            disclosed.clone(),
            LeafError::NotCanonical,
        ),
        (
            whole.leaf.clone(),
            other,
            LeafError::Mismatch("/actor/email".to_owned()),
        ),
    ];
    for (leaf, disclosed, expected) in cases {
        let (line, damage) = Line::new(5, leaf.clone(), Some(disclosed.clone()), &[]);
        assert_eq!(damage, Some(expected));
        assert_eq!((&line.leaf, line.disclosed.to_string()), (&leaf, disclosed));
        for format in [Format::Ndjson, Format::Csv, Format::Ocsf] {
            let text = written(format, &[line.clone(), whole.clone()]);
            assert!(text.contains("0199"), "{text}");
        }
    }
    let (line, _) = Line::new(5, whole.leaf, Some("no JSON".to_owned()), &[]);
    assert_eq!(line.disclosed, json!("no JSON"));
}

#[test]
fn an_event_has_the_class_and_activity_of_what_was_done() {
    let of = |event_type: &str, outcome: &str| {
        let mut said = event();
        said["event_type"] = json!(event_type);
        said["outcome"] = json!(outcome);
        let text = written(Format::Ocsf, &[line(said)]);
        let said: Value = parsed(text.lines().nth(1).unwrap());
        let name = said["activity_name"].as_str().unwrap().to_owned();
        (said["type_uid"].as_u64().unwrap(), name)
    };
    for (event_type, outcome, type_uid, activity) in [
        ("tenant.created", "success", 300_401, "Create"),
        ("tenant.domain_added", "success", 300_401, "Create"),
        ("tenant.updated", "success", 300_403, "Update"),
        ("tenant.plan_changed", "success", 300_403, "Update"),
        ("member.removed", "success", 300_404, "Delete"),
        ("tenant.moved", "success", 300_405, "Move"),
        ("tenant.suspended", "success", 300_412, "Suspend"),
        ("tenant.resumed", "success", 300_413, "Resume"),
        ("tenant.suspended", "denied", 600_303, "Update"),
        ("tenant.deleted", "failed", 600_304, "Delete"),
        ("audit_log.read", "success", 600_302, "Read"),
        ("audit_log.exported", "success", 600_302, "Read"),
        ("session.started", "success", 600_399, "started"),
        ("invoice.paid", "success", 600_399, "paid"),
    ] {
        assert_eq!(
            of(event_type, outcome),
            (type_uid, activity.to_owned()),
            "{event_type} {outcome}"
        );
    }
}
