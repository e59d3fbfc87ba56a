"""Where nothing is suggested, and why: each reason names the setting that would change it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import eligibility
from shardline.settings import SECRETS, CompletionSettings
from tests.completion.cursor import at_cursor

NAMES_OF_SECRETS = """
    prod.env .env-local .env_test .env~ .envrc id_dsa id_dsa.pub .git-credentials .pgpass a.jks a.keystore x.tfstate
    x.tfstate.backup x.tfvars.json .docker/config.json .kube/config gh/hosts.yml a.ppk a.p8 a.kdb me.ovpn .htpasswd
    .vault-token .terraform.d/credentials.tfrc.json .cargo/credentials.toml .m2/settings.xml .gradle/gradle.properties
    .my.cnf kubeconfig.yaml cluster.kubeconfig db-secret.yaml secrets.yml secret.json .secrets/a google_credentials.json
    service-account-1.json .bash_history .python_history .config/gcloud/a _netrc .yarnrc.yml kaggle.json .boto .s3cfg
"""
CODE_ALIKE = """
    environment.py keyboard.py env monkey.py secretary.py env.py dotenv.js envelope.go key.py keys.ts kubeconfig.go
    kubeconfig.py secret.go secret.py secretstore.rs credential.go gh/hosts.py config.json docker/config.json
    kube/config.go settings.xml gradle.properties history.py bash_history.c password.py tokens.rs terraform.tf main.tf
    variables.tf pem.rs jks.java settings.py config hosts.yml token netrc.c ssh/config.go aws/client.py
