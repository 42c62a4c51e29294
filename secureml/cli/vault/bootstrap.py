"""``secureml vault bootstrap``: mount, policies and roles as production needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

import click

from secureml.cli.base import command, fail, note, warn
from secureml.cli.output import confirm, show

if TYPE_CHECKING:
    from secureml.settings import Settings
    from secureml.vault.setup.bootstrap import Audit, Bootstrap
    from secureml.vault.setup.changes import Change
    from secureml.vault.setup.policies import Layout
    from secureml.vault.setup.roles import RoleOptions

__all__ = ["bootstrap", "environments_in"]

_DRIFT = 2
"""The exit code of --plan if there is anything to do, as of others that compare and change."""


def _seconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """Read a time such as 7d."""
    from secureml.key_management.rotation_period import period_in

    period = period_in(text)
    if text is not None and period is None:
        raise click.BadParameter("it takes a number and one of d, h, m and s, such as 7d.")
    return None if period is None else int(period.total_seconds())


def _networks(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    """Read networks with commas between."""
    try:
        return None if text is None else tuple(str(ip_network(x.strip())) for x in text.split(","))
    except ValueError:
        pass
    raise click.BadParameter("it takes networks such as 10.20.0.0/16, with commas between.")


@command(
    "bootstrap",
    examples="""
secureml vault bootstrap --environments development,staging,production
secureml vault bootstrap --plan
secureml vault bootstrap --secret-id-ttl 7d --bound-cidrs 10.20.0.0/16
secureml vault bootstrap --environments production --print-hcl
""",
    interrupted="what is listed above was changed; run it again to go on",
)
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
    callback=_seconds,
    metavar="TIME",
    help="How long a secret ID is good for, such as 7d; 30d for a new role.",
)
@click.option(
    "--secret-id-uses",
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
    callback=_seconds,
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
    secret_id_ttl: int | None,
    secret_id_uses: int | None,
    bound_cidrs: tuple[str, ...] | None,
    token_type: str | None,
    token_period: int | None,
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
    """
    from secureml.settings import Layers, load_settings
    from secureml.vault.setup.roles import RoleOptions

    if token_type == "batch" and token_period:  # noqa: S105  # a type of tokens
        raise click.UsageError("--token-type batch and --token-period can't both be given.")
    settings = load_settings(Layers(environment=environment))
    layout = _layout(settings, environments_in(environments), prefix, approle_mount)
    if transit or (transit is None and settings.key_backend == "transit"):
        layout = replace(
            layout,
            transit=settings.vault_transit_mount,
            transit_key=settings.vault_transit_key,
        )
    if print_hcl:
        _print_hcl(layout)
        return
    options = RoleOptions(
        secret_id_ttl=secret_id_ttl,
        secret_id_num_uses=secret_id_uses,
        bound_cidrs=bound_cidrs,
        token_type=token_type,
        token_period=token_period,
    )
    with _opened(settings, layout, options, keep_wrapping=transit is not False) as work:
        _run(work, layout, settings.vault_namespace, only_plan=only_plan, yes=yes)


def environments_in(text: str) -> tuple[str, ...]:
    """Return the environments that a comma separated list names, each once.

    Args:
        text: the list.

    Raises:
        ConfigurationError: a name is none, or close to one that it may be meant for.
    """
    from secureml.errors import ConfigurationError
    from secureml.settings.environments import canonical, section_problem

    names = tuple(dict.fromkeys(canonical(name) for name in text.split(",")))
    problems = [
        f"{name[:80]!r} is no environment" + (f": {problem}" if problem else "")
        for name in names
        if (problem := section_problem(name)) or name == "default"
    ]
    if problems:
        raise ConfigurationError.of(problems)
    return names


