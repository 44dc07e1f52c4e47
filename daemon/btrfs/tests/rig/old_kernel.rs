//! A thread on which the kernel is older: a filter answers `ENOSYS` to the calls that Linux 6.1 does not have.

#![expect(unsafe_code, reason = "a seccomp filter is handed to the kernel by pointer")]

use std::thread;

use nix::errno::Errno;
use nix::libc;

/// Runs `work` on a thread of its own that has neither `fchmodat2` (Linux 6.6) nor `setxattrat` and its kin (6.13).
pub(crate) fn on_linux_6_1(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            refuse_new_calls();
            work();
        });
    });
}

/// The filter holds for the calling thread alone, which ends with the test.
fn refuse_new_calls() {
    let load_number = statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let equal = |number, yes, no| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, yes, no);
    let at_least = |number, yes, no| statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, number, yes, no);
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    let fchmodat2 = u32::try_from(libc::SYS_openat2 + 15).unwrap();
    let mut filter = [
        load_number,
        equal(fchmodat2, 3, 0),
        at_least(fchmodat2 + 11, 0, 1),
        at_least(fchmodat2 + 15, 0, 1),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_ERRNO | Errno::ENOSYS as u32),
    ];
    let program = libc::sock_fprog { len: 6, filter: filter.as_mut_ptr() };
    // SAFETY: prctl reads numbers only.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(unprivileged, 0, "{}", Errno::last());
    // SAFETY: the kernel copies the program and its six statements and keeps no pointer.
    let installed = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    assert_eq!(installed, 0, "{}", Errno::last());
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k }
}
