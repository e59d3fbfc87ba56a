"""Rules for where suggestions are allowed."""

from shardline.completion import Source, paths
from shardline.completion.code import excerpt
from shardline.completion.code.syntax import kind_at_cursor
from shardline.settings import CompletionSettings


def objection(source: Source, options: CompletionSettings, *, by_hand: bool, deleted: bool) -> str | None:
    """Return why nothing is suggested here, as a sentence that names the setting to change, or None.

    `deleted` says that the last change only deleted text.
    """
    if options.trigger == "off":
        return "completion.trigger is off."
    if options.trigger == "manual" and not by_hand:
        return "completion.trigger is manual, and this was not asked for by hand."
    if why := _of_document(source, options):
        return why
    if deleted and not (options.after_deletion or by_hand):
        return "Something was deleted, and completion.afterDeletion is off."
    return _of_cursor(source, options)


def _of_document(source: Source, options: CompletionSettings) -> str | None:
    if source.language in options.exclude_languages:
        return f"completion.excludeLanguages has {source.language}."
    scheme, _, address = source.document.partition(":")
    if scheme.lower() in options.exclude_schemes:
        return f"completion.excludeSchemes has {scheme.lower()}."
    secrets = (paths.match_secret(path, options.secret_paths) for path in paths.paths_of(address))
    if pattern := next(filter(None, secrets), None):
        return f"The file may hold secrets: completion.secretPaths has {pattern}."
    if pattern := paths.match(paths.path_of(address), options.exclude_paths):
        return f"completion.excludePaths has {pattern}."
    max_characters = options.max_document_characters
    characters = sum(map(len, source.lines)) if source.characters is None else source.characters
    if characters > max_characters:
        return f"The document has more than completion.maxDocumentCharacters, {max_characters}."
    return None


def _of_cursor(source: Source, options: CompletionSettings) -> str | None:
    if options.in_strings and options.in_comments:
        return None
    before, after = excerpt.window(source)
    kind = kind_at_cursor(before, after, source.language)
    if kind == "comment" and not options.in_comments:
        return "The cursor stands in a comment, and completion.inComments is off."
    if kind == "string" and not options.in_strings:
        return "The cursor stands in a string, and completion.inStrings is off."
    return None
