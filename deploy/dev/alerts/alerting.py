"""Rules about alerts: what each says, that it is tested both ways, and that the runbook tells what it means."""

import re

import expressions
from promql import names
from world import World

CHAPTER = "## What each alert means"
CASE = re.compile(r'^ALERTS\{alertname="(\w+)", alertstate="firing"\}$')


def sections(runbook: str) -> dict[str, str]:
    """Headings and texts of the chapter."""
    _, _, rest = runbook.partition(f"\n{CHAPTER}\n")
    chapter = re.split(r"\n## ", rest)[0]
    return {title: text.strip() for title, text in re.findall(r"^### (.+)\n((?:(?!### ).*\n?)*)", chapter, re.M)}


def astray(runbook: str) -> list[str]:
    """Links within the runbook that lead to no heading."""
    headings = re.findall(r"^#+ (.+)$", runbook, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    return [
        f"the runbook has no heading #{slug}" for slug in re.findall(r"\]\(#([^)]+)\)", runbook) if slug not in slugs
    ]


def cases(world: World) -> tuple[dict[str, list[dict]], set[str], list[str]]:
    """What each alert fires with (its labels), which stay quiet throughout a test, and what is no case."""
    firing, quiet, strange = {}, set(), []
    for file, tests in world.tests.items():
        for test in tests["tests"]:
            fires = set()
            for case in test.get("promql_expr_test", []):
                name = CASE.match(case["expr"])
                if not name or not case.get("exp_samples"):
                    strange.append(f"tests/{file}: {case['expr']} is no case of an alert that fires")
                    continue
                fires.add(name[1])
                samples = [dict(re.findall(r'(\w+)="([^"]*)"', one["labels"])) for one in case["exp_samples"]]
                firing.setdefault(name[1], []).extend(samples)
            for case in test.get("alert_rule_test", []):
                if case.get("exp_alerts"):
                    strange.append(f"tests/{file}: {case['alertname']} fires in an alert_rule_test; use ALERTS")
                # Where it fires later on it was only not yet due.
                quiet |= {case["alertname"]} - fires
    return firing, quiet, strange


def series(world: World) -> list[str]:
    """A test with series that no worker tells proves nothing."""
    found = []
    for file, tests in world.tests.items():
        for test in tests["tests"]:
            where = f"tests/{file}, {test['name']}"
            for given in (one["series"] for one in test["input_series"]):
                found += expressions.complaints(where, given, world.known())
                metrics, _ = names(given)
                for one in metrics:
                    lacking = set(world.metrics.get(one.metric, {})) - {label for label, _, _ in one.matchers}
                    found += [f"{where}: {one.metric} without {label}" for label in sorted(lacking)]
    return found


def says(rule: dict, told: dict[str, str], firing: list[dict]):
    """What is wrong with what an alert tells whoever is called."""
    if rule.get("labels") not in ({"severity": "critical"}, {"severity": "warning"}):
        yield "the one label of an alert is its severity, critical or warning"
    notes = rule.get("annotations", {})
    if sorted(notes) != ["description", "runbook", "summary"]:
        yield "an alert has a summary, a description and a runbook"
    if notes.get("runbook") != f"deploy/README.md#{rule['alert'].lower()}":
        yield "its runbook is elsewhere"
    if not told.get(rule["alert"]):
        yield "the runbook does not tell what it means"
    there = {label for labels in firing for label in labels}
    for label in re.findall(r"\$labels\.(\w+)", " ".join(notes.values())):
        if firing and label not in there:
            yield f"its text tells {label}, and it has no such label"


def complaints(world: World) -> list[str]:
    told = sections(world.runbook)
    firing, quiet, found = cases(world)
    found += series(world) + astray(world.runbook)
    for rule in world.all_rules():
        name = rule.get("alert") or rule["record"]
        found += expressions.complaints(name, rule["expr"], world.known())
    alerts = {rule["alert"]: rule for rule in world.alerts()}
    if len(alerts) != len(world.alerts()):
        found.append("two alerts have the same name")
    for name, rule in alerts.items():
        found += [f"{name}: {text}" for text in says(rule, told, firing.get(name, []))]
        if name not in firing:
            found.append(f"{name}: no test sees it fire")
        if name not in quiet:
            found.append(f"{name}: no test sees it quiet")
    found += [f"the runbook tells of {name}, which is no alert" for name in told if name not in alerts]
    found += [f"a test names {name}, which is no alert" for name in sorted((set(firing) | quiet) - set(alerts))]
    return found
