"""Mistakes that are planted into what is sound: into rules, which a test has to notice, and into everything, which the
rules of check.py have to complain about."""

from world import World


def _instead(world: World, name: str, old: str, new: str, what: str) -> tuple[str, dict, str]:
    rule = next(rule for rule in world.all_rules() if name in (rule.get("alert"), rule.get("record")))
    changed = rule["expr"].replace(old, new)
    if changed == rule["expr"]:
        raise ValueError(f"nothing to change in {name}: {old}")
    return name, {"expr": changed}, what


def of_rules(world: World) -> list[tuple[str, dict, str]]:
    """Rule, what is changed of it, what the mistake is."""
    fresh = " and on (namespace, instance) time() - model_factory_ledger_surveyed_timestamp_seconds < 180"
    texts = [
        ("ModelFactoryNoWorker", 'or absent(up{job="model-factory"})', "", "that overlooks workers which nobody lists"),
        ("ModelFactoryNoWorker", "sum by (namespace, component)", "sum by (namespace)", "of all components together"),
        ("ModelFactoryNeedMissing", "max by", "min by", "of one worker instead of all"),
        (
            "ModelFactoryWorkerNotReady",
            "unless on (namespace, instance) model_factory_draining == 1",
            "",
            "of workers that drain",
        ),
        ("ModelFactoryMixedVersions", "version, commit", "version, commit, target", "of two kinds of machine"),
        ("ModelFactoryMixedVersions", "version, commit", "version", "blind to commits"),
        ("ModelFactoryRebalanceStorm", "max by", "sum by", "that counts a rebalance once a member"),
        ("ModelFactoryRebalanceStorm", '{change="assigned"}', "", "that counts other changes than a new share"),
        (
            "ModelFactoryKafkaDenied",
            "increase(model_factory_kafka_denials_total[10m])",
            "model_factory_kafka_denials_total",
            "that never forgets",
        ),
        ("model_factory:queue_depth:max", fresh, "", "of workers that have lost the ledger"),
        ("model_factory:queue_oldest_age_seconds:max", fresh, "", "of workers that have lost the ledger"),
        ("model_factory:queue_oldest_age_seconds:max", "max by", "sum by", "that counts a run once a worker"),
        ("model_factory:outbox_oldest_age_seconds:max", fresh, "", "of workers that have lost the ledger"),
        ("model_factory:outbox_oldest_age_seconds:max", "max by", "sum by", "that counts a record once a worker"),
        ("model_factory:outbox_oldest_age_seconds:max", "namespace, kind", "namespace", "that does not tell the kind"),
        ("ModelFactoryOutboxSetAside", fresh, "", "of workers that have lost the ledger"),
        ("ModelFactoryLedgerUnseen", "max by", "min by", "of one worker instead of all"),
        (
            "ModelFactoryIdleBesideQueue",
            "unless on (namespace, instance) model_factory_draining == 1",
            "",
            "with slots of workers that drain",
        ),
        (
            "ModelFactoryNobodyTrains",
            "sum by (namespace) (model_factory_slots)",
            "sum by (namespace) (model_factory_slots - model_factory_slots_busy)",
            "while all are busy",
        ),
        (
            "ModelFactoryRequestsUnread",
            "max by (namespace, topic, partition) (model_factory_consumer_lag)",
            "model_factory_consumer_lag",
            "that counts a partition twice",
        ),
        ("ModelFactoryRequestsRefused", '{outcome="rejected"}', '{outcome="conflict"}', "of another outcome"),
        ("ModelFactoryDeadLetterBurst", "namespace, reason", "namespace", "of all faults together"),
        ("ModelFactoryDeadLetterBurst", '{reason!="QUOTA_EXCEEDED"}', "", "of quotas"),
        (
            "model_factory:runs_ended:increase1h",
            "last_over_time(model_factory_runs_ended_total[1h] offset 1h)",
            "model_factory_runs_ended_total offset 1h",
            "that takes old series for new",
        ),
        (
            "model_factory:runs_ended:increase1h",
            "(model_factory_runs_ended_total unless last_over_time(model_factory_runs_ended_total[1h] offset 1h)) or",
            "",
            "blind to what was counted before the first scrape",
        ),
        ("ModelFactoryEvidenceViolated", "|NONDETERMINISM_DETECTED", "", "blind to another model of the same plan"),
        (
            "ModelFactoryEvidenceViolated",
            'reason=~".+_IMMUTABILITY_VIOLATION|NONDETERMINISM_DETECTED"',
            'state="FAIL"',
            "of every failure",
        ),
        ("ModelFactoryRunsFail", "GATE_FAIL|CANCELLED", "CANCELLED", "of what gates refuse"),
        ("ModelFactoryRunsFail", "GATE_FAIL|CANCELLED", "GATE_FAIL", "of what was cancelled"),
        ("ModelFactoryRunsFail", '{state=~"PASS|FAIL"}', "", "that counts published runs twice"),
        ("ModelFactoryTrainerOutOfMemory", '{reason="TRAINER_OUT_OF_MEMORY"}', "", "of whatever is tried again"),
        ("ModelFactoryRunsAbandoned", '{reason="LEASE_EXPIRED"}', "", "of what draining workers give back"),
        (
            "ModelFactoryLeasesLost",
            "increase(model_factory_leases_lost_total[1h])",
            "model_factory_leases_lost_total",
            "that never forgets",
        ),
        ("ModelFactoryStaleWrites", "namespace, kind", "namespace", "of all kinds together"),
        (
            "ModelFactoryPublishRetries",
            "increase(model_factory_publish_retries_total[15m])",
            "model_factory_publish_retries_total",
            "that never forgets",
        ),
        ("ModelFactoryRegistryNotUnderstood", '{outcome=~"malformed|refused"}', "", "of whatever the registry says"),
    ]
    # Parsed, an expression of several lines has them still.
    for rule in world.all_rules():
        rule["expr"] = " ".join(rule["expr"].split())
    return [_instead(world, *text) for text in texts]


