"""Every `for` and every threshold of every rule, moved: a test has to turn red.

Each moved rule is tried on the tests that speak of it, by promtool.
"""

import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from world import World

COMPARISON = re.compile(r"(==|>=|<=|>|<) (-?\d+(?:\.\d+)?)")


def moved(rule: dict):
    """What was done to the rule, and the rule."""
    if "for" in rule:
        yield "without its `for`", {**rule, "for": "0s"}
        yield "with three times its `for`", {**rule, "for": _times(rule["for"], 3)}
    for match in COMPARISON.finditer(rule["expr"]):
        sign, number = match[1], float(match[2])
        if sign == "==":
            others = [1 - number]
        elif number == int(number):
            others = [max(1.5 * number, number + 2), min(number / 2, number - 1)]
        else:
            others = [1.5 * number, number / 2]
        for other in others:
            text = f"{sign} {other:g}"
            expression = rule["expr"][: match.start()] + text + rule["expr"][match.end() :]
            yield f"with `{text}` for `{match[0]}`", {**rule, "expr": expression}


def _times(duration: str, factor: int) -> str:
    return f"{int(duration[:-1]) * factor}{duration[-1]}"


def unnoticed(world: World, planted: list[tuple[str, dict, str]]) -> tuple[int, list[str]]:
    """How many mistakes were tried, those planted in the texts of rules among them, and which no test noticed."""
    tried = [(file, rule, what, change) for file, rule in _each(world) for what, change in moved(rule)]
    for name, change, what in planted:
        file, rule = next((file, rule) for file, rule in _each(world) if name == _name(rule))
        tried.append((file, rule, what, {**rule, **change}))
    spoilt = len(tried)
    tried += [(file, rule, "as it is", rule) for file, rule in _each(world)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        written = []
        for number, (file, rule, what, change) in enumerate(tried):
            place = Path(folder) / str(number)
            _write(place, world, file, rule, change)
            written.append(str(place / "tests.yaml"))
        # Many in one run: to start promtool takes longer than to test a rule.
        workers = os.cpu_count() or 1
        answers = pool.map(_red, [written[first::workers] for first in range(workers)])
        red = {test for answer in answers for test in answer}
    wrong = []
    for number, (test, (_, rule, what, _)) in enumerate(zip(written, tried)):
        if (test in red) != (number < spoilt):
            wrong.append(f"{'no test notices' if number < spoilt else 'red without a mistake:'} {_name(rule)} {what}")
    return spoilt, wrong


def _each(world: World):
    for file, content in world.rules.items():
        for group in content["groups"]:
            yield from ((file, rule) for rule in group["rules"])


def _name(rule: dict) -> str:
    return rule.get("alert") or rule["record"]


def _write(folder: Path, world: World, file: str, rule: dict, change: dict):
    """This change, what the rule needs and what needs it, and the cases of these alerts. JSON is YAML."""
    of_it = {one["alert"] for one in world.alerts() if _name(rule) == one["alert"] or _name(rule) in one["expr"]}
    rules = [one for group in world.rules[file]["groups"] for one in group["rules"]]
    rules = [change if one is rule else one for one in rules if "record" in one or one["alert"] in of_it]
    tests = []
    for test in world.tests[file]["tests"]:
        quiet = [case for case in test.get("alert_rule_test", []) if case["alertname"] in of_it]
        firing = [
            case for case in test.get("promql_expr_test", []) if any(f'"{alert}"' in case["expr"] for alert in of_it)
        ]
        if quiet or firing:
            tests.append({**test, "alert_rule_test": quiet, "promql_expr_test": firing})
    folder.mkdir()
    (folder / "rules.yaml").write_text(json.dumps({"groups": [{"name": file, "rules": rules}]}))
    (folder / "tests.yaml").write_text(json.dumps({**world.tests[file], "rule_files": ["rules.yaml"], "tests": tests}))


def _red(tests: list[str]) -> list[str]:
    said = subprocess.run(
        ["promtool", "test", "rules", *tests], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    answers = [answer.split("\n", 1) for answer in said.stdout.split("Unit Testing:")[1:]]
    # A rule that no longer parses would be red for another reason, and gets nothing.
    return [test.strip() for test, answer in answers if "FAILED" in answer and "got:" in answer]
