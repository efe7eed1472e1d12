"""Networks, and the addresses that they keep."""