def _expression(name: str, old: str, new: str):
    def plant(world: World):
        rule = world.alert(name)
        rule["expr"] = rule["expr"].replace(old, new)

    return plant


def _without_cases(key: str, name: str):
    def plant(world: World):
        for file in world.tests.values():
            for test in file["tests"]:
                test[key] = [case for case in test.get(key, []) if name not in str(case)]

    return plant


def _series(old: str, new: str):
    def plant(world: World):
        for file in world.tests.values():
            for test in file["tests"]:
                for one in test["input_series"]:
                    one["series"] = one["series"].replace(old, new)

    return plant


def _runbook(old: str, new: str):
    def plant(world: World):
        world.runbook = world.runbook.replace(old, new)

    return plant


def _panel(world: World) -> dict:
    return next(panel for panel in world.dashboard["panels"] if panel["title"] == "Queue")


def _query(old: str, new: str):
    def plant(world: World):
        target = _panel(world)["targets"][0]
        target["expr"] = target["expr"].replace(old, new)

    return plant


DRAIN, LEASES = "ModelFactoryDrainStuck", "ModelFactoryLeasesLost"
# (what it is, how it is planted, words of the complaint)
MISTAKES = [
    ("a misspelt metric", _expression(LEASES, "leases_lost", "lease_lost"), "no metric model_factory_lease_lost_total"),
    ("a misspelt label", _expression("ModelFactoryRebalanceStorm", "change=", "changed="), "no label changed"),
    (
        "a value that never comes",
        _expression("ModelFactoryRequestsRefused", '"rejected"', '"refused"'),
        "is never refused",
    ),
    (
        "a failure code that is none",
        _expression("ModelFactoryDeadLetterBurst", "QUOTA_", "QUOTAS_"),
        "is never QUOTAS_EXCEEDED",
    ),
    ("a recording that is none", _expression("ModelFactoryRunsFail", "increase1h", "increase2h"), "increase2h"),
    (
        "a value of a pattern that never comes",
        _expression("ModelFactoryRegistryNotUnderstood", "malformed|", "misformed|"),
        "is never misformed",
    ),
    ("a label that nobody has", _expression(LEASES, "by (namespace)", "by (name_space)"), "has the label name_space"),
    ("a severity that nobody routes", lambda w: w.alert(DRAIN)["labels"].update(severity="high"), "severity"),
    ("no description", lambda w: w.alert(DRAIN)["annotations"].pop("description"), "a description"),
    (
        "a runbook that is elsewhere",
        lambda w: w.alert(DRAIN)["annotations"].update(runbook="deploy/README.md#watch"),
        "elsewhere",
    ),
    (
        "a text with a label that is not there",
        lambda w: w.alert(LEASES)["annotations"].update(summary="{{ $labels.worker }}"),
        "tells worker",
    ),
    ("an alert that the runbook lacks", _runbook(f"### {DRAIN}\n", ""), "does not tell what it means"),
    ("a section without alert", _runbook(f"### {DRAIN}\n", f"### {DRAIN}ed\n"), "which is no alert"),
    (
        "a link to a section that is gone",
        _runbook("](#modelfactorynobodytrains)", "](#modelfactorynobody)"),
        "no heading",
    ),
    ("a test with a value that never comes", _series('kind="mark_sent"', 'kind="marked"'), "is never marked"),
    ("a test with a label less", _series(', kind="mark_sent"', ""), "without kind"),
    ("an alert that nothing makes fire", _without_cases("promql_expr_test", DRAIN), "sees it fire"),
    ("an alert that is never seen quiet", _without_cases("alert_rule_test", DRAIN), "sees it quiet"),
    ("a panel's misspelt metric", _query("queue_depth", "queue_length"), "no metric model_factory_queue_length"),
    ("a panel's misspelt label", _query("(namespace)", "(name)"), "has the label name"),
    ("a variable that is none", _query("$namespace", "$cluster"), "nothing is put in"),
    ("a panel without a description", lambda w: _panel(w).pop("description"), "without title or description"),
    ("a panel without a unit", lambda w: _panel(w)["fieldConfig"]["defaults"].pop("unit"), "without a unit"),
    (
        "somebody's own datasource",
        lambda w: _panel(w).update(datasource={"type": "prometheus", "uid": "P1809F7CD0C75ACF3"}),
        "somebody's own",
    ),
    ("two panels in one place", lambda w: _panel(w)["gridPos"].update(x=4), "lies over"),
    ("a metric that nobody looks at", lambda w: w.metrics.update(model_factory_new_total={}), "no panel and no alert"),
]
