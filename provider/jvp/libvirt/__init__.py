"""The only code that imports libvirt: connections, errors, events, streams, marks, XML."""
