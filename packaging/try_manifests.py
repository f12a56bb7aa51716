"""Holds packaging/kubernetes against the schemas of Kubernetes, and packaging/compose against the
specification of Compose."""

import pathlib
import re

import kubernetes_validate
import yaml
from compose_spec import PyCompose

HERE = pathlib.Path(__file__).parent
VERSION = "1.31"


def main() -> None:
    kinds = []
    for file in sorted((HERE / "kubernetes").glob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text()):
            kubernetes_validate.validate(manifest, VERSION, strict=True)
            kinds.append(manifest["kind"])
    wanted = ["ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"]
    assert sorted(kinds) == wanted, kinds

    # A manifest with a mistake is refused: the schemas are there.
    broken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": "80"}}
    try:
        kubernetes_validate.validate(broken, VERSION, strict=True)
    except kubernetes_validate.ValidationError:
        pass
    else:
        raise SystemExit("a broken Service passed")

    text = (HERE / "compose/compose.yaml").read_text()
    # The reader does not know how often, which the specification and Docker do.
    text = re.sub(r"(restart: on-failure):[1-9][0-9]*$", r"\1", text, flags=re.MULTILINE)
    PyCompose.from_yaml(text)
    for right, wrong in [("healthcheck:", "healthchek:"), ("interval: 10s", "interval: ten")]:
        try:
            PyCompose.from_yaml(text.replace(right, wrong))
        except ValueError:
            continue
        raise SystemExit(f"a Compose file with {wrong} passed")
    compose = yaml.safe_load(text)
    assert set(compose["services"]) == {"polypy", "prometheus", "grafana"}
    mounts = [
        mount.split(":")[0]
        for service in compose["services"].values()
        for mount in service.get("volumes", [])
    ]
    folders = [mount for mount in mounts if mount.startswith(".")]
    missing = [folder for folder in folders if not (HERE / "compose" / folder).exists()]
    assert folders and not missing, missing
    assert set(mounts) - set(folders) == set(compose["volumes"]), mounts
    print(f"try-manifests: {', '.join(kinds)}; Compose: {', '.join(compose['services'])}")


if __name__ == "__main__":
    main()
