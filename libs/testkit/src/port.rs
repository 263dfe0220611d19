//! Free ports on 127.0.0.1, and who holds one that isn't.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, process};

use anyhow::{Result, bail};

/// Below the range from which the kernel takes the ports of outgoing connections, so that none of those can take a
/// port between two starts of a process.
const FIRST: u32 = 18_000;
const COUNT: u32 = 14_000;

/// A port that nobody listens on, and that this process hands out only once.
///
/// # Errors
/// When all ports of the range are taken.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes start at different places of the range; the step is coprime to its size.
    let start = process::id().wrapping_mul(389) % COUNT;
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset)?;
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!(
        "no free port between {FIRST} and {}: end some processes",
        FIRST + COUNT
    )
}

/// Whether nobody listens on a port of 127.0.0.1.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(local(port)).is_ok()
}

/// The address of a port on 127.0.0.1.
#[must_use]
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Process id and command line of whoever listens on a port, as far as this user may see it.
#[must_use]
pub fn owner(port: u16) -> Option<(u32, String)> {
    holder(&inode(port, LISTENING)?)
}

/// Process id and command line of whoever has a connection that goes out from a port, as far as this user may see it.
#[must_use]
pub fn client(port: u16) -> Option<(u32, String)> {
    holder(&inode(port, CONNECTED)?)
}

fn holder(inode: &str) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| target == Path::new(&wanted))
        });
        if holds {
            return Some((pid, command_line(pid)));
        }
    }
    None
}

/// Command line of a process, its arguments parted by spaces.
#[must_use]
pub fn command_line(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw)
        .replace('\0', " ")
        .trim()
        .to_owned()
}

/// Inode of the socket in state LISTEN (0A) on a port, from the kernel's tables (proc(5)).
/// States of sockets, as `/proc/net/tcp` has them.
const LISTENING: &str = "0A";
const CONNECTED: &str = "01";

fn inode(port: u16, state: &str) -> Option<String> {
    let suffix = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| {
            let table = fs::read_to_string(table).ok()?;
            table.lines().skip(1).find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let is_it = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == state;
                is_it.then(|| fields.get(9).map(ToString::to_string))?
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_and_are_free() {
        let (one, two) = (free().unwrap(), free().unwrap());
        assert_ne!(one, two);
        assert!(is_free(one) && is_free(two));
    }

    #[test]
    fn owner_of_a_taken_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (pid, command) = owner(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(pid, process::id());
        assert!(!command.is_empty());
    }
}
