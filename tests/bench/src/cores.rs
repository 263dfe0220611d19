//! Which processor does what: the last one is for the servers that are compared, which work in turn; all else shares the others.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use tenantry_testkit::unit::Unit;

/// The parting of this machine's processors.
#[derive(Clone, Debug)]
pub struct Cores {
    others: Vec<usize>,
    servers: usize,
}

impl Cores {
    /// Keeps this thread, and all that it starts from now on, off the last processor. To be called before there is a runtime,
    /// whose threads, and their number, follow from it, as those of each process do that is started.
    ///
    /// # Errors
    /// When there are less than two processors.
    pub fn part() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let all = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let mut others: Vec<usize> = all.collect();
        let servers = others.pop().context("no processor")?;
        anyhow::ensure!(!others.is_empty(), "two processors are needed");
        sched_setaffinity(None, &set(&others))?;
        Ok(Self { others, servers })
    }

    /// Puts a server that runs on the last processor, with all its threads.
    ///
    /// # Errors
    /// When it has ended.
    pub fn put(&self, server: &Unit) -> Result<()> {
        let pid = server.process().context("it has ended")?.pid();
        let set = set(&[self.servers]);
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = thread?.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            let id = id.and_then(Pid::from_raw).context("a thread's id")?;
            sched_setaffinity(Some(id), &set)?;
        }
        Ok(())
    }

    /// Tells where things are.
    pub fn tell(&self, servers: &[&str]) {
        println!(
            "processor {}: {}, each in its turn; processor {}: the load, Redis, Postgres and all else",
            self.servers,
            servers.join(", "),
            self.others
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
}

fn set(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    set
}
