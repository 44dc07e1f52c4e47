SUMMARY = "Service that receives btrfs send streams and backs up to drives"
SUMMARY:${PN}-cli = "Command line of butterdock"
SUMMARY:${PN}-net = "Notifications of butterdock by mail and HTTP"
SUMMARY:${PN}-cockpit = "Page of butterdock in Cockpit"
SUMMARY:${PN}-dev = "D-Bus interface of butterdock, as XML"
DESCRIPTION = "butterdock recognises enrolled drives when they are plugged in, \
sends the changes since the last backup to them as btrfs streams, and reports \
when they are safe to unplug. Other programs use it through its D-Bus interface."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "admin"
CVE_PRODUCT = "butterdock"
# Apache-2.0 is butterdock's own; the others are those of the crates and of zstd's C library, which Cargo links statically.
# /usr/share/butterdock/third-party has their notices.
LICENSE = "Apache-2.0 & 0BSD & BSD-2-Clause & BSD-3-Clause & ISC & MIT & Unicode-3.0 & Zlib"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "udev"

SRC_URI = "git://github.com/butterdock/butterdock.git;protocol=https;branch=main;tag=v${PV}"
# The commit of the tag; README.md, "Releases", says when to set it.
SRCREV = "0000000000000000000000000000000000000000"

require butterdock-crates.inc

inherit cargo cargo-update-recipe-crates pkgconfig systemd useradd bash-completion features_check ptest-cargo

# systemd requires usrmerge, and units are installed in a merged /usr.
REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

# Both packages are in meta-oe. With that layer, dynamic-layers/openembedded-layer sets the default.
PACKAGECONFIG ??= ""
PACKAGECONFIG[polkit] = ",,,polkit"
PACKAGECONFIG[cryptsetup] = ",,,cryptsetup"

# The workspace also has libraries and tests. As ptest, only the tests of the kernel calls run: the others need files of the
# source tree.
CARGO_PACKAGES = "--package butterdockd --package butterdock --package butterdock-net"
CARGO_PACKAGES:task-compile-ptest-cargo = "--package butterdock-btrfs"
CARGO_BUILD_FLAGS:append = " ${CARGO_PACKAGES}"

# As the profile `dist` of Cargo.toml, whose name the class does not know.
export CARGO_PROFILE_RELEASE_LTO = "fat"
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS = "1"

# zstd's C sources are compiled below CARGO_HOME, which the default does not map: without this, do_package_qa reports buildpaths.
DEBUG_PREFIX_MAP += "-ffile-prefix-map=${CARGO_HOME}=${TARGET_DBGSRC_DIR}"

# Only the lock file of the workspace: the fuzzers have another one and are not built.
CARGO_LOCK_SRC_DIR = "${WORKDIR}/lock"
do_update_crates:prepend() {
    install -D -m 0644 ${S}/Cargo.lock ${CARGO_LOCK_SRC_DIR}/Cargo.lock
}

do_compile:append() {
    ${S}/daemon/data/notices ${CARGO_VENDORING_DIRECTORY} > ${B}/third-party
}

do_install() {
    # An appliance has no desktop session: its package is not built.
    oe_runmake -C ${S} install DESTDIR=${D} PREFIX=${prefix} SYSCONFDIR=${sysconfdir} \
        BUILT=${B}/target/${CARGO_TARGET_SUBDIR} PACKAGE="butterdock butterdock-cockpit"
    install -D -m 0644 ${B}/third-party ${D}${datadir}/${BPN}/third-party

    # The example is documentation: a product sets its configuration in butterdock-conf, and /etc belongs to the administrator.
    install -D -m 0644 ${D}${sysconfdir}/butterdock/butterdock.toml ${D}${docdir}/${BPN}/butterdock.toml
    rm -r ${D}${sysconfdir}
    # For the passwords of notifications: the unit of butterdock-net needs it, and /etc may be read-only.
    install -d -m 0700 ${D}${sysconfdir}/butterdock/credentials

    # The folder belongs to polkit.
    if ${@bb.utils.contains('PACKAGECONFIG', 'polkit', 'false', 'true', d)}; then
        rm -r ${D}${datadir}/polkit-1/rules.d
    fi
}

PACKAGE_BEFORE_PN += "${PN}-cli ${PN}-cockpit ${PN}-net ${PN}-zsh-completion ${PN}-fish-completion"

FILES:${PN} += " \
    ${datadir}/dbus-1/system.d \
    ${datadir}/dbus-1/system-services \
    ${datadir}/polkit-1 \
    ${nonarch_libdir}/butterdock \
    ${nonarch_libdir}/systemd/catalog \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${nonarch_libdir}/udev/rules.d \
    ${systemd_system_unitdir} \
"
FILES:${PN}-net += " \
    ${libexecdir}/butterdock-net \
    ${sysconfdir}/butterdock/credentials \
    ${systemd_system_unitdir}/butterdock-net.socket \
    ${systemd_system_unitdir}/butterdock-net@.service \
"
# The timer runs butterdock; an administrator enables it.
FILES:${PN}-cli += " \
    ${bindir}/butterdock \
    ${systemd_system_unitdir}/butterdock-metrics.service \
    ${systemd_system_unitdir}/butterdock-metrics.timer \
"
FILES:${PN}-cockpit += "${datadir}/cockpit/butterdock"
FILES:${PN}-zsh-completion += "${datadir}/zsh"
FILES:${PN}-fish-completion += "${datadir}/fish"
FILES:${PN}-dev += "${datadir}/dbus-1/interfaces"

# A system without [[notify]] needs no program that reaches the network.
SYSTEMD_PACKAGES = "${PN} ${PN}-net"
SYSTEMD_SERVICE:${PN}-net = "butterdock-net.socket"
SYSTEMD_SERVICE:${PN} = "butterdockd.service butterdock-udev-trigger.service"

USERADD_PACKAGES = "${PN}"
# The group of sysusers.d. It is made with the image, because /etc may be read-only at boot.
GROUPADD_PARAM:${PN} = "--system butterdock"

# btrfs-tools: the service runs mkfs.btrfs, an administrator `btrfs scrub`.
RDEPENDS:${PN} += "${VIRTUAL-RUNTIME_dbus} btrfs-tools butterdock-conf"
RDEPENDS:${PN}-cli += "${PN}"
RDEPENDS:${PN}-net += "${PN} ca-certificates"
# Cockpit is in meta-webserver: dynamic-layers/webserver adds it.
RDEPENDS:${PN}-cockpit += "${PN} ${PN}-cli"
# The tests make btrfs filesystems on loop devices.
RDEPENDS:${PN}-ptest += "btrfs-tools util-linux-losetup util-linux-mount"
