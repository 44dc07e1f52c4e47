#!/usr/bin/python3
"""What a screen reader does with the window, over AT-SPI.

window.py tree                   prints what the window shows: role and name, a line each
window.py shows TEXT             waits until something that is shown has this name or text
window.py press NAME             waits for a button, a box or a row of this name that can be pressed, and presses it
window.py unnamed                prints what can take the keyboard focus and has no name
"""

import os
import sys
import time

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # noqa: E402

PAUSE = 0.1
# In seconds; the test that runs this has a limit of its own.
PATIENCE = float(os.environ.get("PATIENCE", "60"))


def applications():
    desktop = Atspi.get_desktop(0)
    return [desktop.get_child_at_index(index) for index in range(desktop.get_child_count())]


def walk(node):
    """A node and what is below it, as far as it is shown."""
    if node is None:
        return
    states = node.get_state_set()
    if node.get_role() != Atspi.Role.APPLICATION and not states.contains(Atspi.StateType.VISIBLE):
        return
    yield node
    for index in range(node.get_child_count()):
        yield from walk(node.get_child_at_index(index))


def shown():
    for application in applications():
        if application is not None and application.get_name() == "butterdock-window":
            yield from walk(application)


def words(node):
    """Its name, or its text."""
    name = node.get_name() or ""
    text = node.get_text_iface()
    if not name and text is not None:
        name = Atspi.Text.get_text(text, 0, -1)
    return name


def tree():
    return "\n".join(f"{node.get_role_name()} {words(node)!r}" for node in shown())


def until(find):
    """What `find` finds, once it finds something."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE:
        try:
            found = find()
        except GLib.Error:
            # It changed meanwhile.
            found = None
        if found is not None:
            return found
        time.sleep(PAUSE)
    sys.exit(f"it is not shown: {sys.argv[1:]} in\n{tree()}")


def pressable(name):
    for node in shown():
        action = node.get_action_iface()
        can_be = node.get_state_set().contains(Atspi.StateType.SENSITIVE)
        is_pressable = node.get_role() not in (Atspi.Role.LABEL, Atspi.Role.PANEL)
        if can_be and is_pressable and action is not None and Atspi.Action.get_n_actions(action) > 0 and node.get_name() == name:
            return action
    return None


def main(command, *arguments):
    if command == "tree":
        print(tree())
    elif command == "unnamed":
        for node in shown():
            is_focusable = node.get_state_set().contains(Atspi.StateType.FOCUSABLE)
            if is_focusable and node.get_role() != Atspi.Role.SCROLL_PANE and not words(node):
                print(node.get_role_name(), "below", node.get_parent().get_role_name(), repr(words(node.get_parent())))
    elif command == "shows":
        until(lambda: next((node for node in shown() if arguments[0] in words(node)), None))
    elif command == "press":
        if not Atspi.Action.do_action(until(lambda: pressable(arguments[0])), 0):
            sys.exit(f"{arguments[0]} cannot be pressed")


main(*sys.argv[1:])
