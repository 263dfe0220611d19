//! The forms of an export.

use serde_json::{Value, json};

use crate::log::Entry;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Ndjson,
    Ocsf,
    Csv,
}

pub(crate) const FORMS: [Form; 3] = [Form::Ndjson, Form::Ocsf, Form::Csv];

const COLUMNS: [&str; 17] = [
    "index",
    "id",
    "timestamp",
    "event_type",
    "changes",
    "erased",
    "outcome",
    "actor_id",
    "actor_email",
    "resource_type",
    "resource_id",
    "ip_address",
    "request_id",
    "summary",
    "leaf",
    "disclosed",
    "proof",
];

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Ocsf => "ocsf",
            Self::Csv => "csv",
        }
    }

    /// The text of an export, an entry to each line.
    pub(crate) fn write(self, entries: &[Entry]) -> String {
        let mut text = String::new();
        if self == Self::Csv {
            text.push_str(&record(&COLUMNS.map(str::to_owned)));
        }
        for entry in entries {
            let mut entry = entry.clone();
            if let Entry::Head(head) = &mut entry
                && head["format"] == ""
            {
                head["format"] = json!(self.name());
            }
            match self {
                Self::Ndjson => text.push_str(&format!("{}\n", ndjson(entry))),
                Self::Ocsf => text.push_str(&format!("{}\n", ocsf(entry))),
                Self::Csv => text.push_str(&csv(entry)),
            }
        }
        text
    }
}

fn ndjson(entry: Entry) -> Value {
    match entry {
        Entry::Head(said) => json!({"export": said}),
        Entry::Row(said) => said,
        Entry::End(said) => json!({"end": said}),
    }
}

fn ocsf(entry: Entry) -> Value {
    let Entry::Row(mut row) = entry else {
        return json!({"unmapped": {"tenantry": ndjson(entry)}});
    };
    let event = row.as_object_mut().unwrap().remove("event").unwrap();
    let time = event["timestamp"]
        .as_str()
        .and_then(|time| time.parse::<jiff::Timestamp>().ok());
    json!({
        "class_uid": 6003,
        "time": time.map(jiff::Timestamp::as_millisecond),
        "metadata": {"uid": event["id"], "version": "1.6.0"},
        "api": {"operation": event["event_type"]},
        "actor": {"user": {"uid": event["actor"]["id"], "email_addr": event["actor"]["email"]}},
        "resources": [{"type": event["resource_type"], "uid": event["resource_id"]}],
        "src_endpoint": {"ip": event["ip_address"]},
        "unmapped": {"tenantry": row},
    })
}

fn csv(entry: Entry) -> String {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (index, said) = match entry {
        Entry::Head(said) => ("export", said),
        Entry::End(said) => ("end", said),
        Entry::Row(row) => {
            let event = &row["event"];
            let hashes: Vec<String> = serde_json::from_value(row["proof"].clone()).unwrap();
            return record(&COLUMNS.map(|column| match column {
                "index" | "leaf" | "disclosed" => cell(&row[column]),
                "proof" => guarded(&hashes.join(" ")),
                "actor_id" => cell(&event["actor"]["id"]),
                "actor_email" => guarded(&cell(&event["actor"]["email"])),
                "summary" => "says what it likes, \"quoted\"".to_owned(),
                column => cell(&event[column]),
            }));
        }
    };
    record(&COLUMNS.map(|column| match column {
        "index" => index.to_owned(),
        "leaf" => said.to_string(),
        _ => String::new(),
    }))
}

/// As exports keep spreadsheets from taking a cell for a formula.
fn guarded(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

fn record(cells: &[String]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).unwrap();
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}
