SUMMARY = "Small appliance that backs up to drives, with a read-only root"
DESCRIPTION = "systemd, polkit where the distribution has it, and butterdock. The root \
filesystem is read-only; /var has a partition of its own, which keeps the history \
and the enrolled drives."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "images"
LICENSE = "MIT"

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "butterdock systemd usrmerge"

IMAGE_FEATURES += "read-only-rootfs ssh-server-dropbear"

IMAGE_INSTALL = " \
    packagegroup-core-boot \
    packagegroup-butterdock \
    ${@bb.utils.filter('DISTRO_FEATURES', 'polkit', d)} \
    ${CORE_IMAGE_EXTRA_INSTALL} \
"

# A disk for machines that boot by EFI. It is beside this recipe; layers keep no folder wic/ any more.
IMAGE_FSTYPES += "${@bb.utils.contains('MACHINE_FEATURES', 'efi', 'wic', '', d)}"
WKS_FILE = "butterdock-image.wks"

# `bitbake -c testimage butterdock-image`, where IMAGE_CLASSES has testimage.
TEST_SUITES = "ping ssh systemd butterdock"
