"""Settings: name, type, default and one sentence each, written once.

`--help`, the README table and the schema that VS Code shows are all read from the classes below. Names are
snake_case here and camelCase everywhere a user meets them; `merge` is the one place that knows both.
"""

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shardline.errors import BadValueError, SettingsError
from shardline.setting_values import DeviceMap, InfillingFormat, MaxMemory, parse_device_map, parse_max_memory
from shardline.values import check

EMBEDDED_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The model that needs neither an account nor a choice: 135 million parameters, Apache-2.0."""


SECRETS = (
    *(".env", ".env.*", ".env-*", ".env_*", ".env~", "*.env", ".envrc"),
    *("*.key", "*.pem", "*.p8", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.kdb", "*.kdbx", "*.ovpn"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".ssh/*", ".gnupg/*", ".password-store/*"),
    *("credentials", "credentials.*", ".git-credentials", "*_credentials.json", "service-account*.json"),
    *("secrets.*", "*.secret", "*.secrets", "*secret.y*ml", "*secrets.y*ml", "secret.json", ".secrets/*"),
    *(".netrc", "_netrc", ".npmrc", ".pypirc", ".yarnrc.yml", ".m2/settings.xml", ".gradle/gradle.properties"),
    *(".pgpass", "pgpass.conf", ".my.cnf", ".mylogin.cnf", ".htpasswd", "/etc/shadow", ".*_history"),
    *("*.tfvars", "*.tfvars.*", "*.tfstate", "*.tfstate.*", ".terraformrc", ".vault-token"),
    *(".docker/config.json", ".dockercfg", ".kube/config", "kubeconfig", "*.kubeconfig", "kubeconfig.y*ml"),
    *(".aws/*", ".config/gcloud/*", "msal_token_cache.*", ".oci/config", ".s3cfg", ".boto", ".databrickscfg"),
    *("gh/hosts.yml", "glab-cli/config.yml", ".config/hub", "huggingface/token", "kaggle.json", ".composer/auth.json"),
)
"""Names of files that commonly hold passwords and keys: of the environment, of key pairs, and of programs."""


READ_ONLY = (
    *("comment", "debug", "deno", "diffview", "fugitive", "git", "gitfs", "gitlens", "gitlens-git", "hg", "jdt"),
    *("man", "octo", "output", "review", "svn", "term", "vscode-settings", "vscode-terminal", "walkthrough"),
    *("shardline", "walkthroughsnippet"),
)
"""Schemes of documents that editors show and nobody writes."""


Scope = Literal["machine", "window", "resource"]
"""Source that VS Code takes a setting from: the user alone, a window's folder too, or each folder."""


