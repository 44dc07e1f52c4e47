//! A seccomp filter that refuses new mounts: through them a device could be opened.

#![expect(unsafe_code, reason = "no crate of the workspace wraps PR_SET_SECCOMP")]

use std::ffi::c_long;

use nix::libc;
use rustix::mount::MountAttrFlags;

use crate::error::{Errno, Result, retry};
use crate::ioctl::{FSMOUNT, MOUNT_SETATTR, OPEN_TREE, OPEN_TREE_ATTR};

/// `prctl(2)` with `PR_SET_SECCOMP` (`PR_SET_NO_NEW_PRIVS` before it, or `CAP_SYS_ADMIN`) — from now on `open_tree(2)`,
/// `open_tree_attr(2)` and `mount_setattr(2)` fail with `EPERM` in the calling thread and in those it starts, and so does an
/// `fsmount(2)` whose mount would not be nodev. `mount(2)` and `move_mount(2)` are not in it: Landlock forbids them.
///
/// These calls have one number for every way into a kernel, x32 and 32-bit programs included, so no architecture is asked
/// for. Calls that are let through whatever their arguments cost nothing (the kernel keeps a bitmap of them since 5.11).
///
/// # Errors
/// `EINVAL` from a kernel without `CONFIG_SECCOMP_FILTER`, `EACCES` without either privilege.
pub fn keep_devices_out() -> Result<()> {
    let mut filter = PROGRAM;
    let program = libc::sock_fprog { len: LENGTH, filter: filter.as_mut_ptr() };
    retry("PR_SET_SECCOMP", || {
        let program = std::ptr::from_ref(&program);
        // SAFETY: the kernel copies as many instructions as `program` has, checks them, and keeps no pointer.
        let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, program) };
        Errno::result(answer)
    })?;
    Ok(())
}

const PROGRAM: [libc::sock_filter; 10] = [
    step(LOAD, NUMBER, 0, 0),
    step(AND, !X32, 0, 0),
    step(IF_EQUAL, number(OPEN_TREE), 6, 0),
    step(IF_EQUAL, number(MOUNT_SETATTR), 5, 0),
    step(IF_EQUAL, number(OPEN_TREE_ATTR), 4, 0),
    step(IF_EQUAL, number(FSMOUNT), 0, 2),
    step(LOAD, THIRD_ARGUMENT, 0, 0),
    step(IF_ANY_BIT, MountAttrFlags::MOUNT_ATTR_NODEV.bits(), 0, 1),
    step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    step(RETURN, libc::SECCOMP_RET_ERRNO | EPERM, 0, 0),
];

const LENGTH: u16 = 10;
const _: () = assert!(PROGRAM.len() == LENGTH as usize);

/// As it stands behind `SECCOMP_RET_ERRNO`.
const EPERM: u32 = libc::EPERM.unsigned_abs();

/// `linux/bpf_common.h`: one 32-bit word of `struct seccomp_data`, and what is done with it.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// `struct seccomp_data` (`linux/seccomp.h`): the number of the call; the lower half of the third argument, which is where
/// `fsmount(2)` has the attributes of its mount.
const NUMBER: u32 = 0;
const THIRD_ARGUMENT: u32 = 32 + if cfg!(target_endian = "big") { 4 } else { 0 };

/// `__X32_SYSCALL_BIT`; no other architecture has numbers as high.
const X32: u32 = 0x4000_0000;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of calls are small")]
const fn number(call: c_long) -> u32 {
    call as u32
}

/// `yes` and `no`: how many instructions are left out.
const fn step(code: u16, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt: yes, jf: no, k }
}
