"""``secureml vault status``: how Vault is, and what the token may do."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

from secureml.cli.base import command, exit_code_of, fail
from secureml.cli.diagnosis import KeyAccess, Status, inspect
from secureml.cli.options import json_option
from secureml.cli.output import show, show_json
from secureml.settings import Layers, Settings, load_settings
from secureml.vault.diagnosis import Mount, Node, TokenStatus

__all__ = ["status"]


@command()
@json_option
def status(environment: str | None, as_json: bool) -> None:
    """Show how Vault is, and what the token may do.

    Prints each address with its state and version, the leader, the login with its TTL and
    policies, the mount, and what may be done with each key: read, history, write, destroy, unwrap,
    rewrap. Then what an operator should look at, such as versions of keys that this machine saw
    and Vault lacks, or has with another date. Changes nothing.

    Ends with 5 if Vault is unavailable or sealed at every address, with 4 if it does not accept the
    credentials or the key of the settings may not be read, and with 3 if that key is absent or
    deleted.

    Examples:
      secureml vault status
      secureml vault status --env production --json
    """
    settings = load_settings(Layers(environment=environment))
    found = inspect(settings)
    _print_json(settings, found) if as_json else _print(settings, found)
    if found.error is not None:
        fail(str(found.error), exit_code_of(found.error))


def _leader(found: Status) -> str | None:
    return next((node.leader for node in found.nodes if node.leader), None)


def _print(settings: Settings, found: Status) -> None:
    for node in found.nodes:
        version = f", version {node.version}" if node.version else ""
        reason = f": {node.error}" if node.state == "unavailable" else ""
        show(f"address:    {node.address}  {node.state}{version}{reason}")
    show(f"leader:     {_leader(found) or 'not known'}")
    if settings.vault_namespace:
        show(f"namespace:  {settings.vault_namespace}")
    if found.login is None:
        return
    show(f"login:      {found.login.method}, {_validity(found.login)}")
    if found.login.policies is not None:
        show(f"policies:   {', '.join(found.login.policies) or 'none'}")
    if found.mount is not None:
        show(f"mount:      {_mount(found.mount)}")
    for key in found.keys:
        allowed = "not known" if key.permissions is None else ", ".join(key.permissions) or "none"
        state = "" if key.state in (None, "present") else f"{key.state}; allowed: "
        show(f"key:        {key.path}  {state}{allowed}")
    for finding in found.findings:
        show(f"attention:  {finding.text}")


def _mount(mount: Mount) -> str:
    if mount.deletes_after is None:
        deletes = "whether it deletes versions is not known"
    elif mount.deletes_after:
        deletes = f"deletes versions after {mount.deletes_after}"
    else:
        deletes = "deletes no versions"
    return f"{mount.name}/  {mount.engine or 'engine not known'}, {deletes}"


def _validity(login: TokenStatus) -> str:
    if login.error is not None:
        return f"not to be looked up: {login.error}"
    if login.ttl is None:
        return "valid without an end"
    renewable = "renewable" if login.renewable else "not renewable"
    return f"valid for {timedelta(seconds=login.ttl)} more, {renewable}"


def _print_json(settings: Settings, found: Status) -> None:
    show_json(
        {
            "addresses": [
                {name: fact for name, fact in _facts(node).items() if name != "leader"}
                for node in found.nodes
            ],
            "leader": _leader(found),
            "namespace": settings.vault_namespace,
            "login": found.login and _facts(found.login),
            "mount": found.mount and _facts(found.mount),
            "keys": [_facts(key) for key in found.keys],
            "findings": [finding.text for finding in found.findings],
            "error": found.error and str(found.error),
        }
    )


def _facts(of: Node | TokenStatus | Mount | KeyAccess) -> dict[str, object]:
    facts = {field.name: getattr(of, field.name) for field in fields(of)}
    return {name: str(f) if isinstance(f, Exception) else f for name, f in facts.items()}
