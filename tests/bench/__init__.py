"""How quick it is, beside what libvirt and the engine need alone: `python -m bench`, or `make bench`."""
