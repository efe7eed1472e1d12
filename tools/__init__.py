"""What surrounds the product: setup of a fresh machine, generators, pins of the engines."""
