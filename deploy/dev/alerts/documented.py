"""The metrics that there are, by docs/metrics.md: a table of all, and of each a section with its labels' values."""

import re
from pathlib import Path

# Written by Prometheus itself, with labels of ours.
OUTSIDE = {"up": {}, "ALERTS": {"alertname": None, "alertstate": {"pending", "firing"}, "severity": None}}
# Given to every series by the scraper.
TARGET = {"job", "namespace", "component", "instance"}

ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \|.*\|([^|]*)\|$", re.M)
SECTION = re.compile(r"^### (\w+)\n((?:(?!#).*\n?)*)", re.M)
VALUES = re.compile(r"^  - `(\w+)`: (.+)$", re.M)

# Values where the page lists them all; none where it says what bounds them.
Labels = dict[str, set[str] | None]


def documented(root: Path) -> dict[str, Labels]:
    """Each metric, and each series of a histogram, with its labels."""
    page = root / "docs/metrics.md"
    codes = {line.split()[0] for line in (root / "tests/golden/failure_codes.txt").read_text().splitlines() if line}
    return of_page(page.read_text(), codes)


def of_page(text: str, codes: set[str]) -> dict[str, Labels]:
    values = {
        name: {label: _values(told, codes) for label, told in VALUES.findall(body)}
        for name, body in SECTION.findall(text)
    }
    found = {}
    for name, kind, cell in ROW.findall(text):
        labels = dict.fromkeys(re.findall(r"`(\w+)`", cell)) | values.get(name, {})
        found[name] = labels
        if kind == "histogram":
            found |= {f"{name}_bucket": labels | {"le": None}, f"{name}_sum": labels, f"{name}_count": labels}
    if not found:
        raise ValueError("docs/metrics.md has no table of metrics")
    return found


def _values(told: str, codes: set[str]) -> set[str] | None:
    """`a` (what it means), `b` (…) is all; prose beside that bounds what may come."""
    told = re.sub(r" \([^()]*\)", "", told.replace("[failure codes](failure-codes.md)", "failure codes"))
    listed = set(re.findall(r"`([^`]+)`", told))
    prose = re.sub(r"`[^`]+`|,|\bor\b|\s", "", told)
    if prose == "failurecodes":
        return listed | codes
    return listed if not prose else None
