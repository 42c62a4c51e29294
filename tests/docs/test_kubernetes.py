"""What docs/kubernetes.md says, with a pod's token and OpenBao's own proxy and agent."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from helpers.kubernetes import KubernetesApi
from helpers.logins import free_port
from secureml.vault.devserver.child import Child

if TYPE_CHECKING:
    from conftest import Block, Reader

PAGE = Path(__file__).parents[2] / "docs" / "kubernetes.md"


class Pod:
    """Runs what the page has for a pod, with its folders in one and its addresses on loopback."""

    def __init__(self, reader: Reader, blocks: list[Block], jwt: str) -> None:
        self._reader = reader
        self._blocks = blocks
        self._port = str(free_port())
        for name in ("vault", "vault-login", "state"):
            (reader.folder / name).mkdir()
        (reader.folder / "vault" / "token").write_text(jwt)
        settings = reader.folder / "settings.toml"
        settings.write_text(self.here(settings.read_text()))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a container that has none of its own."""
        kept = {"PATH", "PYTHONPATH", "HOME"}
        namespace = self._reader.vault.namespace or ""
        names = dict.fromkeys(("SECUREML_VAULT_NAMESPACE", "BAO_NAMESPACE"), namespace)
        return names | {name: self._reader.environment[name] for name in kept}

    def here(self, text: str) -> str:
        """A text of the page with addresses and folders that this machine has."""
        text = text.replace("https://vault.example.com:8200", self._reader.vault.url)
        folder = self._reader.folder
        text = re.sub(r"/(?:run/(vault|vault-login)|(state))/", rf"{folder}/\1\2/", text)
        text = text.replace("/etc/vault/", f"{folder}/")
        inside = f'namespace = "{self._reader.vault.namespace or ""}"'
        text = text.replace('method "kubernetes" {', f'method "kubernetes" {{\n{inside}')
        return text.replace("127.0.0.1:8100", f"127.0.0.1:{self._port}")

    def containers(self, name: str) -> Iterator[dict[str, Any]]:
        """The containers of the page that are called this."""
        for text in (self.here(block.text) for block in self._blocks if block.kind == "yaml"):
            for document in yaml.safe_load_all(text):
                spec = document.get("spec", {}).get("template", {}).get("spec", document)
                found = [*spec.get("initContainers", ()), *spec.get("containers", ())]
                yield from (each for each in found if each["name"] == name)

    @contextmanager
    def sidecar(self, name: str, file: str) -> Iterator[None]:
        """Start a sidecar with its file of the page, and wait until its probe succeeds."""
        [container] = self.containers(name)
        [config] = [block.text for block in self._blocks if block.file == file]
        (self._reader.folder / file).write_text(self.here(config))
        program, *arguments = container["command"]
        found = shutil.which(program, path=self.environment["PATH"])
        assert found is not None
        log = self._reader.folder / "log"
        child = Child([found, *arguments], directory=self._reader.folder, log=log)
        try:
            probe = container["startupProbe"]["exec"]["command"]
            end = time.monotonic() + 30
            while self._run(probe, self.environment).returncode:
                assert child.running, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            child.kill()

    def read_key(self, container: dict[str, Any]) -> None:
        """Read the key as a program in the container does; in production Vault alone has it."""
        environment = self.environment | {each["name"]: each["value"] for each in container["env"]}
        done = self._run(["secureml", "keys", "get-key", "--info"], environment)
        assert done.returncode == 0, done.stderr

    def _run(
        self, command: list[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )


def test_pods_log_in_by_themselves_and_by_the_sidecars_of_the_page(
    reader: Reader, blocks: Callable[[str], list[Block]], sign_jwt: Callable[..., str]
) -> None:
    api = KubernetesApi(sign_jwt, "crm", "reports")
    try:
        (reader.folder / "cluster-ca.pem").write_text(api.config["kubernetes_ca_cert"])
        (reader.folder / "reviewer-token").write_text(api.config["token_reviewer_jwt"])
        page = reader.folder / PAGE.name
        host = api.config["kubernetes_host"]
        page.write_text(PAGE.read_text().replace("https://kubernetes.example.com:6443", host))
        reader.follow(page)
        pod = Pod(reader, blocks("docs/kubernetes.md"), api.jwt(aud=["vault"]))
        by_itself, by_proxy, by_agent = pod.containers("reports")
        pod.read_key(by_itself)
        with pod.sidecar("vault-proxy", "proxy.hcl"):
            pod.read_key(by_proxy)
        with pod.sidecar("vault-agent", "agent.hcl"):
            pod.read_key(by_agent)
    finally:
        api.stop()


def test_the_objects_of_the_page_are_what_kubernetes_takes(
    blocks: Callable[[str], list[Block]],
) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="no schemas of Kubernetes here")
    texts = [block.text for block in blocks("docs/kubernetes.md") if block.kind == "yaml"]
    objects = [each for text in texts for each in yaml.safe_load_all(text) if "kind" in each]
    assert len(objects) == 3
    for each in objects:
        validate.validate(each, validate.latest_version(), strict=True)
