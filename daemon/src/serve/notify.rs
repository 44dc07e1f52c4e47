//! What the service manager is told (`sd_notify(3)`): a few words to a socket, nothing where there is none.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells the service manager, for instance `READY=1`.
pub(super) fn tell(words: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, words)
    {
        tracing::warn!("cannot send {words} to the service manager: {error}");
    }
}

/// How often the service manager wants to hear `WATCHDOG=1`, if it does: half of what it waits for.
pub(super) fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number("WATCHDOG_USEC").filter(|&micros| meant && micros > 0)?;
    Some(Duration::from_micros(micros.div_ceil(2)))
}

fn send(socket: &OsStr, words: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_a_socket_with_a_path_and_one_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("butterdock-test-{}", std::process::id());
        let addresses = [
            (SocketAddr::from_pathname(&path), path.into_os_string()),
            (SocketAddr::from_abstract_name(&name), format!("@{name}").into()),
        ];
        for (address, socket) in addresses {
            let ear = UnixDatagram::bind_addr(&address.expect("an address")).expect("bound");
            send(&socket, "READY=1").expect("sent");
            let mut heard = [0; 16];
            assert_eq!(ear.recv(&mut heard).map(|count| heard[..count].to_vec()).expect("heard"), b"READY=1");
        }
    }
}
