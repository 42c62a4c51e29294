"""``secureml vault dev``: a real server for development, in the foreground."""

from __future__ import annotations

import re
import shlex
import tempfile
from contextlib import closing
from pathlib import Path

import click

from secureml.atomic_files import private_folder
from secureml.cli.base import command, note, warn
from secureml.cli.output import show
from secureml.cli.settings.settings_file import is_tracked
from secureml.errors import ConfigurationError, VaultUnavailableError
from secureml.secret_types import SecretText
from secureml.settings import ENVIRONMENTS, Layers, Settings, load_settings
from secureml.vault.client.api import Api
from secureml.vault.client.session import VaultSession
from secureml.vault.devserver.secrets import DevServerSecrets
from secureml.vault.devserver.server import DevServer
from secureml.vault.setup.bootstrap import Bootstrap
from secureml.vault.setup.policies import KeyLayout

__all__ = ["dev"]

_TOKEN_PERIOD = "768h"  # noqa: S105  # the longest that a server allows by default


@command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8200,
    show_default=True,
    help="The port on 127.0.0.1; 0 for one that is free.",
)
@click.option(
    "--persist",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep its data in this folder, and find them again at the next start.",
)
@click.option(
    "--token",
    metavar="TOKEN",
    help="A token that may do everything on it, bootstrap too, such as myroot.",
)
@click.option(
    "--binary",
    metavar="PATH",
    help="The server's executable, HashiCorp's `vault` for one; by default OpenBao's.",
)
def dev(
    environment: str | None,
    *,
    port: int,
    persist: Path | None,
    token: str | None,
    binary: str | None,
) -> None:
    """Run a server for development.

    Runs OpenBao on this machine alone, set up as `secureml vault bootstrap` does it, until Ctrl-C.
    Prints the lines that make a shell use it; their token may make, rotate and read the keys of
    every environment, and is no root token, unless --token gives one. The mount and the path are
    those of the settings.

    Without --persist all it held is gone when it stops. With it, whoever can read the folder can
    read the keys: seal key and root token lie beside the data, in files for you alone.

    It needs the extra `server`, or --binary. It is no place for real keys.

    Examples:
      secureml vault dev
      secureml vault dev --token myroot
      secureml vault dev --persist .secureml/vault --port 8300
      secureml vault dev --binary /usr/bin/vault
    """
    settings = load_settings(Layers(environment=environment))
    root_token = _root_token(token)
    name = "OpenBao" if binary is None else Path(binary).name
    try:
        if persist is not None:
            folder = _own_folder(persist)
            if is_tracked(folder / "unseal.key"):
                warn(f"git does not ignore {folder}, where the seal key lies; add it to .gitignore")
            server = DevServer(folder, port=port or None, persist=True, binary=binary)
            _serve(server, settings, root_token, name, f"its data stay in {folder}")
        else:
            with tempfile.TemporaryDirectory(prefix="secureml-vault-") as temporary:
                server = DevServer(Path(temporary), port=port or None, binary=binary)
                _serve(server, settings, root_token, name, "then all it held is gone")
    except (KeyboardInterrupt, SystemExit):  # a signal that ends a process
        note("the server is stopped")


def _root_token(text: str | None) -> SecretText | None:
    """Return the token to make, if it can be one: a server has its own meanings for points."""
    if text is None:
        return None
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", text):
        raise click.BadParameter("letters, digits, _ and - make a token", param_hint="--token")
    return SecretText(text)


def _serve(
    server: DevServer, settings: Settings, root_token: SecretText | None, name: str, stays: str
) -> None:
    with server:
        token = _set_up(server, settings, root_token)
        if settings.vault_namespace is not None:
            warn("vault_namespace is set, and this server has no namespaces; leave it out here")
        show(f"export SECUREML_VAULT_URL={shlex.quote(server.url)}")
        show(f"export SECUREML_VAULT_TOKEN={shlex.quote(token.reveal())}")
        note(f"{name} runs at {server.url}; Ctrl-C stops it, and {stays}")
        server.wait()
    raise VaultUnavailableError("the server ended by itself")


def _set_up(server: DevServer, users: Settings, root_token: SecretText | None) -> SecretText:
    """Set the server up as in production; return a token for those who make and use keys.

    Args:
        server: the server.
        users: the user's settings.
        root_token: the token to return instead, which may do everything.
    """
    # Finished settings: nothing else of the user's tells where to send the root token.
    settings = Settings(
        vault_url=server.url,
        vault_token=server.root_token,
        vault_mount=users.vault_mount,
        vault_path=users.vault_path,
    )
    layout = KeyLayout(
        mount=settings.vault_mount, path=settings.vault_path, environments=ENVIRONMENTS
    )
    wanted: dict[str, object] = {
        "policies": list(layout.key_policies),
        "period": _TOKEN_PERIOD,
        "no_default_policy": True,
    }
    if root_token is not None:
        wanted = {"id": root_token, "policies": ["root"]}
    with closing(VaultSession(settings)) as session:
        work = Bootstrap(session, layout)
        for change in work.plan().changes:
            work.apply(change)
        path = "auth/token/create-orphan"
        answer = session.request("post", path, body=wanted, repeatable=False)
        # A server that keeps its data may have the token from an earlier run.
        if root_token is None or not answer.body.says("duplicate ID"):
            Api(session).accepted(answer, path)
        return root_token or SecretText(answer.body.section("auth").text("client_token") or "")


def _own_folder(folder: Path) -> Path:
    """Return a folder that is empty, absent, or that of an earlier run."""
    problem = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        found = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
        if found - {".gitignore"} and not DevServerSecrets.is_in(folder):
            problem = "holds other things; --persist takes an empty folder, or that of another run"
    except OSError as error:
        problem = f"can't be used ({error.strerror or type(error).__name__})"
    if problem:
        raise ConfigurationError(f"{folder} {problem}")
    # Seal key and root token will lie there, perhaps within a project.
    return private_folder(folder).absolute()
