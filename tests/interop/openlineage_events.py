"""OpenLineage events as the official client's own classes, built strictly: what a class does not know is an error."""

import types
import typing

import attr
from openlineage.client import facet_v2
from openlineage.client.event_v2 import RunEvent
from openlineage.client.generated.base import DatasetFacet, RunFacet

OURS = "https://modelfactory.dev/schemas/lineage"


@attr.define
class ModelFactoryRunFacet(RunFacet):
    runId: str
    runKey: str
    platformRunId: str
    state: str
    attempt: int
    requestId: str
    policyRevision: str
    configRevision: str
    codeReleaseId: str
    code: str | None = None
    message: str | None = None
    manifests: list[dict] | None = None
    omitted: dict | None = None

    @staticmethod
    def _get_schema():
        return f"{OURS}/lineage_run_facet.v0.json"


@attr.define
class ModelFactoryContentDatasetFacet(DatasetFacet):
    sha256: str
    role: str

    @staticmethod
    def _get_schema():
        return f"{OURS}/lineage_content_facet.v0.json"


def _known_facets():
    classes = [ModelFactoryRunFacet, ModelFactoryContentDatasetFacet]
    for module in vars(facet_v2).values():
        if isinstance(module, types.ModuleType):
            classes += [one for one in vars(module).values() if isinstance(one, type) and attr.has(one)]
    return {one._get_schema(): one for one in classes if hasattr(one, "_get_schema")}


FACETS = _known_facets()


def _built(hint, value, where):
    if value is None:
        return None
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        (hint,) = [one for one in typing.get_args(hint) if one is not type(None)]
        return _built(hint, value, where)
    if origin is list:
        (of,) = typing.get_args(hint)
        return [_built(of, one, f"{where}/{at}") for at, one in enumerate(value)]
    if origin is dict:
        of = typing.get_args(hint)[1]
        is_facet = isinstance(of, type) and where.rpartition("/")[2] in ("facets", "inputFacets", "outputFacets")
        return {
            key: _facet(of, one, f"{where}/{key}") if is_facet else _built(of, one, f"{where}/{key}")
            for key, one in value.items()
        }
    if isinstance(hint, type) and attr.has(hint):
        return _object(hint, value, where)
    if isinstance(hint, type) and hint not in (str, int, float, bool, dict, object):
        return hint(value)
    if hint in (str, int, bool):
        assert type(value) is hint, f"{where} is {value!r}, no {hint.__name__}"
    return value


def _facet(kind, value, where):
    facet = FACETS.get(value["_schemaURL"])
    assert facet is not None, f"{where}: the client knows no facet {value['_schemaURL']}"
    assert issubclass(facet, kind), f"{where}: {facet.__name__} is no {kind.__name__}"
    return _object(facet, value, where)


def _object(kind, value, where):
    hints, given, fixed = typing.get_type_hints(kind), {}, {}
    for field in attr.fields(kind):
        if field.name in value:
            (given if field.init else fixed)[field.name] = _built(
                hints[field.name], value[field.name], f"{where}/{field.name}"
            )
    unknown = value.keys() - given.keys() - fixed.keys()
    assert not unknown, f"{where}: {kind.__name__} has no {sorted(unknown)}"
    aliases = {field.name: field.alias for field in attr.fields(kind)}
    made = kind(**{aliases[name]: one for name, one in given.items()})
    for name, one in fixed.items():
        assert getattr(made, name) == one, f"{where}/{name} is {one}, the client writes {getattr(made, name)}"
    return made


def read(value):
    """A `RunEvent` of the client; an error where its classes do not fit."""
    return _object(RunEvent, value, "")


def meaning(value):
    """A value without nulls and without empty lists and objects."""
    if isinstance(value, dict):
        kept = {key: meaning(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in (None, {}, [])}
    if isinstance(value, list):
        return [meaning(one) for one in value]
    return value
