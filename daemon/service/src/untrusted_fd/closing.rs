//! Threads that close descriptors, and may block for ever.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use super::FdShare;

/// So many threads close at the same time. When all of them are held up the rest stays open and waits: nothing else does.
const MOST: usize = 64;

/// Closes it, some time soon. Never waits. It counts for its user until then.
pub fn close(descriptor: OwnedFd, share: Option<FdShare>) {
    let mut closing = lock();
    closing.waiting.push_back((descriptor, share));
    if closing.threads < MOST {
        closing.threads = closing.threads.saturating_add(1);
        drop(closing);
        if Builder::new().name("closer".to_owned()).spawn(work).is_err() {
            // Without a thread it stays open until the next one is closed.
            end_thread();
        }
    }
}

struct Closing {
    waiting: VecDeque<(OwnedFd, Option<FdShare>)>,
    threads: usize,
}

static CLOSING: Mutex<Closing> = Mutex::new(Closing { waiting: VecDeque::new(), threads: 0 });

fn lock() -> std::sync::MutexGuard<'static, Closing> {
    CLOSING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_thread() {
    let mut closing = lock();
    closing.threads = closing.threads.saturating_sub(1);
}

/// Each thread was started for a descriptor, and ends when it finds none.
fn work() {
    while let Some((descriptor, share)) = next() {
        drop(descriptor);
        drop(share);
    }
}

fn next() -> Option<(OwnedFd, Option<FdShare>)> {
    let mut closing = lock();
    let descriptor = closing.waiting.pop_front();
    if descriptor.is_none() {
        closing.threads = closing.threads.saturating_sub(1);
    }
    descriptor
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};

    use super::*;

    #[test]
    fn what_is_closed_is_closed_soon() {
        let (mut reader, writer) = pipe().expect("a pipe");
        for _ in 0..1000 {
            close(writer.try_clone().expect("a copy").into(), None);
        }
        close(writer.into(), None);
        assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
    }
}
