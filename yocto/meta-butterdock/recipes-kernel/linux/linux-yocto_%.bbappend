# Without butterdock in DISTRO_FEATURES this append changes nothing.
# Without the feature, the line ends in a space; the rule complains about it.
# nooelint: oelint.spaces.lineend
require ${@bb.utils.contains('DISTRO_FEATURES', 'butterdock', 'linux-yocto-butterdock.inc', '', d)}
