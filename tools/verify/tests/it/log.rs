//! A log of a tenant, as the service keeps it, and what it gives out.

use serde_json::{Value, json};
use tenantry_core::{TenantId, random};
use tenantry_transparency::tree::proof_to_text;
use tenantry_transparency::{
    Disclosures, Frontier, Leaf, Signers, Tiles, TreeHead, origin_of_tenant,
};

pub(crate) const NAME: &str = "log.acme.example";
const PERSONAL: &[&str] = &["/actor/email", "/ip_address"];

/// One entry of an export, whatever its form.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Head(Value),
    Row(Value),
    End(Value),
}

pub(crate) struct Log {
    pub(crate) tenant: TenantId,
    /// Its signer's key.
    pub(crate) key: String,
    leaves: Vec<(Leaf, Disclosures)>,
    frontier: Frontier,
    tiles: Tiles,
}

/// A new signer's key.
pub(crate) fn key(name: &str) -> String {
    Signers::generate(name, random::bytes()).unwrap()
}

pub(crate) fn vkey(key: &str) -> String {
    Signers::parse(key).unwrap().vkeys().remove(0)
}

impl Log {
    pub(crate) fn new(events: u64) -> Self {
        let mut log = Self {
            tenant: TenantId::new(),
            key: key(NAME),
            leaves: Vec::new(),
            frontier: Frontier::new(),
            tiles: Tiles::new(),
        };
        for n in 1..=events {
            log.append(log.event(n));
        }
        log
    }

    /// The event that registry numbered so.
    pub(crate) fn event(&self, n: u64) -> Value {
        json!({
            "v": 1,
            "id": format!("0199-{n}"),
            "timestamp": format!("2026-11-22T04:{:02}:{:02}.1254Z", n / 60 % 60, n % 60),
            "tenant_id": self.tenant,
            "event_type": "tenant.updated",
            "outcome": "success",
            "actor": {"kind": "user", "id": "7", "user_id": "7", "email": "ada@acme.example"},
            "resource": {"type": "tenant", "id": self.tenant},
            "ip_address": "192.0.2.7",
            "changes": {
                "name": {"before": format!("\"Acme\", {n}\u{e4}"), "after": "=Acme"},
                "seats": {"before": n, "after": n + 1},
            },
            "source": "registry",
            "epoch": 1,
            "n": n,
        })
    }

    /// What the API shows of an event.
    pub(crate) fn shown(index: u64, event: &Value) -> Value {
        json!({
            "id": event["id"],
            "tenant_id": event["tenant_id"],
            "index": index.to_string(),
            "timestamp": event["timestamp"].as_str().unwrap().replace(".1254Z", ".125400Z"),
            "event_type": event["event_type"],
            "outcome": event["outcome"],
            "reason": "",
            "actor": {
                "kind": event["actor"]["kind"],
                "id": event["actor"]["id"],
                "user_id": event["actor"]["user_id"],
                "email": event["actor"]["email"].as_str().unwrap_or_default(),
                "key_id": "",
                "name": "",
            },
            "resource_type": event["resource"]["type"],
            "resource_id": event["resource"]["id"],
            "changes": event["changes"],
            "ip_address": event["ip_address"].as_str().unwrap_or_default(),
            "user_agent": "",
            "source": event["source"],
            "erased": event.get("erased").cloned().unwrap_or_else(|| json!([])),
        })
    }

    pub(crate) fn append(&mut self, event: Value) {
        let personal: Vec<String> = PERSONAL.iter().map(|&p| p.to_owned()).collect();
        let (leaf, disclosures) = Leaf::seal(event, &personal, random::bytes).unwrap();
        let growth = self.frontier.extend([leaf.hash()]).unwrap();
        for (id, hashes) in growth.tiles {
            self.tiles.insert(id, hashes);
        }
        self.leaves.push((leaf, disclosures));
    }

