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


def cases(world: World) -> tuple[dict[str, list[dict]], set[str], list[str]]:
    """What each alert fires with (its labels), which are seen quiet, and what is no case."""
    firing, quiet, strange = {}, set(), []
    for file, tests in world.tests.items():
        for test in tests["tests"]:
            for case in test.get("alert_rule_test", []):
                if case.get("exp_alerts"):
                    strange.append(f"tests/{file}: {case['alertname']} fires in an alert_rule_test; use ALERTS")
                quiet.add(case["alertname"])
            for case in test.get("promql_expr_test", []):
                name = CASE.match(case["expr"])
                if not name or not case.get("exp_samples"):
                    strange.append(f"tests/{file}: {case['expr']} is no case of an alert that fires")
                    continue
                samples = [dict(re.findall(r'(\w+)="([^"]*)"', one["labels"])) for one in case["exp_samples"]]
                firing.setdefault(name[1], []).extend(samples)
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


def complaints(world: World) -> list[str]:
    known, told = world.known(), sections(world.runbook)
    firing, quiet, found = cases(world)
    found += series(world)
    alerts = {rule["alert"]: rule for rule in world.alerts()}
    if len(alerts) != len(world.alerts()):
        found.append("two alerts have the same name")
    for name, rule in alerts.items():
        found += expressions.complaints(name, rule["expr"], known)
        if rule.get("labels") not in ({"severity": "critical"}, {"severity": "warning"}):
            found.append(f"{name}: the one label of an alert is its severity, critical or warning")
        notes = rule.get("annotations", {})
        if sorted(notes) != ["description", "runbook", "summary"]:
            found.append(f"{name}: an alert has a summary, a description and a runbook")
        if notes.get("runbook") != f"deploy/README.md#{name.lower()}":
            found.append(f"{name}: its runbook is elsewhere")
        if not told.get(name):
            found.append(f"{name}: the runbook does not tell what it means")
        if name not in firing:
            found.append(f"{name}: no test sees it fire")
        if name not in quiet:
            found.append(f"{name}: no test sees it quiet")
        there = {label for labels in firing.get(name, []) for label in labels}
        for label in re.findall(r"\$labels\.(\w+)", " ".join(notes.values())):
            if name in firing and label not in there:
                found.append(f"{name}: its text tells {label}, and it has no such label")
    for rule in world.all_rules():
        if "record" in rule:
            found += expressions.complaints(rule["record"], rule["expr"], known)
    found += [f"the runbook tells of {name}, which is no alert" for name in told if name not in alerts]
    found += [f"a test names {name}, which is no alert" for name in sorted((set(firing) | quiet) - set(alerts))]
    return found
