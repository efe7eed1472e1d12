import pulumi_jvp as jvp

# Another program has written files into the pool's folder.
refresh = jvp.RefreshStoragePool("lab", storage_pool="lab", triggers={"written": "2026-01-31"})
