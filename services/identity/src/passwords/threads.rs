//! The threads that hash: of low priority, so that on a busy machine whatever else has work to do goes first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use super::argon::Hasher;

/// How much the threads give way (setpriority(2)): a tenth of what a thread without it gets where both want a core, so
/// that sign-ins still go on.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce(&Hasher) + Send>;

/// A queue of jobs and the threads that work on it, which end with it.
#[derive(Clone)]
pub(super) struct Threads {
    jobs: Sender<Job>,
}

impl Threads {
    /// So many threads.
    pub(super) fn start(count: usize, hasher: &Arc<Hasher>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..count {
            let (queue, hasher) = (Arc::clone(&queue), Arc::clone(hasher));
            thread::Builder::new()
                .name(format!("passwords-{n}"))
                .spawn(move || work(&queue, &hasher))?;
        }
        Ok(Self { jobs })
    }

    /// Does a job once a thread is free. Whoever queues bounds how many wait.
    pub(super) fn queue(&self, job: impl FnOnce(&Hasher) + Send + 'static) {
        // The threads live as long as the queue.
        let _ = self.jobs.send(Box::new(job));
    }
}

fn work(queue: &Mutex<Receiver<Job>>, hasher: &Hasher) {
    // On Linux priorities are threads'. Without it sign-ins only disturb others more.
    if let Err(error) = setpriority_process(Some(gettid()), NICE) {
        tracing::warn!(error = %error, "the threads that hash passwords have no lower priority");
    }
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A fault ends one job alone; whoever waits for it sees that it will not end.
        if catch_unwind(AssertUnwindSafe(|| job(hasher))).is_err() {
            tracing::error!("a password was not hashed");
        }
    }
}
