"""Receives its standard input into the volume tank with python3-dbus, follows the job only by signals, and prints one JSON
object: the result and details of Completed, all values of each property in order, and the number of Completed signals."""

import json

import dbus
import dbus.mainloop.glib
from gi.repository import GLib

NAME = "org.butterdock.Butterdock1"

dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
loop = GLib.MainLoop()
seen = {}
completed = {}


def changed(interface, properties, invalidated, path):
    if interface == NAME + ".Job":
        for name, value in properties.items():
            seen.setdefault(path, {}).setdefault(str(name), []).append(value)


def ended(result, details, path):
    completed.setdefault(path, []).append((result, details))
    # Signals after Completed would be a fault: receive them too.
    GLib.timeout_add(300, loop.quit)


for function, interface, signal in (
    (changed, "org.freedesktop.DBus.Properties", "PropertiesChanged"),
    (ended, NAME + ".Job", "Completed"),
):
    bus.add_signal_receiver(function, signal, interface, NAME, path_keyword="path")

manager = bus.get_object(NAME, "/org/butterdock/Butterdock1")
options = dbus.Dictionary({}, signature="sv")
job = manager.Receive("tank", dbus.types.UnixFd(0), options, dbus_interface=NAME + ".Manager")
while job not in completed:
    loop.run()
result, details = completed[job][0]
print(json.dumps({"job": job, "result": result, "details": details, "seen": seen.get(job, {}),
                  "times": len(completed[job])}))
