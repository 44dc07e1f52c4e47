SUMMARY = "Small appliance that backs up to drives, with a read-only root"
DESCRIPTION = "systemd and butterdock. The root filesystem is read-only; /var has a \
partition of its own, which keeps the history and the enrolled drives."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "images"
LICENSE = "MIT"

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "butterdock systemd usrmerge"

IMAGE_FEATURES += "read-only-rootfs ssh-server-dropbear"

# If the machine names the device of /var, changes of /etc are kept there. The class mounts it before systemd starts.
IMAGE_FEATURES += "${@'overlayfs-etc' if d.getVar('OVERLAYFS_ETC_DEVICE') else ''}"
OVERLAYFS_ETC_MOUNT_POINT ?= "${localstatedir}"
OVERLAYFS_ETC_FSTYPE ?= "ext4"
# The image has the directories. With 1 the class would make the root writable, and leave it so.
OVERLAYFS_ETC_CREATE_MOUNT_DIRS ?= "0"

IMAGE_INSTALL = " \
    packagegroup-core-boot \
    packagegroup-butterdock \
    ${CORE_IMAGE_EXTRA_INSTALL} \
"

# Nothing in the image uses a locale.
IMAGE_LINGUAS = ""

# A disk for machines that boot with EFI. wic finds it beside this recipe; in this series a folder wic/ is an error.
IMAGE_FSTYPES += "${@bb.utils.contains('MACHINE_FEATURES', 'efi', 'wic', '', d)}"
WKS_FILE = "butterdock-image.wks"

# `kas/testimage.yml` runs them.
TEST_SUITES = "ping ssh systemd butterdock"
