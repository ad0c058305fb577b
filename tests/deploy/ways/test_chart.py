"""The chart, linted, rendered and checked against Kubernetes' schemas; and its topics, users and settings against ours.

Helm is not in Debian: `make test-ways` builds it with Go where that is there; without it these tests are left out.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.acls import parts
from connectors.topics import declared_topics
from streams.settings import Settings, load_settings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy/helm/cel2crm"
HELM = shutil.which("helm", path=f"{ROOT / '.build/ways/bin'}{os.pathsep}{os.environ['PATH']}")
KUBERNETES = "1.37"
Tree = dict[str, Any]

pytestmark = pytest.mark.skipif(HELM is None, reason="helm is not here (make test-ways builds it with Go)")

STRIMZI: Tree = {"serve": ["kommo", "webhook"]}
EVERYTHING: Tree = {
    "serve": ["bitrix24", "kommo", "webhook"],
    "secrets": [{"name": "database", "secret": "cel2crm-database"}],
    "keda": {"enabled": True, "triggerAuthentication": "kafka"},
    "networkPolicy": {"enabled": True, "scrapers": {"team": "monitoring"}},
    "sinks": ["postgresql-calls"],
    "strimzi": {
        "connector": {"enabled": True, "config": {"connector.class": "io.debezium.X", "tasks.max": "1", "a": "b"}}
    },
}
MANAGED: Tree = {
    "serve": ["kommo"],
    "strimzi": {"enabled": False},
    "login": {"users": {"aggregate": {"username": "a", "secret": "kafka-a"}}, "ca": {"secret": ""}},
    "settings": {"kafka": {"bootstrap_servers": "b-1.example.org:9096"}},
}
WAYS = {"strimzi": STRIMZI, "everything": EVERYTHING, "managed": MANAGED}


def helm(*words: str, values: Mapping[str, Any], tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    return subprocess.run(
        [str(HELM), *words, "--values", str(file)], capture_output=True, text=True, check=False, cwd=tmp_path
    )


def rendered(values: Mapping[str, Any], tmp_path: Path) -> list[Tree]:
    done = helm("template", "calls", str(CHART), "--kube-version", "1.31.0", values=values, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def of_kind(kind: str, documents: list[Tree]) -> list[Tree]:
    return [found for found in documents if found["kind"] == kind]


def settings_of(documents: list[Tree], tmp_path: Path) -> Settings:
    (config,) = of_kind("ConfigMap", documents)
    file = tmp_path / "cel2crm.yaml"
    file.write_text(config["data"]["cel2crm.yaml"], encoding="utf-8")
    os.environ |= {"CEL2CRM_KAFKA__SASL_USERNAME": "as-the-pod-has-it"}
    try:
        return load_settings(file)
    finally:
        del os.environ["CEL2CRM_KAFKA__SASL_USERNAME"]


@pytest.mark.parametrize("way", WAYS)
def test_the_chart_is_sound(way: str, tmp_path: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--kube-version", "1.31.0", values=WAYS[way], tmp_path=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_what_it_makes_fits_kubernetes_schemas(way: str, tmp_path: Path) -> None:
    core = [
        each
        for each in rendered(WAYS[way], tmp_path)
        if each["apiVersion"].count(".") < 2 or "k8s.io" in each["apiVersion"]
    ]
    file = tmp_path / "core.yaml"
    file.write_text("---\n".join(yaml.safe_dump(each) for each in core), encoding="utf-8")
    program = Path(sys.executable).with_name("kubernetes-validate")
    command = [str(program) if program.exists() else "kubernetes-validate", "--strict", "-k", KUBERNETES, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each["kind"] for each in core} >= {"StatefulSet", "Deployment", "ConfigMap", "PodDisruptionBudget"}


@pytest.fixture(scope="module")
def strimzi_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the jars with the classes by which Strimzi's operator reads its resources."""
    if not shutil.which("mvn") or not shutil.which("java"):
        pytest.skip("wants Maven and Java 17")
    folder = tmp_path_factory.mktemp("strimzi")
    pom = Path(__file__).with_name("strimzi") / "pom.xml"
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    subprocess.run([*command, "-DincludeScope=runtime"], check=True, capture_output=True)
    return folder


