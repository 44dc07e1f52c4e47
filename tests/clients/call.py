"""Calls one method of the service with python3-dbus and prints one JSON object: the answer, or the error.

    call.py PATH INTERFACE METHOD [ARGUMENT]...

An ARGUMENT is s:TEXT, h:NUMBER (a descriptor that is open here), or o:JSON (a dictionary of options).
"""

import json
import sys

import dbus

NAME = "org.butterdock.Butterdock1"


def argument(word):
    kind, _, text = word.partition(":")
    if kind == "s":
        return text
    if kind == "h":
        return dbus.types.UnixFd(int(text))
    if kind == "o":
        # Every number of the contract's options is a t.
        number = lambda value: dbus.UInt64(value) if type(value) is int else value
        return dbus.Dictionary({key: number(value) for key, value in json.loads(text).items()}, signature="sv")
    sys.exit("call.py: what is %r?" % word)


path, interface, method, *words = sys.argv[1:]
service = dbus.SystemBus().get_object(NAME, path, introspect=False)
try:
    said = service.get_dbus_method(method, dbus_interface=interface)(*map(argument, words))
except dbus.exceptions.DBusException as error:
    print(json.dumps({"error": error.get_dbus_name(), "message": error.get_dbus_message()}))
else:
    print(json.dumps({"answer": said}))
