"""The metrics that there are: the tables of docs/metrics.md, whose first column is a name in backticks."""

import re
from pathlib import Path

# Written by Prometheus itself, with labels of ours.
OUTSIDE = {"up": {}, "ALERTS": {"alertname": None, "alertstate": {"pending", "firing"}, "severity": None}}
# Given to every series by the scraper.
TARGET = {"job", "namespace", "component", "instance"}

Labels = dict[str, set[str] | None]


def documented(root: Path) -> dict[str, Labels]:
    """Each metric with its labels, and each label with its values where the page lists them."""
    page = root / "docs/metrics.md"
    if not page.exists():
        page = Path(__file__).with_name("metrics.md")
    codes = {line.split()[0] for line in (root / "tests/golden/failure_codes.txt").read_text().splitlines() if line}
    return of_page(page.read_text(), codes | {"none"})


def of_page(text: str, codes: set[str]) -> dict[str, Labels]:
    found, header = {}, []
    for line in map(str.strip, text.splitlines()):
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        name = re.match(r"`([a-z_:][\w:]*)[`{]", cells[0])
        if not name:
            header = [cell.lower() for cell in cells]
            continue
        row = dict(zip(header, cells, strict=True))
        labels = _labels(next((row[title] for title in row if title.startswith("label")), ""), codes)
        found[name[1]] = labels
        if "histogram" in (row.get("kind") or row.get("type", "")).lower():
            found |= {f"{name[1]}_bucket": labels | {"le": None}, f"{name[1]}_sum": labels, f"{name[1]}_count": labels}
    return found


def _labels(cell: str, codes: set[str]) -> Labels:
    labels: Labels = {}
    for part in re.split(r";|<br>", cell):
        label, told, values = part.partition(":")
        if not told:
            labels |= dict.fromkeys(re.findall(r"`(\w+)`", part))
            continue
        name = label.strip().strip("`")
        if name == "reason":
            labels[name] = codes
        elif re.search(r"[<…]|\.\.", values):
            labels[name] = None
        else:
            labels[name] = {value.strip().strip("`") for value in re.split(r",|\bor\b", values)}
    return labels
