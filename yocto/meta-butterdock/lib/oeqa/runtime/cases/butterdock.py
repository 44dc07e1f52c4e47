#
# Copyright the butterdock developers
#
# SPDX-License-Identifier: MIT
#
"""Tests of a running butterdock-image; the class testimage runs them."""

from oeqa.core.decorator.data import skipIfNotFeature
from oeqa.core.decorator.depends import OETestDepends
from oeqa.runtime.case import OERuntimeTestCase
from oeqa.runtime.decorator.package import OEHasPackage

NAME = "org.butterdock.Butterdock1"
UNIT = "butterdockd.service"
# Not /tmp: a service with PrivateTmp= sees another one.
ROOM = "/run/butterdock-test"


class ButterdockTest(OERuntimeTestCase):
    """The service, its command line, and a stream that is received into a volume."""

    def ask(self, command):
        """Runs a command that must succeed, and returns its output."""
        status, output = self.target.run(command)
        self.assertEqual(status, 0, msg="%s\n%s" % (command, output))
        return output

    @OEHasPackage(["butterdock"])
    @OETestDepends(["ssh.SSHTest.test_ssh"])
    def test_service_is_up(self):
        self.ask("systemctl start %s" % UNIT)
        self.assertEqual(self.ask("systemctl is-active %s" % UNIT), "active")
        self.assertEqual(self.ask("systemctl show -P BusName %s" % UNIT), NAME)

    @OETestDepends(["butterdock.ButterdockTest.test_service_is_up"])
    def test_bus_activates_the_service(self):
        self.ask("systemctl stop %s" % UNIT)
        self.ask("busctl call %s / org.freedesktop.DBus.Peer Ping" % NAME)
        self.assertEqual(self.ask("systemctl is-active %s" % UNIT), "active")

    @OETestDepends(["butterdock.ButterdockTest.test_service_is_up"])
    @OEHasPackage(["butterdock-cli"])
    def test_command_line_answers(self):
        self.ask("butterdock status")
        self.ask("butterdock drives")
        self.ask("butterdock --json volumes")

    @OETestDepends(["butterdock.ButterdockTest.test_service_is_up"])
    def test_configuration_is_valid(self):
        self.ask("test -e /usr/lib/butterdock/butterdock.toml")
        self.ask("butterdockd check-config")

    @OETestDepends(["butterdock.ButterdockTest.test_service_is_up"])
    @skipIfNotFeature("read-only-rootfs", "the root is writable")
    def test_state_is_writable_with_a_read_only_root(self):
        status, _ = self.target.run("touch /usr/lib/butterdock/written")
        self.assertNotEqual(status, 0, msg="the root filesystem could be written")
        self.ask("test -d /var/lib/butterdock")
        self.ask("touch /var/lib/butterdock/.written && rm /var/lib/butterdock/.written")

    @OETestDepends(["butterdock.ButterdockTest.test_state_is_writable_with_a_read_only_root"])
    @skipIfNotFeature("overlayfs-etc", "the machine does not set OVERLAYFS_ETC_DEVICE")
    def test_changes_of_etc_are_kept_on_var(self):
        self.ask("grep -q ' /var ext4 rw' /proc/mounts")
        self.ask("grep -q '^[^ ]* /etc overlay .*upperdir=/var/overlay-etc/upper' /proc/mounts")
        self.ask("mkdir -p /etc/butterdock")
        self.ask("touch /etc/butterdock/.written && rm /etc/butterdock/.written")

    @OETestDepends(["butterdock.ButterdockTest.test_service_is_up"])
    def test_udev_rule_applies_again_after_var_is_mounted(self):
        self.assertEqual(self.ask("systemctl is-enabled butterdock-udev-trigger.service"), "enabled")

    @OETestDepends(["butterdock.ButterdockTest.test_service_is_up"])
    def test_group_for_the_appliance_exists(self):
        self.ask("grep -q '^butterdock:' /etc/group")

    @OETestDepends(["butterdock.ButterdockTest.test_configuration_is_valid"])
    @OEHasPackage(["btrfs-tools"])
    def test_stream_is_received(self):
        try:
            for name in ("from", "to"):
                self.ask("mkdir -p %s/%s" % (ROOM, name))
                self.ask("dd if=/dev/zero of=%s/%s.img bs=1M count=0 seek=256" % (ROOM, name))
                self.ask("mkfs.btrfs -q %s/%s.img" % (ROOM, name))
                self.ask("mount -o loop,compress=zstd %s/%s.img %s/%s" % (ROOM, name, ROOM, name))
            self.ask("btrfs subvolume create %s/from/work" % ROOM)
            self.ask("cp -r /usr/bin %s/from/work/" % ROOM)
            self.ask("btrfs subvolume snapshot -r %s/from/work %s/from/monday" % (ROOM, ROOM))
            self.ask("btrfs send --proto 2 --compressed-data -f %s/monday.stream %s/from/monday" % (ROOM, ROOM))
            self.ask("butterdockd receive -f %s/monday.stream %s/to" % (ROOM, ROOM))
            self.ask("diff -r %s/from/monday %s/to/monday" % (ROOM, ROOM))
        finally:
            self.target.run("umount %s/from %s/to" % (ROOM, ROOM))
            self.target.run("rm -rf %s" % ROOM)

    @OETestDepends(["butterdock.ButterdockTest.test_service_is_up"])
    def test_kernel_has_btrfs_and_landlock(self):
        self.ask("modprobe btrfs || grep -qw btrfs /proc/filesystems")
        self.assertIn("landlock", self.ask("cat /sys/kernel/security/lsm"))
