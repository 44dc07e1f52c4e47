# Who only adds this layer gets the kernel that he had: the rest is read where DISTRO_FEATURES has butterdock.
# The rule sees a space at the end where there is no feature.
# nooelint: oelint.spaces.lineend
require ${@bb.utils.contains('DISTRO_FEATURES', 'butterdock', 'linux-yocto-butterdock.inc', '', d)}