"""


def objection(
    uri: str = "file:///work/a.py",
    text: str = "x = ‸",
    *,
    language: str = "python",
    by_hand: bool = False,
    deleted: bool = False,
    **wish: Any,
) -> str | None:
    source = at_cursor(text, language, document=uri)
    return eligibility.objection(source, CompletionSettings(**wish), by_hand=by_hand, deleted=deleted)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///work/a.py",
        "untitled:Untitled-1",
        "vscode-notebook-cell:/work/a.ipynb#W0",
        "vscode-remote://ssh-remote%2Bhost/work/a.py",
        "vscode-vfs://github/owner/name/a.py",
        "vscode-interactive-input:/InteractiveInput-1",
        "buffer:12",
        "inmemory://model/1",
    ],
)
def test_code_that_somebody_writes_is_completed(uri: str) -> None:
    assert objection(uri) is None


@pytest.mark.parametrize("uri", ["git:/work/a.py?ref=HEAD", "output:tasks", "vscode-settings://x", "debug:1"])
def test_what_nobody_writes_is_not(uri: str) -> None:
    assert "completion.excludeSchemes" in (objection(uri) or "")
    assert objection(uri, exclude_schemes=()) is None


def test_secrets_of_other_machines_are_secrets() -> None:
    assert "completion.secretPaths" in (objection("vscode-remote://ssh-remote%2Bhost/work/.env") or "")


@pytest.mark.parametrize("name", [".env", ".env.local", "server.pem", "id_rsa", "id_ed25519.pub", "credentials.json"])
def test_files_that_may_hold_secrets_are_skipped_wherever_they_are(name: str) -> None:
    for folder in ("", "a/", "a/b%20c/"):
        assert "completion.secretPaths" in (objection(f"file:///{folder}{name}") or "")
    assert objection(f"file:///a/{name}", secret_paths=()) is None


@pytest.mark.parametrize("path", ["/home/me/.ssh/config", "/home/me/.aws/anything", "/home/me/.SSH/x", "/etc/shadow"])
def test_folders_of_secrets_are_skipped(path: str) -> None:
    assert "completion.secretPaths" in (objection(f"file://{path}") or "")


@pytest.mark.parametrize("name", NAMES_OF_SECRETS.split())
def test_what_commonly_holds_secrets_is_skipped(name: str) -> None:
    for each in (name, name.upper()):
        assert "completion.secretPaths" in (objection(f"file:///work/{each}") or "")
        assert "completion.secretPaths" in (objection(f"vscode-notebook-cell:/work/{each}#W0sZmlsZQ") or "")


@pytest.mark.parametrize(
    "name", [".env~", ".env.swp", ".server.pem.swp", "server.pem~", "%23server.pem%23", ".%23a.pem"]
)
def test_what_editors_keep_of_secrets_is_skipped(name: str) -> None:
    assert "completion.secretPaths" in (objection(f"file:///work/{name}") or "")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///c%3A/Users/me/.ssh/config",
        "file:///C:/Users/me/.SSH/config",
        "file:///C:%5CUsers%5Cme%5C.env",
        "file:///c%3A\\Users\\me\\.aws\\config",
        "file://server/share/.env",
        "file://localhost/home/me/.ssh/config",
        "file:////home//me//.ssh//config",
        "file:///home/me/.ssh/./config",
        "file:///home/me/x/%2e%2e/.ssh/config",
        "file:///work/.ssh/../.env",
        "file:///work/.env?version=1",
        "file:///work/.env#L1",
        "file:///work/c#/.env",
        "file:///work/what?/.env",
        "file:///work/%2Eenv",
        "file:///work/.env%00.py",
        "file:///work/.env::$DATA",
        "file:///work/id_rsa.%20",
        "untitled:.ssh/config",
        "untitled:/work/.env",
        "vscode-notebook-cell://host/work/.env.ipynb#W1",
    ],
)
def test_secrets_are_skipped_however_their_address_is_written(uri: str) -> None:
    assert "completion.secretPaths" in (objection(uri) or "")


def test_an_address_that_only_passes_by_a_folder_of_secrets_is_completed() -> None:
    assert objection("file:///home/me/.ssh/../work/a.py") is None


def test_a_link_is_what_it_leads_to_and_what_it_is_called(tmp_path: Path) -> None:
    for folder in ("work", "home/.ssh"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("work/notes.txt", "work/plain.py", "home/.ssh/config"):
        (tmp_path / name).touch()
    links = {"a.py": "home/.ssh/config", ".env": "work/plain.py", "folder": "home/.ssh", "fine.py": "work/plain.py"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(tmp_path / target)
    for secret in ("a.py", ".env", "folder/config", "a%2Epy", "folder/../.ssh/config"):
        assert "completion.secretPaths" in (objection(f"file://{tmp_path}/{secret}") or ""), secret
    assert objection(f"file://{tmp_path}/fine.py") is None
    (tmp_path / "a.py").unlink()
    (tmp_path / "a.py").symlink_to(tmp_path / "work/plain.py")
    assert objection(f"file://{tmp_path}/a.py") is None


def test_a_link_that_cannot_be_followed_is_what_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "round.py").symlink_to(tmp_path / "round.py")
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "nowhere")
    for name in ("round.py", "nowhere.py", "x" * 300, "round.py/x/y", "%ff%fe", "\udcff\ud800"):
        assert objection(f"file://{tmp_path}/{name}") is None
    (tmp_path / ".env").symlink_to(tmp_path / ".env")
    assert "completion.secretPaths" in (objection(f"file://{tmp_path}/.env") or "")


@pytest.mark.parametrize("name", CODE_ALIKE.split())
def test_code_with_a_name_alike_is_completed(name: str) -> None:
    assert objection(f"file:///work/{name}") is None


@pytest.mark.parametrize(
    ("pattern", "excluded"),
    [("*.min.js", "lib/x.min.js"), ("vendor/*", "vendor/a/b.c"), ("/work/x/*", "x/a.py"), ("*/gen/*", "gen/a.py")],
)
def test_paths_can_be_excluded(pattern: str, excluded: str) -> None:
    assert "completion.excludePaths" in (objection(f"file:///work/{excluded}", exclude_paths=(pattern,)) or "")
    assert objection("file:///work/other.py", exclude_paths=(pattern,)) is None


def test_languages_can_be_excluded() -> None:
    assert "completion.excludeLanguages" in (objection(language="markdown", exclude_languages=("markdown",)) or "")
    assert objection(exclude_languages=("markdown",)) is None


def test_long_documents_are_skipped() -> None:
    assert "completion.maxDocumentCharacters" in (objection(text="x\n" * 10 + "‸", max_document_characters=19) or "")
    assert objection(text="x\n" * 10 + "‸", max_document_characters=20) is None


@pytest.mark.parametrize(
    ("trigger", "by_hand", "silent"),
    [
        ("automatic", False, False),
        ("automatic", True, False),
        ("manual", False, True),
        ("manual", True, False),
        ("off", False, True),
        ("off", True, True),
    ],
)
def test_the_trigger_decides(trigger: str, by_hand: bool, silent: bool) -> None:
    assert (objection(trigger=trigger, by_hand=by_hand) is not None) is silent


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x = 'a‸b'", "string"),
        ('"""a\n‸\n"""', "string"),
        ("# a‸", "comment"),
        ("x = 1  # a ‸b", "comment"),
        ("x = 'a‸", "string"),
        ('x = f("a‸\ny = 1', "string"),
        ("x = ‸'a'", None),
        ("x = 'a'‸", None),
        ("x‸ # a", None),
    ],
)
def test_strings_and_comments_can_be_left_out(text: str, kind: str | None) -> None:
    why = objection(text=text, in_strings=False, in_comments=False)
    assert why is None if kind is None else kind in (why or "")
    assert objection(text=text) is None


def test_what_was_deleted_can_be_left_alone_but_not_by_hand() -> None:
    assert "completion.afterDeletion" in (objection(deleted=True, after_deletion=False) or "")
    assert objection(deleted=True, after_deletion=False, by_hand=True) is None
    assert objection(deleted=False, after_deletion=False) is None


@given(uri=st.text(max_size=30), patterns=st.lists(st.text("*?[]!/.a", max_size=6) | st.sampled_from(SECRETS)))
def test_any_address_and_any_pattern_has_an_answer(uri: str, patterns: list[str]) -> None:
    for address in (uri, f"file://{uri}", f"file://[{uri}"):
        why = objection(address, exclude_paths=tuple(patterns))
        assert why is None or "completed" in why or "completion." in why
