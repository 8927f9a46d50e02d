"""Mistakes that check.py plants into sound manifests, each with a word of the complaint that has to follow."""

from rendering import Rendering

LEDGER = "postgres://model_factory_worker@ledger.postgres.svc/model_factory"
RUNNER = ("Deployment", "model-factory-runner")


def _pod(rendering: Rendering, kind="Deployment", name="model-factory-runner") -> dict:
    return rendering.one(kind, name)["spec"]["template"]["spec"]


def _secret(rendering: Rendering) -> dict:
    return next(one["secret"] for one in _pod(rendering)["volumes"] if "secret" in one)


def _worker(rendering: Rendering) -> dict:
    return _pod(rendering)["containers"][0]


def _rule(rendering: Rendering, index: int) -> dict:
    return rendering.one("KafkaUser", "model-factory")["spec"]["authorization"]["acls"][index]


def _trigger(rendering: Rendering, name: str) -> dict:
    return rendering.one("ScaledObject", name)["spec"]["triggers"][0]["metadata"]


def _without(rendering: Rendering, kind: str, name: str):
    rendering.documents.remove(rendering.one(kind, name))


def _setting(rendering: Rendering, name: str, value: str):
    rendering.of("ConfigMap")[0]["data"][f"MODEL_FACTORY_{name}"] = value


