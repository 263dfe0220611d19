//! One real process, in a process group of its own, that can't outlive the process that started it.
//!
//! Each child has a thread that starts it, waits for it and publishes its end. The kernel ties the child's death
//! signal (prctl(2), PR_SET_PDEATHSIG) to the thread that started it; as that thread lives exactly as long as child or
//! parent, whichever ends first, a killed test leaves nothing behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User, geteuid};
use tokio::sync::watch;

use crate::environment;
use crate::tools::Tool;

/// Bytes of a log that an error message quotes.
const TAIL_BYTES: usize = 3_000;
/// Longest wait for a killed process to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// Closes the moment between start and death signal: a parent that ended in it left us to another, and we go too.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$1" ] || exit 1; shift; exec "$@""#;

/// What to start.
#[derive(Clone, Debug)]
pub struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    user: Option<String>,
    death_signal: Signal,
}

impl Command {
    /// A program whose output is appended to the file `log`. Its environment is empty but for PATH, HOME and LANG.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        let inherited = ["PATH", "HOME", "RUST_BACKTRACE"];
        let mut environment: BTreeMap<String, String> = inherited
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), environment::get(name)?)))
            .collect();
        environment.insert("LC_ALL".to_owned(), "C.UTF-8".to_owned());
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment,
            log: log.into(),
            user: None,
            death_signal: Signal::SIGKILL,
        }
    }

    /// Appends one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Runs as another user; only root can.
    #[must_use]
    pub fn user(mut self, user: Option<String>) -> Self {
        self.user = user;
        self
    }

    /// The signal that the process gets when its parent ends; KILL unless set.
    #[must_use]
    pub fn death_signal(mut self, signal: Signal) -> Self {
        self.death_signal = signal;
        self
    }

    /// The file that the output goes to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Runs to the end and returns what it wrote on stdout.
    ///
    /// # Errors
    /// When it can't be started or fails; the error quotes what it wrote on stderr.
    pub async fn output(&self) -> Result<String> {
        let output = self.ended().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{} failed ({}):\n{}{}",
                self.program.display(),
                output.status,
                tail(&text),
                tail(&errors)
            );
        }
        Ok(text)
    }

    /// Runs to the end, however it ends: of some programs that is what they found.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn ended(&self) -> Result<Output> {
        let mut command = self.build()?;
        command.stdin(Stdio::null());
        let ended = tokio::task::spawn_blocking(move || command.output()).await?;
        ended.with_context(|| format!("can't start {}", self.program.display()))
    }

    fn build(&self) -> Result<std::process::Command> {
        let mut command = std::process::Command::new(Tool::Setpriv.find()?);
        if let Some(user) = &self.user {
            command.args([
                format!("--reuid={user}"),
                format!("--regid={user}"),
                "--init-groups".to_owned(),
            ]);
        }
        let signal = self.death_signal.as_str().trim_start_matches("SIG");
        command
            .args(["--pdeathsig", signal, "--"])
            .args(["/bin/sh", "-c", UNLESS_ORPHANED, "sh"])
            .arg(std::process::id().to_string())
            .arg(&self.program)
            .args(&self.arguments);
        command
            .env_clear()
            .envs(&self.environment)
            .current_dir("/")
            .process_group(0);
        Ok(command)
    }
}

/// A started process. Dropping it sends its death signal.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    log: PathBuf,
    death_signal: Signal,
    exited: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts a process; `name` is for messages.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn(name: &str, command: &Command) -> Result<Self> {
        let mut built = command.build()?;
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&command.log)
            .with_context(|| format!("can't write the log {}", command.log.display()))?;
        built
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let (publish, exited) = watch::channel(None);
        let (started, start) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match built.spawn() {
                Ok(mut child) => {
                    let _ = started.send(Ok(child.id()));
                    if let Ok(status) = child.wait() {
                        publish.send_replace(Some(status));
                    }
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            })?;
        let pid = start
            .recv()?
            .with_context(|| format!("can't start {name} ({})", command.program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            pid: Pid::from_raw(i32::try_from(pid)?),
            log: command.log.clone(),
            death_signal: command.death_signal,
            exited,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // An end whose publisher is gone counts as an end.
        self.exited.borrow().is_none() && self.exited.has_changed().is_ok()
    }

    /// Waits for its end; none when its status could not be read.
    pub async fn exited(&self) -> Option<ExitStatus> {
        let mut exited = self.exited.clone();
        exited
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|status| *status)
    }

    /// Sends a signal to the whole process group, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if self.is_running() {
            let _ = killpg(self.pid, signal);
        }
    }

    /// Sends `signal`, waits up to `grace`, then kills; returns when it is gone.
    ///
    /// # Errors
    /// When it survives even KILL.
    pub async fn stop(&self, signal: Signal, grace: Duration) -> Result<()> {
        self.signal(signal);
        if tokio::time::timeout(grace, self.exited()).await.is_ok() {
            return Ok(());
        }
        self.kill_9().await
    }

    /// kill -9, and returns when it is gone.
    ///
    /// # Errors
    /// When it is still there after ten seconds.
    pub async fn kill_9(&self) -> Result<()> {
        self.signal(Signal::SIGKILL);
        tokio::time::timeout(KILLED_WITHIN, self.exited())
            .await
            .map_err(|_| anyhow!("{} (pid {}) survived kill -9", self.name, self.pid))?;
        Ok(())
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&String::from_utf8_lossy(
            &fs::read(&self.log).unwrap_or_default(),
        ))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(self.death_signal);
    }
}

/// The user that programs run as which refuse root (Postgres, PgBouncer); none when we aren't root.
///
/// # Errors
/// When we are root, there is no such user, and none can be made.
pub fn unprivileged_user() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "tenantry"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    let made = std::process::Command::new("useradd")
        .args([
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            "tenantry",
        ])
        .status();
    match User::from_name("tenantry")? {
        Some(user) => Ok(Some(user)),
        None => bail!(
            "Postgres doesn't run as root, and the user `tenantry` could not be made ({made:?}). Run: \
             useradd --system --user-group tenantry"
        ),
    }
}

fn tail(text: &str) -> String {
    let mut start = text.len().saturating_sub(TAIL_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}