def _layout(
    settings: Settings, environments: Sequence[str], prefix: str, approle_mount: str
) -> Layout:
    from secureml.errors import ConfigurationError
    from secureml.settings import check_path
    from secureml.settings.environments import NAME_RULE, is_name
    from secureml.vault.setup.policies import Layout

    if not is_name(prefix):
        raise ConfigurationError(f"--prefix must be {NAME_RULE}")
    return Layout(
        mount=settings.vault_mount,
        path=settings.vault_path,
        environments=tuple(environments),
        approle=check_path(approle_mount, "--approle-mount"),
        prefix=prefix,
    )


def _print_hcl(layout: Layout) -> None:
    for name, policy in layout.policies.items():
        show(f"# Policy {name}", *policy.split("\n"))


@contextmanager
def _opened(
    settings: Settings, layout: Layout, options: RoleOptions, *, keep_wrapping: bool
) -> Iterator[Bootstrap]:
    from secureml.audit import Audit as AuditLog
    from secureml.errors import ConfigurationError
    from secureml.vault.client.session import VaultSession
    from secureml.vault.setup.bootstrap import Bootstrap

    if settings.vault_url is None:
        raise ConfigurationError("vault_url is not set")
    session = VaultSession(settings)
    try:
        audit = AuditLog(settings, lambda: session.accessor)
        yield Bootstrap(session, layout, options, keep_wrapping=keep_wrapping, audit=audit)
    finally:
        session.close()


def _run(
    work: Bootstrap, layout: Layout, namespace: str | None, *, only_plan: bool, yes: bool
) -> None:
    plan = work.plan()
    if only_plan:
        _print_plan(plan.changes)
    else:
        work.check(plan)
        _apply(work, plan.changes, yes=yes)
    for remark in plan.remarks:
        note(remark)
    _print_audit(work.audit())
    if not only_plan:
        _print_roles(work, layout, namespace)
    elif plan.changes:
        raise click.exceptions.Exit(_DRIFT)


def _print_plan(changes: Sequence[Change]) -> None:
    for change in changes:
        show(*change.diff().split("\n"), "")
    show(
        f"{_counted(changes)} to make; nothing was changed."
        if changes
        else "There is nothing to do: all is as it should be."
    )


def _apply(work: Bootstrap, changes: Sequence[Change], *, yes: bool) -> None:
    overwriting = [change for change in changes if change.overwrites]
    if overwriting and not yes:
        _ask(overwriting)
    for change in changes:
        work.apply(change)
        show(f"{'changed' if change.before else 'created'}  {change.title}")
    if not changes:
        show("There was nothing to do: all is as it should be.")


def _ask(changes: Sequence[Change]) -> None:
    """Have the user agree, or end; nothing has been changed yet."""
    for change in changes:
        show(*change.diff().split("\n"), "", err=True)
    if not confirm(f"Make {_counted(changes)} to what is there?"):
        fail("nothing was changed; --yes changes without asking", 1)


def _counted(changes: Sequence[Change]) -> str:
    return f"{len(changes)} change" + ("" if len(changes) == 1 else "s")


def _print_audit(audit: Audit) -> None:
    if audit.devices:
        show(f"Audit devices: {', '.join(audit.devices)}")
    elif audit.devices is None:
        note(f"whether an audit device is on could not be checked: {audit.reason}")
    else:
        warn(
            "no audit device is on, so Vault keeps no record of who read which key. Vault: "
            "vault audit enable file file_path=/var/log/vault/audit.log. OpenBao: declare it in "
            'the server\'s configuration, audit "file" "file" { options { file_path = '
            '"/var/log/openbao/audit.log" } }'
        )


def _print_roles(work: Bootstrap, layout: Layout, namespace: str | None) -> None:
    where = f"-namespace={namespace} " if namespace else ""
    for environment, role_id in work.role_ids().items():
        secret_id = f"auth/{layout.approle}/role/{layout.role(environment)}/secret-id"
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
        "and SECUREML_VAULT_SECRET_ID_FILE, and SECUREML_VAULT_SECRET_ID_WRAPPED=true where that "
        "file holds the wrapping token"
    )
