"""Instance: a virtual machine. The model, its XML, its disks, what changes while it runs, and the verbs."""
