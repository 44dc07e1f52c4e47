"""Calls one method of the service with python3-dbus and prints one JSON object: the answer, or the error.

    call.py [--times=NUMBER] PATH INTERFACE METHOD [ARGUMENT]...

With --times it makes NUMBER calls and prints a list of the results.
An ARGUMENT is s:TEXT, y:TEXT (as bytes), Y:TEXT (a list of one text as bytes), S:TEXT (a list of one text), h:NUMBER (a descriptor that is open here), or o:JSON (a
dictionary of options). A descriptor in the answer is read to its end.
"""

import json
import os
import sys

import dbus

NAME = "org.butterdock.Butterdock1"


def argument(word):
    kind, _, text = word.partition(":")
    if kind == "s":
        return text
    if kind == "y":
        return dbus.ByteArray(text.encode())
    if kind == "Y":
        return dbus.Array([dbus.ByteArray(text.encode())], signature="ay")
    if kind == "S":
        return dbus.Array([text], signature="s")
    if kind == "h":
        return dbus.types.UnixFd(int(text))
    if kind == "o":
        # Every number in options has the type t.
        number = lambda value: dbus.UInt64(value) if type(value) is int else value
        return dbus.Dictionary({key: number(value) for key, value in json.loads(text).items()}, signature="sv")
    sys.exit("call.py: unknown argument %r" % word)


def call(path, interface, method, *words):
    service = bus.get_object(NAME, path, introspect=False)
    try:
        return {"answer": service.get_dbus_method(method, dbus_interface=interface)(*map(argument, words))}
    except dbus.exceptions.DBusException as error:
        return {"error": error.get_dbus_name(), "message": error.get_dbus_message()}


def content(descriptor):
    with os.fdopen(descriptor.take(), "rb") as file:
        return file.read().decode("latin-1")


arguments = sys.argv[1:]
bus = dbus.SystemBus()
if arguments[0].startswith("--times="):
    times = int(arguments.pop(0).partition("=")[2])
    print(json.dumps([call(*arguments) for _ in range(times)]))
else:
    print(json.dumps(call(*arguments), default=content))
