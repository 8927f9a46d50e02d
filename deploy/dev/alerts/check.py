"""check.py WRITTEN: what is wrong with alerts, their tests, their chapter of the runbook and the dashboard; first it
plants mistakes and sees that each is found. What only promtool can judge is written to the file WRITTEN: the
dashboard's queries, as rules. Exit status 1 where something is wrong."""

import copy
import sys
from pathlib import Path

import alerting
import coverage
import dashboard
import mistakes
import thresholds
import yaml
from world import World

ROOT = Path(__file__).resolve().parents[3]


def complaints(world: World) -> list[str]:
    return [text for subject in (alerting, dashboard, coverage) for text in subject.complaints(world)]


def missed(world: World) -> list[str]:
    """The planted mistakes that nothing was said about."""
    silent = []
    for what, plant, expected in mistakes.MISTAKES:
        wrong = copy.deepcopy(world)
        plant(wrong)
        said = complaints(wrong)
        if not any(expected in text for text in said):
            silent.append(f"a planted mistake was not found: {what}; instead: {said or 'nothing'}")
    return silent


def main() -> int:
    world = World.read(ROOT)
    queries = dashboard.queries(world.dashboard)
    rules = [{"record": f"dashboard:query:{number}", "expr": query} for number, (_, query) in enumerate(queries)]
    Path(sys.argv[1]).write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    wrong, tried = complaints(world), 0
    # A mistake can only be told from what was wrong before where nothing was.
    if not wrong:
        wrong = missed(world)
        tried, silent = thresholds.unnoticed(world, mistakes.of_rules(copy.deepcopy(world)))
        wrong += silent
    for text in wrong:
        print(f"alerts: {text}", file=sys.stderr)
    if wrong:
        return 1
    print(
        f"alerts: {len(world.alerts())} alerts and {len(queries)} queries of the dashboard are right; "
        f"{len(mistakes.MISTAKES)} planted mistakes and {tried} spoilt rules were found"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
