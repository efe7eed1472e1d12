"""How quick it is, beside libvirt and the engine alone (`make bench`), and beside other providers (`make race`)."""
