SUMMARY = "butterdock, its command line, and drivers for drives"
DESCRIPTION = "Everything that an appliance needs to receive btrfs streams and to \
back up to USB drives. Kernel modules are only recommended, because there is no \
package for a driver that is built into the kernel."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "admin"
LICENSE = "MIT"

# Kernel modules depend on the machine.
PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup features_check

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

RDEPENDS:${PN} = " \
    btrfs-tools \
    butterdock \
    butterdock-cli \
    butterdock-conf \
"

# The kernel loads xts and ecb (encrypted drives), xxhash and blake2b (checksums of a drive) on request. No module depends on
# them, so no package does either.
RRECOMMENDS:${PN} = " \
    kernel-module-blake2b-generic \
    kernel-module-btrfs \
    kernel-module-dm-crypt \
    kernel-module-ecb \
    kernel-module-loop \
    kernel-module-uas \
    kernel-module-usb-storage \
    kernel-module-xts \
    kernel-module-xxhash-generic \
"
