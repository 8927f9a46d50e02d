"""All that is judged, read once: alert rules, their tests, the runbook, the dashboard, the metrics that there are."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from documented import OUTSIDE, Labels, documented


@dataclass
class World:
    """Files by their names; a mistake can be planted into a copy."""

    rules: dict[str, dict]
    tests: dict[str, dict]
    runbook: str
    dashboard: dict
    metrics: dict[str, Labels]

    @classmethod
    def read(cls, root: Path) -> "World":
        def folder(name: str) -> dict[str, dict]:
            return {file.stem: yaml.safe_load(file.read_text()) for file in sorted((root / name).glob("*.yaml"))}

        return cls(
            rules=folder("deploy/prometheus/rules"),
            tests=folder("deploy/prometheus/tests"),
            runbook=(root / "deploy/README.md").read_text(),
            dashboard=json.loads((root / "deploy/grafana/model-factory.json").read_text()),
            metrics=documented(root),
        )

    def all_rules(self):
        return [rule for file in self.rules.values() for group in file["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict]:
        return [rule for rule in self.all_rules() if "alert" in rule]

    def alert(self, name: str) -> dict:
        return next(rule for rule in self.alerts() if rule["alert"] == name)

    def known(self) -> dict[str, Labels]:
        """With what rules record, which has the labels that it is grouped by: the first grouping is the outermost."""
        recorded = {
            rule["record"]: re.search(r"by \(([^)]*)\)", rule["expr"])[1].split(", ")
            for rule in self.all_rules()
            if "record" in rule
        }
        return self.metrics | OUTSIDE | {name: dict.fromkeys(labels) for name, labels in recorded.items()}
