# Read only if meta-oe is present. A weak default: a distribution or local.conf overrides it with `=`.
PACKAGECONFIG ??= "cryptsetup ${@bb.utils.filter('DISTRO_FEATURES', 'polkit', d)}"
