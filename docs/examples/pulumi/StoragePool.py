import pulumi_jvp as jvp

lab = jvp.StoragePool("lab", name="lab", path="/srv/lab")