def unknown_to_strimzi(classes: Path, documents: list[Tree], tmp_path: Path) -> list[str]:
    file = tmp_path / "strimzi.yaml"
    file.write_text("---\n".join(yaml.safe_dump(each) for each in documents), encoding="utf-8")
    program = Path(__file__).with_name("strimzi") / "Resources.java"
    command = ["java", "-cp", f"{classes}/*", str(program), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_strimzi_knows_every_field(strimzi_classes: Path, tmp_path: Path) -> None:
    documents = [each for each in rendered(EVERYTHING, tmp_path) if "strimzi" in each["apiVersion"]]
    assert {each["kind"] for each in documents} == {"KafkaTopic", "KafkaUser", "KafkaConnect", "KafkaConnector"}
    told = unknown_to_strimzi(strimzi_classes, documents, tmp_path)
    assert told == [f"{len(documents)} resources, 0 unknown fields"]
    documents[0]["spec"]["partition"] = 3
    assert unknown_to_strimzi(strimzi_classes, documents[:1], tmp_path)[-1] == "1 resources, 1 unknown fields"


def test_the_topics_are_those_that_topics_apply_makes(tmp_path: Path) -> None:
    documents = rendered(STRIMZI, tmp_path)
    made = {
        each["spec"]["topicName"]: (each["spec"]["partitions"], each["spec"]["replicas"], each["spec"]["config"])
        for each in of_kind("KafkaTopic", documents)
    }
    declared = declared_topics(settings_of(documents, tmp_path))
    assert made == {topic.name: (topic.partitions, topic.replication, dict(topic.config)) for topic in declared}
    names = [each["metadata"]["name"] for each in of_kind("KafkaTopic", documents)]
    assert len(set(names)) == len(names)


def test_the_users_have_the_rights_that_topics_acls_prints(tmp_path: Path) -> None:
    documents = rendered(STRIMZI, tmp_path)
    settings = settings_of(documents, tmp_path)
    made = {
        user["metadata"]["name"]: {
            (acl["resource"]["type"], acl["resource"]["name"], acl["resource"]["patternType"], *acl["operations"])
            for acl in user["spec"]["authorization"]["acls"]
        }
        for user in of_kind("KafkaUser", documents)
    }
    kinds = {"transactional-id": "transactionalId"}
    wanted = {
        f"{settings.kafka.topic_prefix}-{part}": {
            (kinds.get(acl.resource, acl.resource), acl.name, "prefix" if acl.prefixed else "literal", *acl.operations)
            for acl in acls
        }
        for part, acls in parts(settings).items()
    }
    assert made == wanted


@pytest.mark.parametrize("way", WAYS)
def test_the_settings_are_settings_and_no_secret_is_in_them(way: str, tmp_path: Path) -> None:
    documents = rendered(WAYS[way], tmp_path)
    settings = settings_of(documents, tmp_path)
    assert (settings.worker.web_host, settings.worker.metrics_port) == ("0.0.0.0", 9108)
    assert of_kind("Secret", documents) == []


@pytest.mark.parametrize("way", WAYS)
def test_every_pod_is_locked_down_and_a_worker_is_a_static_member_with_probes(way: str, tmp_path: Path) -> None:
    documents = rendered(WAYS[way], tmp_path)
    workers = of_kind("StatefulSet", documents)
    assert [each["metadata"]["name"] for each in workers] == [f"calls-{p}" for p in ("aggregate", *WAYS[way]["serve"])]
    for each in workers + of_kind("Deployment", documents) + of_kind("Job", documents):
        pod = each["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
        }  # fmt: skip
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    for each in workers:
        (container,) = each["spec"]["template"]["spec"]["containers"]
        instance = next(env for env in container["env"] if env["name"] == "CEL2CRM_WORKER__GROUP_INSTANCE_ID")
        assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert container["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_without_strimzi_jobs_make_topics_and_connector(tmp_path: Path) -> None:
    documents = rendered(MANAGED, tmp_path)
    jobs = {each["metadata"]["name"]: each for each in of_kind("Job", documents)}
    assert {name: each["metadata"]["annotations"]["helm.sh/hook"] for name, each in jobs.items()} == {
        "calls-topics": "pre-install,pre-upgrade",
        "calls-connectors": "post-install,post-upgrade",
    }
    assert not [each["kind"] for each in documents if "strimzi" in each["apiVersion"]]
    (aggregate,) = [each for each in of_kind("StatefulSet", documents) if each["metadata"]["name"] == "calls-aggregate"]
    volumes = {volume["name"]: volume for volume in aggregate["spec"]["template"]["spec"]["volumes"]}
    assert volumes["kafka"]["secret"]["secretName"] == "kafka-a"
    assert "ca" not in volumes


def test_keda_scales_the_aggregate_worker_alone(tmp_path: Path) -> None:
    documents = rendered(EVERYTHING, tmp_path)
    (scaled,) = of_kind("ScaledObject", documents)
    assert scaled["spec"]["scaleTargetRef"] == {"kind": "StatefulSet", "name": "calls-aggregate"}
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (2, 6)
    (aggregate,) = [each for each in of_kind("StatefulSet", documents) if each["metadata"]["name"] == "calls-aggregate"]
    assert "replicas" not in aggregate["spec"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": {"kafka": {"sasl_password": "x"}}}, "sasl_password"),
        ({"settings": {"database": {"password": "x"}}}, "password"),
        ({"aggregate": {"replicas": 0}}, "replicas"),
        ({"agregate": {"replicas": 1}}, "agregate"),
        ({"strimzi": {"authentication": "plain"}}, "authentication"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: Tree, said: str, tmp_path: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--kube-version", "1.31.0", values=values, tmp_path=tmp_path)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
