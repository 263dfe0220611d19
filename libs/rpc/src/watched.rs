//! Small files that are read again when they change: keys and trust rotate without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::tasks::Tasks;

/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The content of a file, as of its last good reading.
#[derive(Debug)]
pub struct Watched<T> {
    value: Arc<ArcSwap<T>>,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
        }
    }
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads the file now and again whenever its bytes change. A later reading that fails keeps the good one and is
    /// logged, so that a half-written file does no harm.
    ///
    /// # Errors
    /// The file can't be read or understood now.
    pub fn open(
        path: PathBuf,
        tasks: &Tasks,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
        };
        let mut seen = read(&path)?;
        let parsed = parse(&seen).map_err(|why| format!("{}: {why}", path.display()))?;
        let value = Arc::new(ArcSwap::from_pointee(parsed));
        let watched = Self {
            value: Arc::clone(&value),
        };
        let cancel = tasks.token();
        tasks.keep("watched file", async move {
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                let Ok(text) = tokio::fs::read_to_string(&path).await else { continue };
                if text == seen {
                    continue;
                }
                match parse(&text) {
                    Ok(parsed) => {
                        value.store(Arc::new(parsed));
                        tracing::info!(file = %path.display(), "file read again");
                    }
                    Err(why) => tracing::error!(file = %path.display(), why, "changed file refused, the old one stays"),
                }
                seen = text;
            }
        });
        Ok(watched)
    }
}

impl<T> Watched<T> {
    /// Content that no file has.
    #[cfg(test)]
    pub(crate) fn fixed(content: T) -> Self {
        Self {
            value: Arc::new(ArcSwap::from_pointee(content)),
        }
    }

    /// The content now.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.value.load_full()
    }
}
