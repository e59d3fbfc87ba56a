"""Dynamic registration of completions while a model is ready."""

import logging
from concurrent.futures import Future
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

TRIGGERS = [".", "(", "[", "=", ":", " ", "\n"]
"""Characters after which clients request a pop-up, besides those of words."""

COMPLETION = types.CompletionOptions(trigger_characters=TRIGGERS)
INLINE_COMPLETION = types.InlineCompletionOptions()

log = logging.getLogger(__name__)


def offers_for(client: types.ClientCapabilities) -> dict[str, Any]:
    """Return the options of each method that this client can register at any time."""
    document = client.text_document or types.TextDocumentClientCapabilities()
    offers: dict[str, Any] = {}
    if document.completion and document.completion.dynamic_registration:
        offers[types.TEXT_DOCUMENT_COMPLETION] = types.CompletionRegistrationOptions(
            trigger_characters=COMPLETION.trigger_characters
        )
    if document.inline_completion and document.inline_completion.dynamic_registration:
        offers[types.TEXT_DOCUMENT_INLINE_COMPLETION] = types.InlineCompletionRegistrationOptions()
    return offers


def keep_back(capabilities: types.ServerCapabilities, client: types.ClientCapabilities) -> None:
    """Remove from `capabilities` what this client can register later, and ghost text that it does not declare.

    A client without ghost text may request no pop-ups if the server announces it.
    """
    offers = offers_for(client)
    if types.TEXT_DOCUMENT_COMPLETION in offers:
        capabilities.completion_provider = None
    declared = client.text_document and client.text_document.inline_completion
    if not declared or types.TEXT_DOCUMENT_INLINE_COMPLETION in offers:
        capabilities.inline_completion_provider = None


class Registrations:
    """The client's dynamic registrations; its answers are not awaited, as messages arrive in order."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._offered = False

    def offer(self, offered: bool) -> None:
        """Register or unregister completions, unless that is done already."""
        if offered == self._offered:
            return
        self._offered = offered
        for method, options in offers_for(self._server.client_capabilities).items():
            name = f"shardline/{method}"
            if offered:
                registration = types.Registration(name, method, options)
                answer = self._server.client_register_capability(types.RegistrationParams([registration]))
            else:
                unregistration = types.Unregistration(name, method)
                answer = self._server.client_unregister_capability(types.UnregistrationParams([unregistration]))
            answer.add_done_callback(_log_refusal)


def _log_refusal(answer: "Future[None]") -> None:
    if not answer.cancelled() and (error := answer.exception()):
        log.warning("The client refuses dynamic registration of completions (%s).", type(error).__name__)
