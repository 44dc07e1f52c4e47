# meta-oe is there. A weak default, so that a distribution or local.conf decides otherwise by `=`.
PACKAGECONFIG ??= "cryptsetup ${@bb.utils.filter('DISTRO_FEATURES', 'polkit', d)}"
