"""The way to a node: connections, calls, events, errors, marks and XML."""
