//! The commands that look at a fleet or end it: down, status, logs, reset.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tenantry_testkit::paths;
use tenantry_testkit::rest::Rest;

use crate::state::{self, Phase, State};

/// Longest wait for the supervisor to end everything before it is killed; the kernel then ends its children.
const DOWN_WITHIN: Duration = Duration::from_secs(60);

/// Ends the fleet; does nothing when none is up.
pub(crate) async fn down() -> Result<()> {
    if state::lock()?.is_some() {
        State::remove();
        println!("the fleet is down");
        return Ok(());
    }
    let state = State::read()
        .context("a fleet is up, but says nothing of itself in .dev/state.json yet: try again")?;
    println!("ending the fleet (supervisor {})", state.supervisor);
    let supervisor = Pid::from_raw(i32::try_from(state.supervisor)?);
    let _ = kill(supervisor, Signal::SIGTERM);
    let mut deadline = Instant::now() + DOWN_WITHIN;
    let mut killed = false;
    while state::lock()?.is_none() {
        if Instant::now() > deadline {
            if killed {
                bail!("the supervisor {} survives kill -9", state.supervisor);
            }
            let _ = kill(supervisor, Signal::SIGKILL);
            (killed, deadline) = (true, Instant::now() + Duration::from_secs(10));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = async {
        while state.parts.iter().filter_map(|part| part.pid).any(is_alive) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), left)
        .await
        .context("not every process has ended")?;
    State::remove();
    println!("the fleet is down; its data stays for the next ./dev up");
    Ok(())
}

/// Shows each process.
pub(crate) async fn status() -> Result<()> {
    let up = state::lock()?.is_none();
    let Some(state) = State::read().filter(|_| up) else {
        println!("the fleet is down. ./dev up starts it");
        return Ok(());
    };
    let phase = match state.phase {
        Phase::Starting => "starting",
        Phase::Ready => "up",
        Phase::Failed => "ending after a failure",
    };
    println!("the fleet is {phase}; supervisor {}", state.supervisor);
    for part in &state.parts {
        let alive = part.pid.is_some_and(is_alive);
        let answers = part.address.parse().is_ok_and(|address| {
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        });
        let word = match (alive, answers) {
            (true, true) => "ready",
            (true, false) => "not answering",
            (false, _) => "ended",
        };
        let pid = part
            .pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        println!(
            "  {:<14} pid {:<8} {:<22} {word}",
            part.name, pid, part.address
        );
    }
    if state.phase == Phase::Ready {
        let answer = Rest::new(&state.gateway)?.get("/readyz").await;
        let text = answer.map_or_else(|error| format!("{error:#}"), |answer| answer.text);
        println!("  {}/readyz: {text}", state.gateway);
    }
    Ok(())
}

/// Shows the end of the logs.
pub(crate) fn logs(name: Option<&str>, lines: usize) -> Result<()> {
    let dir = paths::dev().join("logs");
    let mut files: Vec<_> = fs::read_dir(&dir)
        .with_context(|| format!("no logs in {}: was the fleet ever up?", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.push(paths::dev().join("supervisor.log"));
    files.sort();
    let stem = |path: &Path| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let wanted: Vec<_> = files
        .iter()
        .filter(|file| file.exists())
        .filter(|file| {
            name.is_none_or(|name| {
                stem(file) == name || stem(file).starts_with(&format!("{name}-"))
            })
        })
        .collect();
    if wanted.is_empty() {
        let known: Vec<_> = files.iter().map(|file| stem(file)).collect();
        bail!(
            "no log of {:?}; there are {}",
            name.unwrap_or_default(),
            known.join(", ")
        );
    }
    for file in wanted {
        println!("==> {} <==", file.display());
        let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
        let all: Vec<&str> = text.lines().collect();
        for line in &all[all.len().saturating_sub(lines)..] {
            println!("{line}");
        }
    }
    Ok(())
}

/// Ends the fleet and removes all it made, but for the tools in .dev/venv.
pub(crate) async fn reset() -> Result<()> {
    down().await?;
    let postgres = state::postgres_dir();
    remove(&postgres)?;
    for entry in fs::read_dir(paths::dev())?.flatten() {
        if entry.file_name() != "venv" && entry.file_name() != "lock" {
            remove(&entry.path())?;
        }
    }
    println!("data, keys, credentials and logs are removed");
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let result = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    result.with_context(|| format!("can't remove {}", path.display()))
}

fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    !tenantry_testkit::port::command_line(pid).is_empty()
}
