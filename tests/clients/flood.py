"""Floods the service with calls over its own connections, without a D-Bus library: libraries read answers and respect
limits. Takes one JSON object:

    connections  how many connections
    calls        how many calls on each
    call         [path, interface, member]
    strings      the string arguments, or their lengths; a descriptor and options follow
    options      whether the last argument is options (an empty dictionary)
    descriptors  how many descriptors each call passes
    argument     whether the first of them is an argument (default: true)
    silent       whether calls have the flag NO_REPLY_EXPECTED
    interactive  whether polkit may ask the user
    read         whether answers are read

It prints "ready" when all are connected and each has sent a call, "sent" when all calls are sent, and with `read` each
answer: "return" or the error's name. It ends when its standard input ends."""

import errno
import json
import os
import select
import socket
import struct
import sys

NAME = "org.butterdock.Butterdock1"
wanted = json.loads(sys.argv[1])
address = os.environ["DBUS_SYSTEM_BUS_ADDRESS"].split(",")[0]
kind, _, place = address.partition(":")[2].partition("=")
place = "\0" + place if kind == "abstract" else place


def pad(data, to):
    return data + b"\0" * (-len(data) % to)


def text(value):
    value = value.encode()
    return struct.pack("<I", len(value)) + value + b"\0"


def message(serial, destination, path, interface, member, signature="", body=b"", descriptors=0, flags=0):
    fields = b""
    for code, letter, value in (
        (1, b"o", text(path)),
        (2, b"s", text(interface)),
        (3, b"s", text(member)),
        (6, b"s", text(destination)),
        (8, b"g", bytes([len(signature)]) + signature.encode() + b"\0" if signature else None),
        (9, b"u", struct.pack("<I", descriptors) if descriptors else None),
    ):
        if value is not None:
            fields = pad(fields, 8) + bytes([code, 1]) + letter + b"\0" + value
    head = struct.pack("<cBBBIII", b"l", 1, flags, 1, len(body), serial, len(fields))
    return pad(head + fields, 8) + body


def connect():
    there = socket.socket(socket.AF_UNIX)
    there.connect(place)
    identity = str(os.getuid()).encode().hex()
    there.sendall(b"\0AUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n" % identity.encode())
    there.sendall(message(1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"))
    said = b""
    # The answer to Hello, and the signal of the name.
    while b"NameAcquired" not in said:
        said += there.recv(4096)
    return there


strings = wanted.get("strings", [])
descriptors = wanted.get("descriptors", 0)
options = wanted.get("options", False)
argument = descriptors and wanted.get("argument", True)
signature = "s" * len(strings) + ("h" if argument else "") + ("a{sv}" if options else "")
body = b""
for one in strings:
    body = pad(body, 4) + text("x" * one if type(one) is int else one)
if argument:
    body = pad(body, 4) + struct.pack("<I", 0)
if options:
    # An empty array; its elements are aligned to eight bytes.
    body = pad(pad(body, 4) + struct.pack("<I", 0), 8)
flags = (1 if wanted.get("silent") else 0) | (4 if wanted.get("interactive") else 0)
brought = [os.open("/dev/null", os.O_RDONLY) for _ in range(descriptors)]
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("%di" % descriptors, *brought))] if brought else []


class Caller:
    def __init__(self):
        self.socket = connect()
        self.serial = 1
        self.rest = b""
        self.heard = b""
        self.left = wanted["calls"]

    def send(self):
        """Sends one call, or the rest of one; False if the bus accepts no more now."""
        if not self.rest:
            self.serial += 1
            self.left -= 1
            self.rest = message(self.serial, NAME, *wanted["call"], signature, body, descriptors, flags)
            carried = rights
        else:
            carried = []
        try:
            sent = self.socket.sendmsg([self.rest], carried, socket.MSG_DONTWAIT)
        except OSError as error:
            # ETOOMANYREFS: the kernel limits a user's descriptors in flight.
            if error.errno not in (errno.EAGAIN, errno.ETOOMANYREFS):
                raise
            if carried or not brought:
                self.serial -= 1
                self.left += 1
                self.rest = b""
            return False
        self.rest = self.rest[sent:]
        return not self.rest

    def read(self):
        self.heard += self.socket.recv(1 << 16)
        while len(self.heard) >= 16:
            _, kind, _, _, length, _, fields = struct.unpack("<cBBBIII", self.heard[:16])
            end = 16 + fields + (-fields % 8) + length
            if len(self.heard) < end:
                return
            if kind in (2, 3):
                print(error(self.heard[16 : 16 + fields]) if kind == 3 else "return", flush=True)
            self.heard = self.heard[end:]


def error(fields):
    """The name in the fields of an error."""
    at = 0
    while at < len(fields):
        at += -at % 8
        code, letter = fields[at], fields[at + 2 : at + 3]
        at += 4
        if letter == b"g":
            length, at = fields[at] + 1, at + 1
        elif letter == b"u":
            length = 4
        else:
            length = struct.unpack("<I", fields[at : at + 4])[0] + 1
            at += 4
        if code == 4:
            return fields[at : at + length - 1].decode()
        at += length
    return "?"


callers = [Caller() for _ in range(wanted["connections"])]
for caller in callers:
    while not caller.send():
        select.select([], [caller.socket], [])
print("ready", flush=True)
reported = False
while True:
    busy = [caller for caller in callers if caller.left or caller.rest]
    if not busy and not reported:
        reported = True
        print("sent", flush=True)
    listening = [sys.stdin] + ([caller.socket for caller in callers] if wanted.get("read") else [])
    readable, writable, _ = select.select(listening, [caller.socket for caller in busy], [])
    if sys.stdin in readable:
        break
    for caller in callers:
        if caller.socket in readable:
            caller.read()
        if caller.socket in writable:
            for _ in range(16):
                if not caller.left and not caller.rest or not caller.send():
                    break
