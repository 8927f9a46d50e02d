"""One rendering of the manifests, and what the rest of the repository says that they have to agree with."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

PREFIX = "MODEL_FACTORY_"
OURS = "model-factory"


@dataclass(frozen=True)
class Facts:
    """What stands elsewhere in the repository."""

    # Every setting with its default, from worker.env.example.
    settings: dict
    # Of Cargo.toml.
    version: str
    # (secret, key) of the runbook's table; of ConfigMaps that it tells to make as well.
    promised: frozenset
    # Uid that the image runs as.
    uid: int

    @staticmethod
    def of(root: Path) -> "Facts":
        example = (root / "deploy/worker.env.example").read_text()
        settings = dict(re.findall(r"^MODEL_FACTORY_(\w+)=(.*)$", example, re.M))
        version = re.search(r'^version = "(.*)"$', (root / "Cargo.toml").read_text(), re.M)[1]
        runbook = (root / "deploy/README.md").read_text()
        promised = frozenset(re.findall(r"^\| `([a-z-]+)` \| `([\w.]+)` \|", runbook, re.M))
        uids = re.findall(r"^USER (\d+):\d+$", (root / "deploy/Dockerfile").read_text(), re.M)
        return Facts(settings, version, promised, int(uids[-1]) if uids else 0)


@dataclass(frozen=True)
class Pod:
    """A pod template, wherever it stands."""

    owner: dict
    labels: dict
    spec: dict

    @property
    def name(self) -> str:
        return named(self.owner)

    @property
    def containers(self) -> list:
        return self.spec.get("initContainers", []) + self.spec.get("containers", [])


def named(document: dict) -> str:
    return f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"


def is_ours(container: dict) -> bool:
    return container.get("image", "").split("@")[0].rpartition("/")[2].split(":")[0] == OURS


class Rendering:
    """The documents of one `kustomize build`."""

    def __init__(self, documents: list):
        self.documents = documents

    @staticmethod
    def read(file: Path) -> "Rendering":
        return Rendering([one for one in yaml.safe_load_all(file.read_text()) if one])

    def of(self, *kinds: str) -> list:
        return [one for one in self.documents if one.get("kind") in kinds]

    def one(self, kind: str, name: str) -> dict:
        return next(one for one in self.of(kind) if one["metadata"]["name"] == name)

    def pods(self) -> list:
        pods = []
        for owner in self.of("Deployment", "StatefulSet", "Job", "CronJob"):
            spec = owner.get("spec", {})
            template = (spec.get("jobTemplate", {}).get("spec", {}) if owner["kind"] == "CronJob" else spec).get("template", {})
            pods.append(Pod(owner, template.get("metadata", {}).get("labels", {}), template.get("spec", {})))
        return pods

    def environment(self, container: dict) -> dict:
        """What a container finds in its environment, as far as it does not come from a Secret."""
        found = {}
        for source in container.get("envFrom", []):
            name = source.get("configMapRef", {}).get("name")
            for one in self.of("ConfigMap"):
                if one["metadata"]["name"] == name:
                    found |= one.get("data", {})
        found |= {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}
        return found

    def settings(self) -> dict:
        """What the workers agree on: our generated ConfigMap, names without the prefix."""
        found = {}
        for one in self.of("ConfigMap"):
            found |= {name.removeprefix(PREFIX): value for name, value in one.get("data", {}).items()}
        return found
