"""Languages with a grammar, by name and file suffix."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import PurePath

from tree_sitter import Language as TreeSitterLanguage

HASH, SLASHES = ("#",), ("//", "/*", "*")


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language with a grammar.

    The function `maker` in `module` returns the grammar. `texts` end strings and comments of several lines. `notes`
    begin a line that belongs to the one below it: a comment or a decorator.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    maker: str = "language"
    texts: tuple[str, ...] = ("*/",)
    notes: tuple[str, ...] = SLASHES

    @property
    def grammar(self) -> TreeSitterLanguage:
        """The grammar, loaded at first use."""
        return _grammar(self.module, self.maker)


@cache
def _grammar(module: str, maker: str) -> TreeSitterLanguage:
    return TreeSitterLanguage(getattr(import_module(module), maker)())


LANGUAGES = (
    Language(
        name="python", suffixes=(".py", ".pyi"), module="tree_sitter_python", texts=('"""', "'''"), notes=("#", "@")
    ),
    Language(
        name="javascript",
        suffixes=(".js", ".mjs", ".cjs"),
        module="tree_sitter_javascript",
        texts=("`", "*/"),
        notes=(*SLASHES, "@"),
    ),
    Language(
        name="javascriptreact",
        suffixes=(".jsx",),
        module="tree_sitter_javascript",
        texts=("`", "*/"),
        notes=(*SLASHES, "@"),
    ),
    Language(
        name="typescript",
        suffixes=(".ts", ".mts", ".cts"),
        module="tree_sitter_typescript",
        maker="language_typescript",
        texts=("`", "*/"),
        notes=(*SLASHES, "@"),
    ),
    Language(
        name="typescriptreact",
        suffixes=(".tsx",),
        module="tree_sitter_typescript",
        maker="language_tsx",
        texts=("`", "*/"),
        notes=(*SLASHES, "@"),
    ),
    Language(name="java", suffixes=(".java",), module="tree_sitter_java", texts=('"""', "*/"), notes=(*SLASHES, "@")),
    Language(name="c", suffixes=(".c", ".h"), module="tree_sitter_c"),
    Language(name="cpp", suffixes=(".cpp", ".cc", ".cxx", ".hpp", ".hh"), module="tree_sitter_cpp"),
    Language(
        name="csharp",
        suffixes=(".cs",),
        module="tree_sitter_c_sharp",
        texts=('"""', '"', "*/"),
        notes=(*SLASHES, "["),
    ),
    Language(name="go", suffixes=(".go",), module="tree_sitter_go", texts=("`", "*/")),
    Language(
        name="rust", suffixes=(".rs",), module="tree_sitter_rust", texts=('"', '"#', "*/"), notes=(*SLASHES, "#[")
    ),
    Language(name="ruby", suffixes=(".rb",), module="tree_sitter_ruby", texts=('"', "'", "\n=end"), notes=HASH),
    Language(
        name="php",
        suffixes=(".php",),
        module="tree_sitter_php",
        maker="language_php_only",
        texts=('"', "'", "*/"),
        notes=(*SLASHES, "#"),
    ),
    Language(name="shellscript", suffixes=(".sh", ".bash"), module="tree_sitter_bash", texts=('"', "'"), notes=HASH),
    Language(name="lua", suffixes=(".lua",), module="tree_sitter_lua", texts=("]]", "]=]", "]==]"), notes=("--",)),
    Language(name="css", suffixes=(".css",), module="tree_sitter_css"),
    Language(name="json", suffixes=(".json",), module="tree_sitter_json", texts=(), notes=()),
)

_BY_NAME = {language.name: language for language in LANGUAGES} | {
    other: language
    for language in LANGUAGES
    for other, name in {
        "sh": "shellscript",
        "bash": "shellscript",
        "zsh": "shellscript",
        "jsonc": "json",
        "cs": "csharp",
    }.items()
    if language.name == name
}
_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}


def language(name: str) -> Language | None:
    """Return the language that editors call `name`, or None without a grammar."""
    return _BY_NAME.get(name.lower())


def name_of(path: PurePath) -> str:
    """Return the editors' name for the language of a file, or the suffix of an unknown one."""
    known = _BY_SUFFIX.get(path.suffix.lower())
    return known.name if known else path.suffix[1:].lower()
