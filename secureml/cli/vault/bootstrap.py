"""``secureml vault bootstrap``: mount, policies and roles as production needs them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import click

from secureml.audit import Audit
from secureml.cli.base import command, fail, note, warn
from secureml.cli.options import period
from secureml.cli.output import confirm, show
from secureml.errors import AccessDeniedError, ConfigurationError
from secureml.settings import Layers, check_path, load_settings
from secureml.settings.environments import NAME_RULE, canonical, is_name, section_problem
from secureml.vault.client.session import VaultSession
from secureml.vault.setup.bootstrap import Bootstrap
from secureml.vault.setup.changes import Change
from secureml.vault.setup.policies import KeyLayout

__all__ = ["bootstrap"]

_DRIFT = 2
"""The exit code of --plan if there is anything to do, as of others that compare and change."""


def _networks(_ctx: click.Context, _param: click.Parameter, text: str | None) -> list[str] | None:
    """Read networks with commas between."""
    try:
        return None if text is None else [str(ip_network(each.strip())) for each in text.split(",")]
    except ValueError:
        pass
    raise click.BadParameter("it takes networks such as 10.20.0.0/16, with commas between.")


@command(interrupted="what is listed above was changed; run it again to go on")
@click.option(
    "--environments",
    default="development,staging,production",
    show_default=True,
    metavar="NAMES",
    help="All environments, with commas between.",
)
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Print what it would do, change nothing, and end with 2 if there is anything to do.",
)
@click.option(
    "--print-hcl", is_flag=True, help="Print the policies, without asking Vault; change nothing."
)
@click.option(
    "--yes", is_flag=True, help="Change a policy or a role that is there and differs, unasked."
)
@click.option(
    "--prefix",
    default="secureml",
    show_default=True,
    metavar="NAME",
    help="What the names of policies and roles begin with; another one for each vault_path.",
)
@click.option(
    "--approle-mount",
    default="approle",
    show_default=True,
    metavar="MOUNT",
    help="Where the auth method AppRole is mounted, or is to be.",
)
@click.option(
    "--transit/--no-transit",
    default=None,
    help="Have a transit engine wrap keys, as key_backend=transit does; or take the rules for "
    "wrapped keys away. Without either, what policies have of them stays.",
)
@click.option(
    "--secret-id-ttl",
    callback=period,
    metavar="TIME",
    help="How long a secret ID is good for, such as 7d; 30d for a new role.",
)
@click.option(
    "--secret-id-uses",
    "secret_id_num_uses",
    type=click.IntRange(0),
    metavar="N",
    help="How often a secret ID can log in; 0, any number, for a new role.",
)
@click.option(
    "--bound-cidrs",
    callback=_networks,
    metavar="CIDRS",
    help="The networks from which secret IDs and tokens can be used, with commas between.",
)
@click.option(
    "--token-type",
    type=click.Choice(["default", "service", "batch"]),
    help="The type of the roles' tokens.",
)
@click.option(
    "--token-period",
    callback=period,
    metavar="TIME",
    help="Make the roles' tokens last for as long as they are renewed within this time.",
)
def bootstrap(
    environment: str | None,
    *,
    environments: str,
    only_plan: bool,
    print_hcl: bool,
    yes: bool,
    prefix: str,
    approle_mount: str,
    transit: bool | None,
    bound_cidrs: list[str] | None,
    **role_fields: Any,
) -> None:
    """Set Vault up: mount, policies, roles.

    Mounts a KV version 2 engine at vault_mount, writes policies per environment that read,
    administer and rotate its keys and one for this command itself, and makes an AppRole per
    environment that has the reading policy alone. No version of a key is pruned from then on.
    Prints the role_ids and how to get a secret_id.

    With --transit, or the setting key_backend=transit, it also mounts a transit engine at
    vault_transit_mount, and the policies allow what wrapped keys need.

    What is there already and as it should be, or stricter, is left alone, so it can be run again
    at any time. It asks before it changes a policy or a role that differs. Something else at the
    mount is an error, and so is a token that may not make every change: then it makes none.

    The settings say where Vault is and how to log in. --env selects among them, not among the
    environments to set up.

    Examples:
      secureml vault bootstrap --environments development,staging,production
      secureml vault bootstrap --plan
      secureml vault bootstrap --secret-id-ttl 7d --bound-cidrs 10.20.0.0/16
      secureml vault bootstrap --environments production --print-hcl
    """
    role_fields |= {"secret_id_bound_cidrs": bound_cidrs, "token_bound_cidrs": bound_cidrs}
    asked = {
        name: int(value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in role_fields.items()
        if value is not None
    }
    if asked.get("token_type") == "batch" and asked.get("token_period"):
        raise click.UsageError("--token-type batch and --token-period can't both be given.")
    if not is_name(prefix):
        raise ConfigurationError(f"--prefix must be {NAME_RULE}")
    settings = load_settings(Layers(environment=environment))
    wraps = settings.key_backend == "transit" if transit is None else transit
    layout = KeyLayout(
        mount=settings.vault_mount,
        path=settings.vault_path,
        environments=_environments_in(environments),
        approle=check_path(approle_mount, "--approle-mount"),
        prefix=prefix,
        transit=settings.vault_transit_mount if wraps else None,
        transit_key=settings.vault_transit_key if wraps else None,
    )
    if print_hcl:
        for name, policy in layout.policies.items():
            show(f"# Policy {name}", *policy.split("\n"))
        return
    if settings.vault_url is None:
        raise ConfigurationError("vault_url is not set")
    with closing(VaultSession(settings)) as session:
        work = Bootstrap(
            session,
            layout,
            asked,
            keep_wrapping=transit is not False,
            audit=Audit(settings, lambda: session.accessor),
        )
        plan = work.plan()
        if only_plan:
            _print_plan(plan.changes)
        else:
            work.check(plan)
            _apply(work, plan.changes, yes=yes)
        for remark in plan.remarks:
            note(remark)
        _print_audit_devices(work)
        if not only_plan:
            _print_roles(work, layout, settings.vault_namespace)
        elif plan.changes:
            raise click.exceptions.Exit(_DRIFT)


def _environments_in(text: str) -> tuple[str, ...]:
    """Return the environments that a comma separated list names, each once."""
    names = tuple(dict.fromkeys(canonical(name) for name in text.split(",")))
    problems = [
        f"{name[:80]!r} is no environment" + (f": {problem}" if problem else "")
        for name in names
        if (problem := section_problem(name)) or name == "default"
    ]
    if problems:
        raise ConfigurationError.of(problems)
    return names


def _print_plan(changes: Sequence[Change]) -> None:
    for change in changes:
        show(*change.diff().split("\n"), "")
    show(
        f"{_counted(changes)} to make; nothing was changed."
        if changes
        else "There is nothing to do: all is as it should be."
    )


def _apply(work: Bootstrap, changes: Sequence[Change], *, yes: bool) -> None:
    overwriting = [] if yes else [change for change in changes if change.overwrites]
    for change in overwriting:
        show(*change.diff().split("\n"), "", err=True)
    if overwriting and not confirm(f"Make {_counted(overwriting)} to what is there?"):
        fail("nothing was changed; --yes changes without asking", 1)
    for change in changes:
        work.apply(change)
        show(f"{'changed' if change.before else 'created'}  {change.title}")
    if not changes:
        show("There was nothing to do: all is as it should be.")


def _counted(changes: Sequence[Change]) -> str:
    return f"{len(changes)} change" + ("" if len(changes) == 1 else "s")


def _print_audit_devices(work: Bootstrap) -> None:
    try:
        devices = work.audit_devices()
    except AccessDeniedError as error:
        note(f"whether an audit device is on could not be checked: {error}")
        return
    if devices:
        show(f"Audit devices: {', '.join(devices)}")
        return
    warn(
        "no audit device is on, so Vault keeps no record of who read which key. Vault: "
        "vault audit enable file file_path=/var/log/vault/audit.log. OpenBao: declare it in "
        'the server\'s configuration, audit "file" "file" { options { file_path = '
        '"/var/log/openbao/audit.log" } }'
    )


def _print_roles(work: Bootstrap, layout: KeyLayout, namespace: str | None) -> None:
    where = f"-namespace={namespace} " if namespace else ""
    for environment, role_id in work.role_ids().items():
        secret_id = f"{layout.role_path(environment)}/secret-id"
        show(
            "",
            environment,
            f"  role_id    {role_id}",
            f"  secret_id  vault write {where}-f {secret_id}",
            f"  wrapped    vault write {where}-wrap-ttl=5m -f {secret_id}",
        )
    mount = f"SECUREML_VAULT_AUTH_MOUNT={layout.approle}, " if layout.approle != "approle" else ""
    note(
        f"an application logs in with SECUREML_VAULT_AUTH=approle, {mount}SECUREML_VAULT_ROLE_ID "
        "and SECUREML_VAULT_SECRET_ID_FILE, and SECUREML_VAULT_SECRET_ID_WRAPPED=true if that "
        "file holds the wrapping token"
    )
