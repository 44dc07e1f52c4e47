//! A fake systemd-timedated, which says whether the clock is synchronised.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::spawn;

use anyhow::{Context as _, Result};
use zbus::interface;

/// Plays until the test's process ends.
#[derive(Debug, Clone)]
pub(crate) struct Timedate {
    /// None: it never answers.
    word: Arc<Mutex<Option<bool>>>,
    asked: Arc<AtomicUsize>,
}

#[interface(name = "org.freedesktop.timedate1")]
impl Timedate {
    #[zbus(property, name = "NTPSynchronized")]
    async fn synchronised(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let word = *self.word.lock().unwrap_or_else(PoisonError::into_inner);
        match word {
            Some(word) => word,
            None => std::future::pending().await,
        }
    }
}

impl Timedate {
    /// Takes the name on the bus at this address, with a first answer.
    pub(crate) fn start(address: &str, word: Option<bool>) -> Result<Self> {
        let played = Self { word: Arc::new(Mutex::new(word)), asked: Arc::default() };
        let (address, served) = (address.to_owned(), played.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ready, is_ready) = std::sync::mpsc::channel();
        spawn(move || {
            runtime.block_on(async {
                let builder = zbus::connection::Builder::address(address.as_str()).name("org.freedesktop.timedate1");
                let builder = builder.serve_at("/org/freedesktop/timedate1", served);
                // A clone goes out; this one serves until the test's process ends.
                let serving = builder.build().await;
                if ready.send(serving.clone()).is_ok() {
                    std::future::pending::<()>().await;
                }
            });
        });
        drop(is_ready.recv().context("the thread of timedated ended")?.context("timedated is not played")?);
        Ok(played)
    }

    /// What it answers from now on.
    pub(crate) fn says(&self, word: Option<bool>) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = word;
    }

    /// How many questions it has had.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}
