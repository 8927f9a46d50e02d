"""Every metric is looked at by somebody, or left out for a reason."""

from dashboard import queries
from promql import names
from world import World

# Metric: why nothing shows it.
LEFT_OUT: dict[str, str] = {}


def complaints(world: World) -> list[str]:
    asked = [rule["expr"] for rule in world.all_rules()] + [query for _, query in queries(world.dashboard)]
    used = {one.metric for expression in asked for one in names(expression)[0]}
    parts = ("_bucket", "_sum", "_count")
    there = {
        name
        for name in world.metrics
        if not any(name.removesuffix(part) in world.metrics and name.endswith(part) for part in parts)
    }
    shown = {name for name in there if used & {name, *(name + part for part in parts)}}
    found = [f"{name}: no panel and no alert looks at it" for name in sorted(there - shown - set(LEFT_OUT))]
    found += [f"{name}: is left out, and shown or gone" for name in sorted(set(LEFT_OUT) - (there - shown))]
    return found
