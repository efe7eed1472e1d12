import pulumi_jvp as jvp

# A copy beside the program, made anew for each release.
export = jvp.ExportVolume("data", volume="lab/data", path="data.qcow2", overwrite=True, triggers={"release": "7"})
