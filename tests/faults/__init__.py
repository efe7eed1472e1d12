"""The provider killed at every call to libvirt, daemons restarted, connections cut, races, full disks."""
