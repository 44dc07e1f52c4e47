"""Deduplicates the first block of one file into another. Root may do this in a read-only subvolume too.

    dedupe.py SOURCE TARGET
"""
import fcntl
import os
import struct
import sys

FIDEDUPERANGE = 0xC0189436
source, target = (os.open(path, os.O_RDONLY) for path in sys.argv[1:])
request = bytearray(struct.pack("=QQHHIqQQiI", 0, 4096, 1, 0, 0, target, 0, 0, 0, 0))
fcntl.ioctl(source, FIDEDUPERANGE, request)
deduped, status = struct.unpack_from("=Qi", request, 40)
assert (deduped, status) == (4096, 0), (deduped, status)
