"""Judges manifests by the schemas of those who will read them, strictly: Kubernetes, KEDA, Strimzi, Compose."""

import json
from importlib.resources import files
from pathlib import Path

import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

# The oldest release that still gets fixes; newer ones take what it takes.
KUBERNETES = "v1.34.0-local-strict"


class Schemas:
    """`tools` is the folder that manifests.sh filled."""

    def __init__(self, tools: Path):
        self._tools = tools
        self._bundled = files("kubernetes_validate") / "kubernetes-json-schema" / KUBERNETES
        definitions = json.loads((self._bundled / "_definitions.json").read_text())
        self._registry = Resource.from_contents(definitions) @ Registry()
        self._validators = {}
        self._judged = {}

    def complaints(self, document: dict) -> list[str]:
        """What is wrong with the document's shape; nothing where it is right."""
        text = json.dumps(document, sort_keys=True)
        if text not in self._judged:
            validator = self._validator(document.get("apiVersion", ""), document.get("kind", ""))
            if validator is None:
                self._judged[text] = [f"there is no {document.get('kind')} of {document.get('apiVersion')}"]
            else:
                self._judged[text] = [
                    f"/{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
                    for error in validator.iter_errors(document)
                ]
        return self._judged[text]

    def compose(self, document: dict) -> list[str]:
        """The same for docker-compose.yml."""
        schema = json.loads((self._tools / "compose-spec.json").read_text())
        validator = Draft7Validator(schema)
        return [f"/{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(document)]

    def _validator(self, version: str, kind: str):
        key = (version, kind)
        if key not in self._validators:
            self._validators[key] = self._make(version, kind)
        return self._validators[key]

    def _make(self, version: str, kind: str):
        group, _, number = version.rpartition("/")
        if group == "kafka.strimzi.io":
            file = self._tools / f"{kind}.json"
            return Draft202012Validator(json.loads(file.read_text())) if file.exists() else None
        if group == "keda.sh":
            file = self._tools / f"keda.sh_{kind.lower()}s.yaml"
            return Draft202012Validator(_of_definition(file, kind, number)) if file.exists() else None
        name = f"{kind.lower()}-{group.split('.')[0] + '-' if group else ''}{number}.json"
        file = self._bundled / name
        return Draft202012Validator(json.loads(file.read_text()), registry=self._registry) if file.is_file() else None


def _of_definition(file: Path, kind: str, version: str) -> dict:
    """The schema inside a CustomResourceDefinition, which Kubernetes reads leniently, made strict."""
    definition = yaml.safe_load(file.read_text())
    if definition["spec"]["names"]["kind"] != kind:
        raise ValueError(f"{file} defines {definition['spec']['names']['kind']}")
    schema = next(one for one in definition["spec"]["versions"] if one["name"] == version)["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    return _strict(schema, {"metadata"})


def _strict(schema: dict, open_members: frozenset | set = frozenset()) -> dict:
    """Objects that list their members have no others."""
    members = schema.get("properties")
    if members is not None and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for name, member in (members or {}).items():
        if name not in open_members:
            _strict(member)
    for place in ("items", "additionalProperties"):
        if isinstance(schema.get(place), dict):
            _strict(schema[place])
    return schema