    /// A log that begins as this one does, goes on differently, and is signed with the same key.
    pub(crate) fn fork(&self, at: u64, events: u64) -> Self {
        let leaves = self.leaves[..usize::try_from(at).unwrap()].to_vec();
        let mut frontier = Frontier::new();
        let growth = frontier.extend(leaves.iter().map(|(leaf, _)| leaf.hash()));
        let mut fork = Self {
            tenant: self.tenant,
            key: self.key.clone(),
            leaves,
            frontier,
            tiles: growth.unwrap().tiles.into_iter().collect(),
        };
        for n in at + 1..=events {
            let mut event = fork.event(n);
            event["event_type"] = json!("tenant.deleted");
            fork.append(event);
        }
        fork
    }

    pub(crate) fn erase(&mut self, index: usize, pointer: &str) {
        self.leaves[index].1.remove(pointer).unwrap();
    }

    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn head_at(&self, size: u64) -> TreeHead {
        let root = self.tiles.root_at(size, &self.frontier.head()).unwrap();
        TreeHead { size, root }
    }

    pub(crate) fn checkpoint(&self, size: u64) -> String {
        let origin = origin_of_tenant(NAME, self.tenant);
        let signers = Signers::parse(&self.key).unwrap();
        signers.sign(&origin, &self.head_at(size)).unwrap()
    }

    /// The public half of its key.
    pub(crate) fn vkey(&self) -> String {
        vkey(&self.key)
    }

    pub(crate) fn consistency(&self, from: u64) -> Vec<String> {
        proof_to_text(
            &self
                .tiles
                .prove_consistency(from, &self.frontier.head())
                .unwrap(),
        )
    }

    /// The first entry of an export.
    pub(crate) fn head(&self, complete: bool, from: u64) -> Value {
        json!({
            "version": 1,
            "format": "",
            "tenant_id": self.tenant,
            "from_index": from.to_string(),
            "tree_size": self.size().to_string(),
            "checkpoint": self.checkpoint(self.size()),
            "complete": complete,
        })
    }

    pub(crate) fn row(&self, index: u64) -> Value {
        let (leaf, disclosed) = &self.leaves[usize::try_from(index).unwrap()];
        let proof = self
            .tiles
            .prove_inclusion(&self.frontier.head(), index)
            .unwrap();
        json!({
            "index": index.to_string(),
            "event": Self::shown(index, &leaf.open(disclosed).unwrap()),
            "leaf": leaf.as_str(),
            "disclosed": disclosed,
            "proof": proof_to_text(&proof),
        })
    }

    /// An export of these events, which says that it begins with the first of them.
    pub(crate) fn export(
        &self,
        complete: bool,
        indexes: impl IntoIterator<Item = u64>,
    ) -> Vec<Entry> {
        let mut indexes = indexes.into_iter().peekable();
        let from = indexes.peek().copied().unwrap_or_else(|| self.size());
        let mut entries = vec![Entry::Head(self.head(complete, from))];
        entries.extend(indexes.map(|index| Entry::Row(self.row(index))));
        let events = entries.len() - 1;
        let end = json!({"reason": "COMPLETE", "events": events.to_string()});
        entries.push(Entry::End(end));
        entries
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Vec<Entry> {
        self.export(true, 0..self.size())
    }

    /// What the API's proof call answers.
    pub(crate) fn answer(&self, index: u64, from: u64) -> Value {
        let row = self.row(index);
        json!({
            "tenant_id": self.tenant,
            "index": row["index"],
            "tree_size": self.size().to_string(),
            "leaf": row["leaf"],
            "disclosed": row["disclosed"].to_string(),
            "inclusion": row["proof"],
            "consistency_from": from.to_string(),
            "consistency": self.consistency(from),
            "root_hash": self.head_at(self.size()).root.to_string(),
            "checkpoint": self.checkpoint(self.size()),
        })
    }
}

impl Entry {
    pub(crate) fn said(&mut self) -> &mut Value {
        match self {
            Self::Head(said) | Self::Row(said) | Self::End(said) => said,
        }
    }
}