P, S, K = "production", "single-node", "kafka"
# (rendering, what it is, how it is planted, word of the complaint)
MISTAKES = [
    (P, "a field that does not exist", lambda r: _pod(r).update(terminationGrace=3), "terminationGrace"),
    (P, "a field one level too high", lambda r: r.one(*RUNNER)["spec"].update(containers=[]), "containers"),
    (P, "text where a number belongs", lambda r: _pod(r).update(terminationGracePeriodSeconds="90s"), "90s"),
    (P, "a Deployment without selector", lambda r: r.one(*RUNNER)["spec"].pop("selector"), "selector"),
    (P, "an API version that is gone", lambda r: r.one(*RUNNER).update(apiVersion="apps/v1beta2"), "there is no Deployment"),
    (P, "a ScaledObject's misspelt field", lambda r: r.of("ScaledObject")[0]["spec"].update(maxReplicas=3), "maxReplicas"),
    (P, "a number in a trigger's metadata", lambda r: _trigger(r, "model-factory-runner").update(port=5432), "5432"),
    (K, "a KafkaTopic's misspelt field", lambda r: r.of("KafkaTopic")[0]["spec"].update(partition=3), "partition"),
    (K, "a right that Kafka does not know", lambda r: _rule(r, 0)["operations"].append("Peek"), "Peek"),
    (S, "an access mode that is none", lambda r: r.of("PersistentVolumeClaim")[0]["spec"].update(accessModes="RWO"), "RWO"),
    (P, "an image without tag", lambda r: _worker(r).update(image="registry:5000/x/model-factory"), "has no tag"),
    (P, "the latest image", lambda r: _worker(r).update(image="model-factory:latest"), "has no tag"),
    (P, "an image of another release", lambda r: _worker(r).update(image="model-factory:0.0.1"), "not of this release"),
    (P, "root", lambda r: _pod(r)["securityContext"].update(runAsUser=0), "as root"),
    (P, "another user than the image's", lambda r: _pod(r)["securityContext"].update(runAsUser=1000), "another user"),
    (P, "a root that can be written to", lambda r: _worker(r)["securityContext"].pop("readOnlyRootFilesystem"), "written to"),
    (P, "capabilities", lambda r: _worker(r)["securityContext"].pop("capabilities"), "capabilities"),
    (P, "privileges to gain", lambda r: _worker(r)["securityContext"].pop("allowPrivilegeEscalation"), "gain privileges"),
    (P, "no seccomp", lambda r: _pod(r)["securityContext"].pop("seccompProfile"), "seccomp"),
    (P, "a token", lambda r: _pod(r).pop("automountServiceAccountToken"), "token"),
    (P, "the node's network", lambda r: _pod(r).update(hostNetwork=True), "hostNetwork"),
    (P, "no memory limit", lambda r: _worker(r)["resources"].pop("limits"), "limits memory"),
    (P, "a quantity that is none", lambda r: _worker(r)["resources"]["limits"].update(memory="8GB"), "8GB"),
    (P, "a mount without volume", lambda r: _pod(r)["volumes"].pop(), "no volume"),
    (P, "a file that is not mounted", lambda r: _setting(r, "KAFKA__SECURITY__CA_FILE", "/etc/ca.crt"), "nothing mounts"),
    (P, "a grace period below the drain", lambda r: _pod(r).update(terminationGracePeriodSeconds=600), "killed before"),
    (P, "a probe at the wrong path", lambda r: _worker(r)["livenessProbe"]["httpGet"].update(path="/health"), "/livez"),
    (P, "a worker on loopback", lambda r: _setting(r, "WORKER__HTTP", "127.0.0.1:8080"), "loopback"),
    (P, "metrics at no port", lambda r: _setting(r, "WORKER__METRICS", "with_http"), "port metrics"),
    (P, "a console for everybody", lambda r: _setting(r, "WORKER__CONSOLE", "with_http"), "console beyond loopback"),
    (P, "a policy for nobody", lambda r: r.one("NetworkPolicy", "store")["spec"]["podSelector"].update(matchLabels={"a": "b"}), "no pod"),
    (P, "open by default", lambda r: _without(r, "NetworkPolicy", "nothing"), "forbids"),
    (P, "no disruption budget", lambda r: _without(r, "PodDisruptionBudget", "model-factory-runner"), "budgets"),
    (P, "no account", lambda r: _without(r, "ServiceAccount", "model-factory"), "no account"),
    (P, "a Secret that nobody makes", lambda r: _secret(r).update(secretName="x"), "refers to x"),
    (P, "the same object twice", lambda r: r.documents.append(r.one(*RUNNER)), "twice"),
    (P, "a setting that is none", lambda r: _setting(r, "KAFKA__BROKER", "kafka:9092"), "no setting"),
    (P, "a password in a ConfigMap", lambda r: _setting(r, "LEDGER__URL", "postgres://a:b@ledger.postgres.svc/model_factory"), "holds a secret"),
    (P, "a broker in the clear", lambda r: _setting(r, "KAFKA__SECURITY__PROTOCOL", "plaintext"), "plaintext"),
    (P, "a database that is not verified", lambda r: _setting(r, "LEDGER__URL", f"{LEDGER}?sslmode=require"), "weaker"),
    (P, "replicas beside a scaler", lambda r: r.one(*RUNNER)["spec"].update(replicas=2), "says how many"),
    (P, "a scaler of nothing", lambda r: r.of("ScaledObject")[0]["spec"]["scaleTargetRef"].update(name="x"), "not there"),
    (P, "a scaler of another group", lambda r: _trigger(r, "model-factory-intake").update(consumerGroup="mf"), "consumerGroup"),
    (P, "a scaler without credentials", lambda r: _without(r, "TriggerAuthentication", "model-factory-kafka"), "no credentials"),
    (K, "a topic less", lambda r: _without(r, "KafkaTopic", "mf.dead-letters.v0"), "not made"),
    (K, "a compacted topic", lambda r: r.of("KafkaTopic")[0]["spec"]["config"].update({"cleanup.policy": "compact"}), "compacted"),
    (K, "one replica that has to be there", lambda r: r.of("KafkaTopic")[0]["spec"].update(replicas=2), "loses records"),
    (K, "every right", lambda r: _rule(r, 0).update(operations=["All"]), "more rights"),
    (K, "a right on the cluster", lambda r: _rule(r, 0).update(resource={"type": "cluster"}), "more rights"),
    (K, "another service's topic", lambda r: _rule(r, 0)["resource"].update(name="payments"), "no topic of ours"),
    (K, "another service's group", lambda r: _rule(r, 6)["resource"].update(name="payments"), "no group of ours"),
    (K, "a rule of the old API", lambda r: _rule(r, 0).update(operation="Read"), "without `operations`"),
]
