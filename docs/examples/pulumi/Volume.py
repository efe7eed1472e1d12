import pulumi_jvp as jvp

# Empty, to be formatted by the guest.
data = jvp.Volume("data", pool="lab", size="10GiB")

# A copy of its own of an image.
rescue = jvp.Volume("rescue", pool="lab", template="lab/debian", full_clone=True)
