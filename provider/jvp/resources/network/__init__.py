"""Network: a virtual network on one node. The model, its XML, and the verbs."""
