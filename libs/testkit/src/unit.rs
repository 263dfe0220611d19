//! One part of the fleet: what to start, how to see that it serves, and how to stop, kill and start it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
pub use nix::sys::signal::Signal;

use crate::probe::Probe;
use crate::process::{Command, Process};

/// Between two questions whether a starting process serves.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A part of the fleet. All methods take `&self`, so that a test can kill it while other tasks use it.
#[derive(Debug)]
pub struct Unit {
    name: String,
    command: Command,
    probe: Probe,
    ready_within: Duration,
    stop_signal: Signal,
    stop_within: Duration,
    current: Mutex<Option<Arc<Process>>>,
}

impl Unit {
    /// A part that isn't started yet, has 60 seconds to get ready, and on TERM 10 seconds to end.
    #[must_use]
    pub fn new(name: impl Into<String>, command: Command, probe: Probe) -> Self {
        Self {
            name: name.into(),
            command,
            probe,
            ready_within: Duration::from_secs(60),
            stop_signal: Signal::SIGTERM,
            stop_within: Duration::from_secs(10),
            current: Mutex::new(None),
        }
    }

    /// Stops by another signal than TERM.
    #[must_use]
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Its name, as `registry-0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to see that it serves.
    #[must_use]
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// The file that its output goes to.
    #[must_use]
    pub fn log(&self) -> &std::path::Path {
        self.command.log()
    }

    /// The running process, if any.
    #[must_use]
    pub fn process(&self) -> Option<Arc<Process>> {
        self.lock().clone().filter(|process| process.is_running())
    }

    /// Starts it and returns when it serves.
    ///
    /// # Errors
    /// When it runs already, ends early, or isn't ready in time; the error quotes its log.
    pub async fn start(&self) -> Result<()> {
        self.launch()?;
        self.ready().await
    }

    /// Starts it and returns at once.
    ///
    /// # Errors
    /// When it runs already or can't be started.
    pub fn launch(&self) -> Result<()> {
        let mut current = self.lock();
        if let Some(process) = current.as_ref().filter(|process| process.is_running()) {
            bail!("{} runs already, as pid {}", self.name, process.pid());
        }
        *current = Some(Arc::new(Process::spawn(&self.name, &self.command)?));
        Ok(())
    }

    /// Returns when it serves.
    ///
    /// # Errors
    /// When it isn't started, ends early, or isn't ready in time; the error quotes its log.
    pub async fn ready(&self) -> Result<()> {
        let process = self
            .lock()
            .clone()
            .with_context(|| format!("{} isn't started", self.name))?;
        let deadline = Instant::now() + self.ready_within;
        loop {
            if !process.is_running() {
                bail!(
                    "{} ended before it was ready. The end of its log:\n{}",
                    self.name,
                    process.log_tail()
                );
            }
            let Err(reason) = self.probe.ask().await else {
                return Ok(());
            };
            if Instant::now() > deadline {
                bail!(
                    "{} isn't ready after {} s: {reason:#}. The end of its log:\n{}",
                    self.name,
                    self.ready_within.as_secs(),
                    process.log_tail()
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// kill -9; returns when it is gone. Does nothing when it doesn't run.
    ///
    /// # Errors
    /// When it survives.
    pub async fn kill_9(&self) -> Result<()> {
        match self.process() {
            Some(process) => process.kill_9().await,
            None => Ok(()),
        }
    }

    /// Asks it to end, kills it when it doesn't in time; returns when it is gone. Does nothing when it doesn't run.
    ///
    /// # Errors
    /// When it survives.
    pub async fn stop(&self) -> Result<()> {
        match self.process() {
            Some(process) => process.stop(self.stop_signal, self.stop_within).await,
            None => Ok(()),
        }
    }

    /// Stops and starts it.
    ///
    /// # Errors
    /// As [`Unit::stop`] and [`Unit::start`].
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Sends a signal, as STOP and CONT for a process that hangs.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = self.process() {
            process.signal(signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Process>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
