//! SIGINT, SIGTERM and SIGHUP stop a run cleanly.
//!
//! All threads block these signals and one thread waits for them, so that no handler runs between two steps of the
//! engine. That thread cancels; the engine stops at the next command and removes its hidden subvolume, and the program
//! reports the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context as _, Result};
use butterdock_receive::Control;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The caught signals.
#[derive(Debug)]
pub(crate) struct Signals {
    caught: Arc<AtomicU8>,
}

impl Signals {
    /// Blocks the signals in this thread and in the threads that it starts later, and cancels the run at the first signal.
    pub(crate) fn wait(control: Control) -> Result<Self> {
        // sigaction(2) is no safe call from Rust.
        let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // nohup(1) and a shell's `&` make the process ignore signals; a signalfd would catch them again.
            if ignored & mask(signal) == 0 {
                set.add(signal);
            }
        }
        set.thread_block().context("cannot block signals")?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).context("signalfd")?;
        let caught = Arc::new(AtomicU8::new(0));
        let first = Arc::clone(&caught);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            // The exit status names the first signal; the run is ending already when another one arrives.
            while let Ok(Some(signal)) = descriptor.read_signal() {
                let number = u8::try_from(signal.ssi_signo).unwrap_or_default();
                if first.load(Ordering::SeqCst) == 0 {
                    first.store(number, Ordering::SeqCst);
                }
                control.cancel();
            }
        })?;
        Ok(Self { caught })
    }

    /// The number of the first signal.
    pub(crate) fn caught(&self) -> Option<u8> {
        Some(self.caught.load(Ordering::SeqCst)).filter(|&number| number != 0)
    }
}

/// The mask of the signals that a process ignores, from its `/proc/…/status`.
fn ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or_default()
}

fn mask(signal: Signal) -> u64 {
    let number = u32::try_from(signal as i32).unwrap_or(1);
    1_u64.checked_shl(number.saturating_sub(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_the_one_of_proc() {
        assert_eq!(mask(Signal::SIGHUP), 0b1);
        assert_eq!(mask(Signal::SIGINT), 0b10);
        assert_eq!(mask(Signal::SIGTERM), 0x4000);
    }

    #[test]
    fn signals_ignored_by_nohup_are_found() {
        let status = "Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_ne!(ignored(status) & mask(Signal::SIGHUP), 0);
        assert_eq!(ignored(status) & mask(Signal::SIGINT), 0);
        assert_eq!(ignored(""), 0);
    }
}
