"""Models of the hub: where a fetched one lies, whether the hub answers, and what its answers mean."""

import time
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers.utils.hub import is_offline_mode

from vqa_core.files import InputError

_WAIT_S = 8  # for one answer of the hub
_PAUSE_S = 1.0  # before it is asked once more
# what transformers writes where it does not pass the hub's own error on
_SAID = {
    "gated": ("gated repo",),
    "unknown": ("is not a valid model identifier", "Repository Not Found"),
    "revision": ("is not a valid git identifier", "Revision Not Found"),
    "unreachable": ("couldn't connect to", "Connection error", "outgoing traffic has been disabled"),
}


def snapshot_of(hub_id: str, revision: str | None) -> Path | None:
    """The folder where the hub's files of a model lie on this machine; None where none was fetched."""
    cache = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"
    reference = cache / "refs" / (revision or "main")
    try:
        commit = reference.read_text().strip() if reference.is_file() else revision or ""
    except OSError:
        return None
    folder = cache / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def check_reachable(what: str, hub_id: str, revision: str | None) -> None:
    """An InputError at once where the hub can't be reached, has no such model, or does not give it to us.

    transformers would ask several times, for minutes, and then say less. What is on this machine already, or is not to
    be fetched (HF_HUB_OFFLINE), needs no question.
    """
    if is_offline_mode() or snapshot_of(hub_id, revision):
        return
    url = hf_hub_url(hub_id, "config.json", revision=revision)
    error = _ask(url)
    if error and _kind_of(error) == "unreachable":
        time.sleep(_PAUSE_S)
        error = _ask(url)
    if error and (refusal := hub_refusal(what, hub_id, revision, error)):  # from_pretrained will say the others
        raise refusal from error


def _ask(url: str) -> Exception | None:
    """The error that the hub, the HTTP client or a socket answers with; None for an answer."""
    try:
        get_hf_file_metadata(url, timeout=_WAIT_S)
    except EntryNotFoundError:  # the hub has the model, without that file
        return None
    except Exception as error:
        return error
    return None


def hub_refusal(what: str, hub_id: str, revision: str | None, error: Exception) -> InputError | None:
    """The InputError for an error of the hub, or one that it led to; None for an error of another kind."""
    page = f"{constants.ENDPOINT}/{hub_id}"
    kind = _kind_of(error)
    if kind == "gated":
        return InputError(
            f"The {what} '{hub_id}' is given only to those who asked for it. Ask on {page}, then set HF_TOKEN to your "
            "token of the hub, or log in with `hf auth login`."
        )
    if kind == "unknown":
        return InputError(
            f"The {what} '{hub_id}' is no folder here, and the hub has no model of that name that it shows you. Check "
            "the spelling; for a private model set HF_TOKEN to a token that may read it."
        )
    if kind == "revision":
        return InputError(
            f"The {what} '{hub_id}' has no revision {revision or 'main'!r}. --revision takes a branch, a tag or a "
            f"commit; {page}/tree/main lists them."
        )
    if kind == "busy":
        return InputError(
            f"The {what} '{hub_id}' can't be fetched now: the hub answers {_first_line(error)!r}. Try again later, set "
            "HF_TOKEN for a higher limit, or give the folder of a copy."
        )
    if kind == "unreachable" and not is_offline_mode():
        return InputError(
            f"The {what} '{hub_id}' is not on this machine, and the hub can't be reached ({_first_line(error)}). Give "
            f"the folder of a copy, or fetch it where there is a network with `hf download {hub_id} --local-dir DIR` "
            "and give DIR."
        )
    return None


def _kind_of(error: Exception) -> str:
    for each in _chain(error):
        if isinstance(each, GatedRepoError):
            return "gated"
        if isinstance(each, RepositoryNotFoundError):
            return "unknown"
        if isinstance(each, RevisionNotFoundError):
            return "revision"
        if isinstance(each, HfHubHTTPError):
            status = getattr(each.response, "status_code", 0)
            if status in (401, 403):
                return "gated"
            if status == 429 or status >= 500:
                return "busy"
    text = str(error)
    for kind, phrases in _SAID.items():
        if any(phrase in text for phrase in phrases):
            return kind
    lost = (LocalEntryNotFoundError, ConnectionError, TimeoutError)
    if any(isinstance(each, lost) or _is_transport(each) for each in _chain(error)):
        return "unreachable"
    return ""


def _is_transport(error: BaseException) -> bool:
    """Whether the HTTP client did not get through: no route, no name, no certificate, no answer in time."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"TransportError", "gaierror", "SSLError"})


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _first_line(error: Exception) -> str:
    deepest = list(_chain(error))[-1]
    return (str(deepest).strip() or type(deepest).__name__).splitlines()[0][:200]
