//! A private Redis Cluster.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use redis::cmd;

use crate::keys;
use crate::port;
use crate::redis::Redis;
use crate::wait::until;

/// Slots that keys are in (Redis Cluster specification).
const SLOTS: usize = 16_384;
/// Longest wait until all nodes know each other.
const FORMED_WITHIN: Duration = Duration::from_secs(30);

/// Nodes that share all slots, without replicas. It ends when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts so many nodes with data under `dir`, and returns when each slot is served.
    ///
    /// # Errors
    /// When redis-server isn't installed, `dir` can't be written, or the nodes don't find each other.
    pub async fn start(dir: &Path, nodes: usize) -> Result<Self> {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("can't make the folder {}", dir.display()))?;
        let password = keys::password_file(&dir.join("password"))?;
        let mut started = Vec::new();
        let mut buses = Vec::new();
        for node in 0..nodes {
            let bus = port::free()?;
            let own = dir.join(format!("node-{node}"));
            let log = dir.join(format!("node-{node}.log"));
            let cluster = [
                "cluster-enabled yes".to_owned(),
                format!("cluster-port {bus}"),
            ];
            let redis = Redis::with(&own, port::free()?, &log, password.clone(), &cluster)?;
            started.push(redis);
            buses.push(bus);
        }
        try_join_all(started.iter().map(|node| node.unit().start())).await?;
        for (i, node) in started.iter().enumerate() {
            let mut connection = node.connect().await?;
            let (first, behind) = (SLOTS * i / nodes, SLOTS * (i + 1) / nodes);
            let mut slots = cmd("CLUSTER");
            slots.arg("ADDSLOTSRANGE").arg(first).arg(behind - 1);
            let () = slots.query_async(&mut connection).await?;
            for (other, bus) in started.iter().zip(&buses) {
                let mut meet = cmd("CLUSTER");
                meet.arg("MEET").arg("127.0.0.1").arg(other.port()).arg(bus);
                let () = meet.query_async(&mut connection).await?;
            }
        }
        for node in &started {
            let mut connection = node.connect().await?;
            until("cluster of all nodes", FORMED_WITHIN, async || {
                let mut info = cmd("CLUSTER");
                let info: String = info.arg("INFO").query_async(&mut connection).await?;
                let formed = info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_size:{nodes}\r"));
                Ok(formed.then_some(()))
            })
            .await?;
        }
        Ok(Self { nodes: started })
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// URLs of its nodes, with the password.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}
