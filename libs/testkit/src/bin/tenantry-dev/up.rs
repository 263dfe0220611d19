//! `./dev up`: here, or left behind in the background.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tenantry_testkit::paths;

use crate::state::{self, Phase, State};
use crate::supervise;

/// Runs the fleet until Ctrl-C.
pub(crate) async fn foreground() -> Result<()> {
    refuse_second()?;
    supervise::run(supervise::Place::Terminal).await
}

/// Starts a supervisor in a session of its own, shows what it says, and returns when the fleet is ready.
pub(crate) async fn detached() -> Result<()> {
    refuse_second()?;
    let log = paths::dev().join("supervisor.log");
    let output =
        fs::File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
    State::remove();
    let mut supervisor = Command::new("setsid")
        .arg(std::env::current_exe()?)
        .arg("supervise")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("can't start setsid. Run: apt-get install util-linux")?;
    let mut shown = fs::File::open(&log)?;
    let mut position = 0;
    loop {
        let phase = State::read().map(|state| state.phase);
        let ended = supervisor.try_wait()?;
        // Read after the phase, so that nothing said before it is left out.
        shown.seek(SeekFrom::Start(position))?;
        let mut text = Vec::new();
        position += shown.read_to_end(&mut text)? as u64;
        // A reader that has gone away, as `head`, doesn't end the start.
        let _ = std::io::stdout()
            .write_all(&text)
            .and_then(|()| std::io::stdout().flush());
        if phase == Some(Phase::Ready) {
            return Ok(());
        }
        if ended.is_some() {
            bail!("the fleet didn't start; the lines above say why");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn refuse_second() -> Result<()> {
    if state::lock()?.is_none() {
        let pid = State::read().map_or_else(
            || "unknown".to_owned(),
            |state| state.supervisor.to_string(),
        );
        bail!(
            "the fleet is up already (supervisor {pid}). ./dev status shows it, ./dev down ends it"
        );
    }
    Ok(())
}
