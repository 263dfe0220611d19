//! A TCP proxy that breaks connections on command: between a service and Postgres, or before the gateway.
//!
//! It runs on threads of its own, so that it outlives the runtime of the test that made it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

const BUFFER_BYTES: usize = 16 * 1024;
/// How drivers commit.
const COMMIT: &[u8] = b"COMMIT";

/// A proxy before one address.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: Arc<Faults>,
    acceptor: AbortHandle,
}

#[derive(Debug)]
struct Faults {
    plan: Mutex<Plan>,
    /// Counts the cuts of all connections; each connection watches it.
    cuts: watch::Sender<u64>,
}

#[derive(Debug)]
struct Plan {
    target: SocketAddr,
    refuse: bool,
    delay: Duration,
    /// Bytes of the next reply to let through before its connection is cut.
    cut_reply_after: Option<usize>,
    /// Whether the reply to the next commit is dropped.
    cut_commit: bool,
}

impl FaultProxy {
    /// Starts forwarding to `target`.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let plan = Plan {
            target,
            refuse: false,
            delay: Duration::ZERO,
            cut_reply_after: None,
            cut_commit: false,
        };
        let faults = Arc::new(Faults {
            plan: Mutex::new(plan),
            cuts: watch::channel(0).0,
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("can't open a port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let handle = runtime()?.handle();
        let _guard = handle.enter();
        let listener = TcpListener::from_std(listener)?;
        let acceptor = handle
            .spawn(accept(listener, Arc::clone(&faults)))
            .abort_handle();
        Ok(Self {
            address,
            faults,
            acceptor,
        })
    }

    /// Where to connect instead of the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends new connections to another address.
    pub fn retarget(&self, target: SocketAddr) {
        self.faults.plan().target = target;
    }

    /// Cuts every open connection, in the middle of whatever it carries.
    pub fn cut_all(&self) {
        self.faults.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes new connections at once, or serves them again.
    pub fn refuse(&self, refuse: bool) {
        self.faults.plan().refuse = refuse;
    }

    /// Cuts the connection that carries the next reply after `bytes` bytes of it; 0 drops the reply whole.
    pub fn cut_next_reply_after(&self, bytes: usize) {
        self.faults.plan().cut_reply_after = Some(bytes);
    }

    /// Lets the next `COMMIT` through to Postgres and cuts its connection in place of the reply: done, and nobody told.
    pub fn cut_reply_to_next_commit(&self) {
        self.faults.plan().cut_commit = true;
    }

    /// Whether a cut asked for by [`FaultProxy::cut_next_reply_after`] or [`FaultProxy::cut_reply_to_next_commit`] is still to
    /// come.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        let plan = self.faults.plan();
        plan.cut_reply_after.is_some() || plan.cut_commit
    }

    /// Holds back each piece of a reply for so long.
    pub fn delay(&self, delay: Duration) {
        self.faults.plan().delay = delay;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.cut_all();
    }
}

impl Faults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two threads that all proxies of this process share.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("fault-proxy")
        .enable_all()
        .build()?;
    // A second one made by a concurrent first call is dropped in the background.
    if let Err(spare) = RUNTIME.set(runtime) {
        spare.shutdown_background();
    }
    RUNTIME.get().context("the proxies' runtime was just set")
}

/// Ends with the proxy, which aborts it.
async fn accept(listener: TcpListener, faults: Arc<Faults>) {
    while let Ok((client, _)) = listener.accept().await {
        let (refuse, target) = {
            let plan = faults.plan();
            (plan.refuse, plan.target)
        };
        if !refuse {
            // Ends with its connection, or at the next cut. No service runs here, so no shutdown has to reach it.
            #[allow(clippy::disallowed_methods)]
            tokio::spawn(carry(client, target, Arc::clone(&faults)));
        }
    }
}

/// Whether a connection was cut, rather than closed by the server.
#[derive(PartialEq, Eq)]
enum Cut {
    Yes,
    No,
}

/// Carries one connection until either side closes or a cut; dropping the sockets is the cut.
async fn carry(client: TcpStream, target: SocketAddr, faults: Arc<Faults>) {
    let mut cuts = faults.cuts.subscribe();
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let doomed = AtomicBool::new(false);
    let requests = requests(client_read, server_write, &faults, &doomed);
    let replies = replies(server_read, client_write, &faults, &doomed);
    // A connection that the client half-closed goes on in the other direction; one that is cut ends at once.
    let both = async {
        tokio::pin!(requests, replies);
        tokio::select! {
            () = &mut requests => { replies.await; }
            cut = &mut replies => if cut == Cut::No { requests.await },
        }
    };
    tokio::select! {
        _ = cuts.changed() => {}
        () = both => {}
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    faults: &Faults,
    doomed: &AtomicBool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let request = &buffer[..read];
        if request.windows(COMMIT.len()).any(|word| word == COMMIT)
            && std::mem::take(&mut faults.plan().cut_commit)
        {
            doomed.store(true, Ordering::Relaxed);
        }
        if server.write_all(request).await.is_err() {
            break;
        }
    }
    let _ = server.shutdown().await;
}

async fn replies(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    faults: &Faults,
    doomed: &AtomicBool,
) -> Cut {
    let mut buffer = vec![0; BUFFER_BYTES];
    // Bytes that this connection may still carry, once it was chosen to be cut.
    let mut budget: Option<usize> = None;
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        let delay = {
            let mut plan = faults.plan();
            budget = budget.or_else(|| plan.cut_reply_after.take());
            if doomed.load(Ordering::Relaxed) {
                budget = Some(0);
            }
            plan.delay
        };
        tokio::time::sleep(delay).await;
        let allowed = budget.map_or(read, |bytes| bytes.min(read));
        if client.write_all(&buffer[..allowed]).await.is_err() {
            return Cut::Yes;
        }
        if let Some(bytes) = budget.as_mut() {
            *bytes -= allowed;
            if *bytes == 0 {
                return Cut::Yes;
            }
        }
    }
    let _ = client.shutdown().await;
    Cut::No
}
