"""Follows the service's objects with Gio.DBusObjectManagerClient: prints "ready", then "added PATH" and "removed PATH" as
they change, until its standard input ends; then "left PATH" for every object that remains."""

import sys

from gi.repository import Gio, GLib

NAME = "org.butterdock.Butterdock1"

manager = Gio.DBusObjectManagerClient.new_for_bus_sync(
    Gio.BusType.SYSTEM, Gio.DBusObjectManagerClientFlags.NONE, NAME, "/org/butterdock/Butterdock1", None, None, None
)
loop = GLib.MainLoop()


def report(word, thing):
    # Flush each line: the test waits for it.
    print(word, thing.get_object_path(), flush=True)


def over(channel, condition):
    # The answer of the bus arrives after all earlier signals, which are dispatched before callbacks of low priority.
    manager.get_connection().call_sync(
        "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", None, None, 0, -1, None
    )
    GLib.idle_add(loop.quit, priority=GLib.PRIORITY_LOW)
    return False


manager.connect("object-added", lambda _, thing: report("added", thing))
manager.connect("object-removed", lambda _, thing: report("removed", thing))
GLib.io_add_watch(GLib.IOChannel.unix_new(sys.stdin.fileno()), 0, GLib.IOCondition.IN | GLib.IOCondition.HUP, over)
print("ready", flush=True)
loop.run()
for thing in manager.get_objects():
    report("left", thing)
