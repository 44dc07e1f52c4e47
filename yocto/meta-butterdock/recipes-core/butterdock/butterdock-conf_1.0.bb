SUMMARY = "Configuration that a product gives to butterdock"
DESCRIPTION = "The maker's butterdock.toml, in /usr, below what an administrator \
writes in /etc. A product has its own by a bbappend with another butterdock.toml, \
and butterdock itself is not built again."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "admin"
CVE_PRODUCT = "butterdock"
LICENSE = "MIT"
# Not beside the file, because a product's own file would have to bring it too.
# nooelint: oelint.var.licenseremotefile
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = "file://butterdock.toml"

S = "${UNPACKDIR}"

inherit allarch

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -D -m 0644 ${UNPACKDIR}/butterdock.toml ${D}${nonarch_libdir}/butterdock/butterdock.toml
}

FILES:${PN} += "${nonarch_libdir}/butterdock"
