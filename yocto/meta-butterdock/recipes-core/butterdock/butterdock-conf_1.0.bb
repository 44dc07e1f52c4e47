SUMMARY = "Configuration of butterdock for a product"
DESCRIPTION = "butterdock.toml in /usr; the administrator's file in /etc takes \
precedence. A product replaces it with a bbappend that has its own butterdock.toml, \
without rebuilding butterdock."
HOMEPAGE = "https://github.com/butterdock/butterdock"
BUGTRACKER = "https://github.com/butterdock/butterdock/issues"
SECTION = "admin"
CVE_PRODUCT = "butterdock"
LICENSE = "MIT"
# Not a file beside butterdock.toml, because each product would need a copy of it.
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
