SUMMARY = "Service that receives btrfs send streams and backs up to drives"
SUMMARY:${PN}-cli = "Command line of butterdock"
SUMMARY:${PN}-dev = "D-Bus interface of butterdock, as XML"
DESCRIPTION = "butterdock recognises enrolled drives when they are plugged in, \
sends to them as btrfs streams what changed since last time, and says when they \
are safe to unplug. It has a D-Bus interface that other programs build on."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "admin"
CVE_PRODUCT = "butterdock"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "udev"

SRC_URI = "git://github.com/butterdock/butterdock.git;protocol=https;branch=main;tag=v${PV}"
# The commit of the tag; README.md, "Releases", says when it is filled in.
SRCREV = "0000000000000000000000000000000000000000"

require butterdock-crates.inc

inherit cargo cargo-update-recipe-crates pkgconfig systemd useradd bash-completion features_check

# systemd itself is not to be had without usrmerge, and the places of the units are those of a merged /usr.
REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

# Both are in meta-oe: dynamic-layers/openembedded-layer sets the default where that layer is there.
PACKAGECONFIG ??= ""
PACKAGECONFIG[polkit] = ",,,polkit"
PACKAGECONFIG[cryptsetup] = ",,,cryptsetup"

# The workspace has tests and libraries besides.
CARGO_BUILD_FLAGS:append = " --package butterdockd --package butterdock"

# Only the lock file of what is built: the fuzzers, which are not, have another.
CARGO_LOCK_SRC_DIR = "${WORKDIR}/lock"
do_update_crates:prepend() {
    install -D -m 0644 ${S}/Cargo.lock ${CARGO_LOCK_SRC_DIR}/Cargo.lock
}

do_install() {
    oe_runmake -C ${S} install DESTDIR=${D} PREFIX=${prefix} SYSCONFDIR=${sysconfdir} \
        BUILT=${B}/target/${CARGO_TARGET_SUBDIR}

    # The example is documentation here: what a product configures is butterdock-conf, and /etc stays the administrator's.
    install -D -m 0644 ${D}${sysconfdir}/butterdock/butterdock.toml ${D}${docdir}/${BPN}/butterdock.toml
    rm -r ${D}${sysconfdir}

    # Its folder is polkit's.
    if ${@bb.utils.contains('PACKAGECONFIG', 'polkit', 'false', 'true', d)}; then
        rm -r ${D}${datadir}/polkit-1/rules.d
    fi
}

PACKAGE_BEFORE_PN += "${PN}-cli ${PN}-zsh-completion ${PN}-fish-completion"

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
FILES:${PN}-cli += "${bindir}/butterdock"
FILES:${PN}-zsh-completion += "${datadir}/zsh"
FILES:${PN}-fish-completion += "${datadir}/fish"
FILES:${PN}-dev += "${datadir}/dbus-1/interfaces"

SYSTEMD_SERVICE:${PN} = "butterdockd.service"

USERADD_PACKAGES = "${PN}"
# That of sysusers.d, made with the image: /etc may be read-only when it boots.
GROUPADD_PARAM:${PN} = "--system butterdock"

# btrfs-tools for mkfs.btrfs and for scrubbing.
RDEPENDS:${PN} += "btrfs-tools butterdock-conf dbus"
RDEPENDS:${PN}-cli += "${PN}"
