"""A Debian system with systemd, cloud-init, the QEMU guest agent and sshd, as clouds publish them: for `make lab`."""