def setting(
    default: Any,
    sentence: str,
    *,
    scope: Scope,
    trusted: bool = True,
    json: Any = None,
    parse: Callable[[Any], Any] | None = None,
    **limits: float,
) -> Any:
    """Declare a setting: its default, what it does, and its `minimum` and `maximum` if it has them.

    `trusted` settings are taken only from folders that the user trusts. `parse` turns the value, whose type in JSON is
    `json`, into the field's type; it raises `BadValueError`.
    """
    about = {"sentence": sentence, "scope": scope, "trusted": trusted, "json": json, "parse": parse, "limits": limits}
    return field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of the model and its placement."""

    name: str = setting(
        EMBEDDED_MODEL,
        "The model: a name on the Hugging Face hub, or owner/repository/file.gguf there. A path to a folder with "
        "safetensors or to a GGUF file begins with /, ./, ../ or ~.",
        scope="machine",
    )
    revision: str | None = setting(None, "The branch, tag or commit on the hub.", scope="machine")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = setting(
        "auto",
        "The dtype that computes. auto takes the checkpoint's own, but bfloat16 instead of float16 on a CPU.",
        scope="window",
    )
    quantization: Literal["none", "int8", "int4"] = setting(
        "none",
        "Quantize weights to 8 or 4 bits: faster, and less memory. none keeps them as stored. Only for models like "
        "Llama.",
        scope="window",
    )
    engine: Literal["auto", "llama", "transformers"] = setting(
        "auto",
        "The code that runs the model. llama is a fast decoder for models like Llama; transformers runs all "
        "others; auto takes the first that can.",
        scope="window",
    )
    draft: str = setting(
        "",
        "Draft model for speculative decoding, named like model.name: smaller, same vocabulary. The output is "
        "unchanged, and comes sooner if the draft is much faster. Empty: none.",
        scope="machine",
    )
    device_map: DeviceMap = setting(
        "auto",
        "The devices of the layers: auto (the fewest that hold the model), balanced, balanced_low_0, sequential, "
        "one device such as cpu or 0, or a map from module to device.",
        scope="window",
        json=str | int | dict[str, str | int],
        parse=parse_device_map,
    )
    max_memory: MaxMemory | None = setting(
        None,
        'The memory that each device may give, for example {"0": "10GiB", "cpu": "30GiB"}. A device that is not '
        "named is not used. By default, the free memory of each device.",
        scope="window",
        json=dict[str, str | int] | None,
        parse=parse_max_memory,
    )
    offload_folder: str | None = setting(
        None, "A folder for layers that fit on no device. Only this setting lets layers go to disk.", scope="machine"
    )
    context_tokens: int = setting(
        2048, "The context size in tokens, prompt and suggestion together.", scope="window", minimum=64
    )


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Settings of the engine's process."""

    mode: Literal["auto", "shared", "inprocess", "remote"] = setting(
        "auto",
        "The process that runs the model. shared: one of its own, for all editors of a user with the same "
        "settings. inprocess: the language server. remote: another server. auto: remote if remote.baseUrl is set, "
        "else shared.",
        scope="machine",
    )
    idle: float = setting(
        300.0,
        "Seconds that a shared engine stays after the last editor has left.",
        scope="machine",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class RemoteSettings:
    """Settings of a server that runs the model elsewhere."""

    base_url: str = setting(
        "",
        "The address of a server that runs the model, for example http://127.0.0.1:8000. Empty: this machine runs it.",
        scope="machine",
    )
    model: str = setting("", "The model's name on that server. Empty: its only model.", scope="machine")
    api_key_env: str = setting(
        "",
        "The environment variable with the key of that server. Empty: no key. An editor has to set it beside "
        "remote.baseUrl, and may name only variables like SHARDLINE_API_KEY or those of --allow-key-env.",
        scope="machine",
    )
    kind: Literal["auto", "shardline", "vllm", "llama.cpp", "openai", "ollama", "sglang"] = setting(
        "auto",
        "The kind of that server. auto asks the server; shardline is `shardline serve`; openai is any other with "
        "OpenAI's completions API.",
        scope="machine",
    )
    fallback: Literal["local", "none"] = setting(
        "none",
        "The engine that completes while that server is away: local (model.name on this machine) or none.",
        scope="machine",
    )
    timeout: int = setting(
        30,
        "Seconds of silence after which that server counts as away.",
        scope="machine",
        minimum=1,
        maximum=600,
    )


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """Settings of sampling and length."""

    max_tokens: int = setting(
        64, "The most tokens of a suggestion.", scope="resource", trusted=False, minimum=1, maximum=4096
    )
    temperature: float = setting(
        0.0,
        "The sampling temperature. 0 always takes the likeliest token; higher values vary more.",
        scope="resource",
        trusted=False,
        minimum=0,
        maximum=5,
    )
    top_p: float = setting(
        1.0,
        "Sample only from the likeliest tokens that together have this probability.",
        scope="resource",
        trusted=False,
        minimum=0,
        maximum=1,
    )
    top_k: int = setting(
        0, "Sample only from this many likeliest tokens; 0 means from all.", scope="resource", trusted=False, minimum=0
    )
    seed: int | None = setting(
        None, "The seed that makes sampling repeatable.", scope="resource", trusted=False, minimum=0
    )
    stop: tuple[str, ...] = setting(
        (), "Stop sequences: texts that end a suggestion, and are no part of it.", scope="resource", trusted=False
    )


@dataclass(frozen=True, kw_only=True)
class CompletionSettings:
    """Settings of suggestions."""

    infilling: InfillingFormat = setting(
        "auto",
        "The order of prefix and suffix for a model that can infill: prefix first (psm), suffix first (spm), no "
        "suffix (off), or the model's own (auto).",
        scope="resource",
        trusted=False,
    )
    trigger: Literal["automatic", "manual", "off"] = setting(
        "automatic",
        "Suggest while you type (automatic), only when asked for by hand (manual), or never (off).",
        scope="resource",
        trusted=False,
    )
    exclude_languages: tuple[str, ...] = setting(
        (), "Languages without suggestions, by the names that editors use.", scope="resource", trusted=False
    )
    exclude_schemes: tuple[str, ...] = setting(
        READ_ONLY,
        "Documents without suggestions, by the schemes of their URIs. By default those that nobody writes, such as "
        "history, output and decompiled code.",
        scope="resource",
        trusted=False,
    )
    exclude_paths: tuple[str, ...] = setting(
        (),
        "Files without suggestions: patterns of names, such as *.min.js, or of paths, such as vendor/*.",
        scope="resource",
    )
    secret_paths: tuple[str, ...] = setting(
        SECRETS,
        "Files that may hold secrets, and get no suggestions. Patterns as in completion.excludePaths, but case "
        "does not count, backups match too, and links are followed.",
        scope="machine",
    )
    max_document_characters: int = setting(
        2_000_000, "Longer documents get no suggestions.", scope="resource", trusted=False, minimum=1
    )
    in_strings: bool = setting(True, "Suggest inside strings.", scope="resource", trusted=False)
    in_comments: bool = setting(True, "Suggest inside comments.", scope="resource", trusted=False)
    after_deletion: bool = setting(True, "Suggest right after text was deleted.", scope="resource", trusted=False)
    multiline: Literal["auto", "always", "never"] = setting(
        "auto",
        "Suggest several lines: always, never, or only where nothing but closing brackets follows the cursor in its "
        "line (auto).",
        scope="resource",
        trusted=False,
    )
    max_lines: int = setting(16, "The most lines of a suggestion.", scope="resource", trusted=False, minimum=1)
    min_confidence: float = setting(
        0.0,
        "Show only suggestions that the model is at least this sure of: the geometric mean of the tokens' "
        "probabilities, 1 being certain.",
        scope="resource",
        trusted=False,
        minimum=0,
        maximum=1,
    )
    candidates: int = setting(
        3,
        "The number of candidates when asked for by hand.",
        scope="resource",
        trusted=False,
        minimum=1,
        maximum=8,
    )
    debounce: int = setting(
        0,
        "Debounce: milliseconds to wait for the next key before an automatic suggestion begins. Keys that agree "
        "with a running suggestion join it, so waiting saves computing or money, not time.",
        scope="resource",
        trusted=False,
        minimum=0,
        maximum=5000,
    )
    time_budget: int = setting(
        500,
        "Milliseconds after which the complete lines of a suggestion are shown. The rest goes on for the next key.",
        scope="resource",
        trusted=False,
        minimum=1,
    )
    popup_budget: int = setting(
        100,
        "Milliseconds after which a pop-up is answered, with the complete lines or nothing: editors hold back "
        "other servers' items until then. The rest goes on for the next key.",
        scope="resource",
        trusted=False,
        minimum=1,
    )
    prepare: bool = setting(
        True,
        "Make the next suggestion while one is shown, so that it is there when that one is accepted. Off saves power.",
        scope="resource",
        trusted=False,
    )
    warm: bool = setting(
        True,
        "Let the model read a document when it is opened and when typing pauses, so that suggestions come sooner. "
        "Off saves power.",
        scope="resource",
        trusted=False,
    )


@dataclass(frozen=True, kw_only=True)
class StatisticsSettings:
    """Settings of the counts."""

    enabled: bool = setting(
        True,
        "Count suggestions for shardline stats: how many were shown, accepted and kept, and how fast. The counts "
        "stay on this machine and hold no code and no file names.",
        scope="window",
    )


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Settings of the log on standard error."""

    level: Literal["error", "warning", "info", "debug"] = setting(
        "warning", "The log level. Only debug logs text from your documents.", scope="machine"
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, in sections."""

    model: ModelSettings = field(default_factory=ModelSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    remote: RemoteSettings = field(default_factory=RemoteSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def is_remote(self) -> bool:
        """Whether a server elsewhere completes."""
        return self.engine.mode in ("auto", "remote") and bool(self.remote.base_url)

    @property
    def model_name(self) -> str:
        """The name of the model that completes, as users are shown it."""
        return (self.remote.model or self.remote.base_url) if self.is_remote else self.model.name


@dataclass(frozen=True, kw_only=True)
class SettingInfo:
    """One setting as documentation shows it: `name` is dotted camelCase, `type` is the Python type of its JSON."""

    name: str
    type: Any
    default: Any
    sentence: str
    scope: Scope
    trusted: bool
    limits: Mapping[str, float]


def merge(base: Settings, values: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """Lay nested camelCase `values` over `base`.

    Returns the settings and, for each value that could not be used, a sentence; where a value cannot be used
    the one in `base` holds.
    """
    problems: list[str] = []
    sections = {f.name: f for f in dataclasses.fields(base)}
    merged: dict[str, Any] = {}
    for key, section_values in values.items():
        name = _snake(key)
        if name not in sections:
            problems.append(_unknown(key, sections))
        elif not isinstance(section_values, Mapping):
            problems.append(f"{key} must be a group of settings, not {section_values!r}.")
        else:
            merged[name] = _merge_section(key, getattr(base, name), section_values, problems)
    return dataclasses.replace(base, **merged), problems


def merge_strictly(base: Settings, values: Mapping[str, Any], source: str) -> Settings:
    """Lay `values` over `base` as `merge` does, but raise `SettingsError` naming `source` where one is bad."""
    settings, problems = merge(base, values)
    if problems:
        raise SettingsError(" ".join([f"{source}:", *problems]))
    return settings


def read_file(path: Path, base: Settings) -> Settings:
    """Lay the TOML file at `path` over `base`; raises `SettingsError` if it cannot be read or used."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from error
    return merge_strictly(base, values, str(path))


def assignment(text: str) -> dict[str, Any]:
    """Read `section.name=value`, the value as TOML writes it or else as plain text, into nested values."""
    path, equals, raw = text.partition("=")
    section, dot, name = path.strip().partition(".")
    if not (equals and dot and section and name):
        raise SettingsError(f"--set {text} must look like --set generation.maxTokens=32.")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        value = raw.strip()
    return {section: {name: value}}


def as_values(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the settings as JSON: nested camelCase values, as `merge` reads them, with text for each key of a map."""
    values: dict[str, dict[str, Any]] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return {section: {camel(name): value for name, value in held.items()} for section, held in values.items()}


def of_engine(settings: Settings) -> Settings:
    """Return the settings that an engine is opened by: a change of them opens another engine."""
    return with_engine_of(Settings(), settings)


def with_engine_of(settings: Settings, other: Settings) -> Settings:
    """Return `settings` with the engine's settings of `other`."""
    return dataclasses.replace(settings, model=other.model, engine=other.engine, remote=other.remote)


def uncounted(settings: Settings) -> Settings:
    """Return the settings without statistics: nobody types in front of a server."""
    return dataclasses.replace(settings, statistics=StatisticsSettings(enabled=False))


def all_settings() -> Iterator[SettingInfo]:
    """Every setting, in the order of the classes above."""
    for section in dataclasses.fields(Settings):
        section_type = typing.cast("type[ModelSettings]", section.type)
        for name, kind in typing.get_type_hints(section_type).items():
            declared = section_type.__dataclass_fields__[name]
            yield SettingInfo(
                name=f"{section.name}.{camel(name)}",
                type=declared.metadata["json"] or kind,
                default=declared.default,
                sentence=declared.metadata["sentence"],
                scope=declared.metadata["scope"],
                trusted=declared.metadata["trusted"],
                limits=declared.metadata["limits"],
            )


def camel(name: str) -> str:
    """Turn snake_case into camelCase."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _snake(name: str) -> str:
    return "".join(f"_{character.lower()}" if character.isupper() else character for character in name)


def _merge_section(key: str, base: Any, values: Mapping[str, Any], problems: list[str]) -> Any:
    fields = {f.name: f for f in dataclasses.fields(base)}
    kinds = typing.get_type_hints(type(base))
    merged: dict[str, Any] = {}
    for setting_key, value in values.items():
        name, path = _snake(setting_key), f"{key}.{setting_key}"
        if value is None:  # what editors send for a setting that the user left alone
            continue
        if name == "trust_remote_code":
            problems.append(f"{path} does not exist: Shardline never runs code that comes with a model.")
        elif name not in fields:
            problems.append(_unknown(path, [f"{key}.{camel(known)}" for known in fields]))
        else:
            about, held = fields[name].metadata, getattr(base, name)
            try:
                checked = check(value, about["json"] or kinds[name], about["limits"])
            except BadValueError as error:
                problems.append(f"{path} must be {error}, not {value!r}; {held!r} holds.")
                continue
            try:
                merged[name] = about["parse"](checked) if about["parse"] else checked
            except BadValueError as error:
                problems.append(f"{path}: {error}. {held!r} holds.")
    return dataclasses.replace(base, **merged)


def _unknown(path: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(path, [camel(name) for name in known], n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"There is no setting {path}{hint}"
