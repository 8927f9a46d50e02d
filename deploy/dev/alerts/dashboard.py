"""Rules about the dashboard: each panel says what it shows, in a unit, from metrics that there are."""

import re

import expressions
from world import World

# What Grafana puts in before it asks.
PUT_IN = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}
DATASOURCE = "${datasource}"


def panels(dashboard: dict) -> list[dict]:
    return [one for panel in dashboard["panels"] for one in (panel, *panel.get("panels", []))]


def queries(dashboard: dict) -> list[tuple[str, str]]:
    """Every expression, as Prometheus gets it, and where it stands."""
    found = [(panel["title"], target["expr"]) for panel in panels(dashboard) for target in panel.get("targets", [])]
    found += [(one["name"], one["expr"]) for one in dashboard["annotations"]["list"] if "expr" in one]
    for variable in dashboard["templating"]["list"]:
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable.get("definition", ""))
        if asked:
            found.append((f"${variable['name']}", f"group by ({asked[2]}) ({asked[1]})"))
    variables = {f"${one['name']}": ".*" for one in dashboard["templating"]["list"]}
    for index, (where, query) in enumerate(found):
        for name, value in (PUT_IN | variables).items():
            query = query.replace(name, value)
        found[index] = (where, query)
    return found


def complaints(world: World) -> list[str]:
    board, known, found = world.dashboard, world.known(), []
    if board.get("id") is not None:
        found.append("the dashboard has the number that one Grafana gave it")
    numbers = [panel["id"] for panel in panels(board)]
    if len(set(numbers)) != len(numbers):
        found.append("two panels have the same number")
    taken = {}
    for panel in panels(board):
        title, place = panel.get("title", ""), panel["gridPos"]
        for cell in (
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ):
            if cell[0] >= 24 or taken.setdefault(cell, title) != title:
                found.append(f"{title}: lies over {taken.get(cell, 'the edge')}")
                break
        if panel["type"] == "row":
            continue
        if not title or not panel.get("description"):
            found.append(f"{title}: a panel without title or description")
        if not panel["fieldConfig"]["defaults"].get("unit"):
            found.append(f"{title}: a panel without a unit")
        if not panel.get("targets"):
            found.append(f"{title}: a panel that asks nothing")
        for source in [panel, *panel.get("targets", [])]:
            if source.get("datasource") != {"type": "prometheus", "uid": DATASOURCE}:
                found.append(f"{title}: asks a datasource of somebody's own")
    for where, query in queries(board):
        if "$" in query:
            found.append(f"{where}: nothing is put in for a name in {query}")
        found += expressions.complaints(where, query, known)
    return found
