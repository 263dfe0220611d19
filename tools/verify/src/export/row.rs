//! Checks one event of an export.

use std::fmt::Display;

use serde_json::Value;
use tenantry_transparency::leaf::ERASED;
use tenantry_transparency::{Leaf, check_inclusion};

use super::Audit;
use crate::format::Row;

impl Audit<'_> {
    pub(super) fn row(&mut self, line: u64, row: Row) {
        let index = row.index;
        let mut faults: Vec<String> = Vec::new();
        let in_order = self.indexes.step(index, self.is_complete());
        let is_next = in_order.is_ok();
        faults.extend(in_order.err());
        let read = self.event(&row);
        self.unbroken &= is_next && read.is_ok();
        match read {
            Ok((leaf, event)) => {
                if is_next {
                    // Where events are missing here, the numbers say nothing about the log.
                    let is_complete = self.is_complete() && self.unbroken;
                    faults.extend(self.sources.step(&event, is_complete).err());
                    if self.edge.size() == index && self.edge.push(leaf.hash(), |_, _| {}).is_ok() {
                        self.earlier.pass(&self.edge);
                    }
                }
                self.included += 1;
                self.disclosed += row.disclosed.len() as u64;
                let erased = event.get(ERASED).and_then(Value::as_array);
                self.erased += erased.map_or(0, Vec::len) as u64;
                faults.extend(self.shown(&row, &event));
            }
            Err(why) => faults.push(why),
        }
        for fault in faults {
            self.wrong(line, format!("index {index}: {fault}"));
        }
    }

    /// The leaf and the event in it, if it is in the log.
    fn event(&self, row: &Row) -> Result<(Leaf, Value), String> {
        let leaf = Leaf::parse(&row.leaf).map_err(text)?;
        if let Some(opened) = &self.opened {
            check_inclusion(&opened.tree, row.index, leaf.hash(), &row.proof).map_err(|_| {
                "the event isn't in the log at this place as it stands here, or its proof was changed"
            })?;
        }
        let mut event = leaf.open(&row.disclosed).map_err(text)?;
        if let Some(opened) = &self.opened {
            let tenant = event.get("tenant_id").and_then(Value::as_str);
            if tenant != Some(&opened.tenant.to_string()) {
                return Err("the event is of another tenant".to_owned());
            }
        }
        // Its place isn't in the leaf, and is as proved.
        if let Some(members) = event.as_object_mut() {
            let index = || Value::String(row.index.to_string());
            members.entry("index").or_insert_with(index);
        }
        Ok((leaf, event))
    }

    /// What is shown beside the leaf and isn't so.
    fn shown(&mut self, row: &Row, event: &Value) -> Option<String> {
        self.uncovered.add_all(&row.besides);
        let uncovered = &mut self.uncovered;
        let differs = row
            .shown
            .iter()
            .find_map(|shown| shown.differs(event, uncovered))?;
        Some(format!("{differs} isn't shown as it was logged"))
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
