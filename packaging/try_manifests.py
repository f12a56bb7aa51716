"""Holds packaging/kubernetes against the schemas of Kubernetes, and reads packaging/compose."""

import pathlib

import kubernetes_validate
import yaml

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

    compose = yaml.safe_load((HERE / "compose/compose.yaml").read_text())
    assert set(compose["services"]) == {"polypy", "prometheus", "grafana"}
    mounts = [
        mount.split(":")[0]
        for service in compose["services"].values()
        for mount in service.get("volumes", [])
        if mount.startswith(".")
    ]
    missing = [mount for mount in mounts if not (HERE / "compose" / mount).exists()]
    assert mounts and not missing, missing
    print(f"try-manifests: {', '.join(kinds)}; Compose: {', '.join(compose['services'])}")


if __name__ == "__main__":
    main()
