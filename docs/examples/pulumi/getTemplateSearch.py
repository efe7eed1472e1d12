import pulumi_jvp as jvp

for image in jvp.get_template_search(text="debian-13", architecture="x86_64").images:
    jvp.Template(image.name, pool="images", os=image.os, source={"url": image.url, "checksum": image.checksum})
