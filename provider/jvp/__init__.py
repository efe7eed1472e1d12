"""JVP: virtual machines on libvirt as code."""

__version__ = "0.1.0"
