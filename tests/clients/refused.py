"""Runs a program for which some system calls fail with EPERM: refused.py NUMBER,NUMBER PROGRAM ARGUMENT…"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x00050000, 0x7FFF0000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06


def instruction(code, k, if_true=0, if_false=0):
    return struct.pack("HBBI", code, if_true, if_false, k)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


calls = [int(number) for number in sys.argv[1].split(",")]
# The number of the call is the first word of seccomp_data.
code = instruction(LOAD_WORD, 0)
for call in calls:
    code += instruction(JUMP_IF_EQUAL, call, 0, 1) + instruction(RETURN, SECCOMP_RET_ERRNO | errno.EPERM)
code += instruction(RETURN, SECCOMP_RET_ALLOW)
libc = ctypes.CDLL(None, use_errno=True)
program = Program(len(code) // 8, code)
for arguments in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)]:
    if libc.prctl(*arguments) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
