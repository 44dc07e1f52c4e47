# Read only if meta-webserver is present, which has Cockpit: the page needs its libraries, its frame, and its server.
RDEPENDS:${PN}-cockpit += "cockpit cockpit-shell cockpit-ws"
