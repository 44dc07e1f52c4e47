"""Follows the service's objects with Gio.DBusObjectManagerClient: prints "ready", then "added PATH" and "removed PATH" as
they come, until its standard input ends; then "left PATH" for every object that it knows."""

import sys

from gi.repository import Gio, GLib

NAME = "org.butterdock.Butterdock1"

manager = Gio.DBusObjectManagerClient.new_for_bus_sync(
    Gio.BusType.SYSTEM, Gio.DBusObjectManagerClientFlags.NONE, NAME, "/org/butterdock/Butterdock1", None, None, None
)
loop = GLib.MainLoop()


def tell(word, thing):
    # A line at a time: whoever reads it waits for it.
    print(word, thing.get_object_path(), flush=True)


def over(channel, condition):
    # An answer from the bus comes behind every signal before it, and those are dispatched before what has a low priority.
    manager.get_connection().call_sync(
        "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", None, None, 0, -1, None
    )
    GLib.idle_add(loop.quit, priority=GLib.PRIORITY_LOW)
    return False


manager.connect("object-added", lambda _, thing: tell("added", thing))
manager.connect("object-removed", lambda _, thing: tell("removed", thing))
GLib.io_add_watch(GLib.IOChannel.unix_new(sys.stdin.fileno()), 0, GLib.IOCondition.IN | GLib.IOCondition.HUP, over)
print("ready", flush=True)
loop.run()
for thing in manager.get_objects():
    tell("left", thing)
