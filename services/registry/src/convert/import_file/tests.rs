use tenantry_core::Reason;

use super::*;

fn csv(content: &str) -> Vec<NewRow> {
    read("default", Format::Csv, content).unwrap()
}

fn ndjson(content: &str) -> Vec<NewRow> {
    read("default", Format::Ndjson, content).unwrap()
}

/// Why a file was refused as a whole.
fn refused(format: Format, content: &str) -> String {
    let refusal = read("default", format, content).unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidArgument);
    assert_eq!(refusal.violations[0].field, "content");
    refusal.violations[0].description.clone()
}

/// The fields that a row was refused for.
fn fields(row: &NewRow) -> Vec<&str> {
    let refusal = row.draft.as_ref().unwrap_err();
    let violations = refusal.violations.iter();
    violations.map(|wrong| wrong.field.as_str()).collect()
}

#[test]
fn a_row_says_all_that_a_create_can_say_in_either_format() {
    let as_csv = csv(
        "name,slug,external_id,email,billing_email,contact_phone,timezone,locale,region,subscription_tier,trial_days,\
         labels.segment,metadata,parent_id\r\n\
         \"Acme, Inc.\",acme,crm-1,a@example.com,b@example.com,+491701234567,Europe/Berlin,de-DE,eu,pro,14,\
         smb,\"{\"\"source\"\": \"\"crm\"\"}\",top\r\n",
    );
    let as_ndjson = ndjson(
        r#"{"name": "Acme, Inc.", "slug": "acme", "external_id": "crm-1", "email": "a@example.com", "billing_email": "b@example.com", "contact_phone": "+491701234567", "timezone": "Europe/Berlin", "locale": "de-DE", "region": "eu", "subscription_tier": "pro", "trial_days": 14, "labels": [{"key": "segment", "value": "smb"}], "metadata": {"source": "crm"}, "parent_id": "top"}"#,
    );
    let [csv, ndjson] = [as_csv, as_ndjson].map(|rows| {
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!(
            (row.name.as_str(), row.slug.as_str()),
            ("Acme, Inc.", "acme")
        );
        serde_json::to_value(row.draft.as_ref().unwrap()).unwrap()
    });
    assert_eq!(csv, ndjson);
    assert_eq!(csv["new"]["metadata"]["source"], "crm");
    assert_eq!(csv["new"]["labels"]["segment"], "smb");
    assert_eq!(csv["parent"]["named"], "top");
}

#[test]
fn rows_are_told_by_the_line_that_they_begin_in() {
    let text = "\u{feff}name,region\n\"Two\nlines\",eu\n,,\n,,x\n\n\nLast,us\n";
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        let rows = csv(&text);
        let lines: Vec<_> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 5, 8]);
        assert_eq!(fields(&rows[0]), ["name"], "a name has no line ends");
        assert_eq!(fields(&rows[1]), ["row"], "one value too many");
        assert!(rows[2].draft.is_ok());
    }
    let rows = ndjson("\n{\"name\": \"One\"}\n\n{\"name\": \"Two\"}");
    let lines: Vec<_> = rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [2, 4]);
}

#[test]
fn what_is_no_such_file_is_refused_as_a_whole_by_line_and_column() {
    let large = "x".repeat(MAX_BYTES + 1);
    let many = format!("name\n{}", "a\n".repeat(MAX_ROWS + 1));
    for (content, place, what) in [
        ("", "has no rows", "first line"),
        ("name\n", "has no rows", ""),
        ("name,plam\nAcme,pro\n", "line 1, column 2: ", "\"plam\""),
        ("name,slug,name\n", "line 1, column 3: ", "twice"),
        ("slug,email\na,b\n", "line 1: ", "`name`"),
        ("name;slug\nAcme;acme\n", "line 1, column 1: ", "commas"),
        ("name\tslug\nAcme\tacme\n", "line 1, column 1: ", "commas"),
        ("name,labels.\na,b\n", "line 1, column 2: ", "\"labels.\""),
        (
            "name\nOne\n\"Two\nThree\nFour\n",
            "line 3: ",
            "quotation mark",
        ),
        ("name\nA\0b\n", "line 2, column 2: ", "NUL"),
        (
            "name\nok\nKöln M\u{fffd}lheim\n",
            "line 3, column 7: ",
            "UTF-8",
        ),
        (&large, "is larger than 3000000 bytes", "split"),
        (&many, "has more than 10000 rows", "split"),
    ] {
        let why = refused(Format::Csv, content);
        assert!(why.starts_with(place) && why.contains(what), "{why}");
    }
    let many = "{}\n".repeat(MAX_ROWS + 1);
    for (content, place) in [("\n \n", "has no rows"), (&many, "has more than 10000")] {
        let why = refused(Format::Ndjson, content);
        assert!(why.starts_with(place), "{why}");
    }
}

#[test]
fn a_bad_row_is_refused_alone_for_all_that_is_wrong_with_it() {
    let rows = csv(
        "name,slug,email,trial_days,metadata,parent_id,parent_external_id\n\
         Good,,,,,,\n\
         ,,nobody,soon,[],top,crm-1\n\
         Low,ab,,,,,\n\
         Kept,admin,,,,,\n\
         Short,only\n\
         Empty,,,,\"{\"\"\"\": 1}\",,\n",
    );
    assert!(rows[0].draft.is_ok());
    assert_eq!(
        fields(&rows[1]),
        ["trial_days", "metadata", "parent_external_id"]
    );
    assert_eq!(fields(&rows[2]), ["slug"]);
    assert_eq!(
        rows[3].draft.as_ref().unwrap_err().reason,
        Reason::SlugReserved
    );
    assert_eq!(fields(&rows[4]), ["row"]);
    assert_eq!(fields(&rows[5]), ["metadata"]);
    let rows = ndjson(
        r#"{"name": "Good", "slug": null, "labels": null}
{"name": 7, "plan": "pro", "labels": [{"key": "a"}], "trial_days": 1.5, "metadata": {"a": {"": 1}}}
["name"]
{"name": "Cut
{"name": "N\u0000l", "external_id": "\u0000"}
{"name": "Meta", "metadata": {"a": "\u0000"}}
{"name": "Labels", "labels": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}
{"name": "Parent", "parent_id": "\u0000"}"#,
    );
    assert!(rows[0].draft.is_ok());
    let mut all = fields(&rows[1]);
    all.sort_unstable();
    assert_eq!(all, ["labels", "metadata", "name", "plan", "trial_days"]);
    assert_eq!(fields(&rows[2]), ["row"]);
    assert_eq!(fields(&rows[3]), ["row"]);
    assert_eq!(fields(&rows[4]), ["name", "external_id"]);
    assert_eq!(
        (rows[4].name.as_str(), rows[4].external_id.as_str()),
        ("Nl", "")
    );
    assert_eq!(fields(&rows[5]), ["metadata"]);
    assert_eq!(fields(&rows[6]), ["labels"]);
    assert_eq!(fields(&rows[7]), ["parent_id"]);
}
