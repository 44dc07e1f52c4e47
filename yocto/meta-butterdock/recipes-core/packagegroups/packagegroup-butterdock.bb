SUMMARY = "butterdock, its command line, and the drivers that drives need"
DESCRIPTION = "Everything that an appliance needs to receive btrfs streams and to \
back up to USB drives. Drivers that are built into the kernel are no packages, \
and so they are recommended only."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "admin"
LICENSE = "MIT"

# Kernel modules are the machine's.
PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup features_check

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

RDEPENDS:${PN} = " \
    btrfs-tools \
    butterdock \
    butterdock-cli \
    butterdock-conf \
"

RRECOMMENDS:${PN} = " \
    kernel-module-btrfs \
    kernel-module-dm-crypt \
    kernel-module-loop \
    kernel-module-uas \
    kernel-module-usb-storage \
"
