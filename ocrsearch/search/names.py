"""Names of studies: each is the name of a folder too, on any system and in any script."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ocrsearch.errors import OptionError, StudyError

MAX_BYTES = 255
"""Longest name of a folder, in bytes of UTF-8."""

MAX_DEFAULT_BYTES = 120
FALLBACK = "study"
PUNCTUATION = "._- "

RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{device}{i}" for device in ("com", "lpt") for i in "123456789¹²³"}
)
"""Names that Windows keeps for devices, whatever follows a point."""


def check_study_name(name: str) -> str:
    """Return a name in Unicode's normal form C, if it can be a folder's.

    Raises:
        OptionError: it cannot.
    """
    name = unicodedata.normalize("NFC", name)
    if problem := name_problem(name):
        raise OptionError(f"{problem}, got {name!r}", "study")
    return name


def name_problem(name: str) -> str:
    """Return why a new study cannot have a name, empty if it can."""
    allowed = "use letters and digits of any script, '.', '_', '-' and spaces"
    if not name:
        return f"is empty; {allowed}"
    if wrong := [c for c in name if not _is_allowed(c)]:
        return f"found {wrong[0]!r}; {allowed}"
    if not (name[0] == "_" or _is_word(name[0])):
        return "must begin with a letter or a digit"
    if name[-1] in ". ":
        return "must not end with a point or a space"
    if name.partition(".")[0].strip().casefold() in RESERVED:
        return "is a device's name on Windows; use another"
    if len(name.encode()) > MAX_BYTES:
        return f"takes {len(name.encode())} bytes, at most {MAX_BYTES} are allowed"
    return ""


def check_stored_name(name: str) -> str:
    """Return the name of a study in a database, if its folder is within the database's.

    Raises:
        StudyError: it is a path.
    """
    is_path = re.search(r"[/\\\0]", name) or name in (".", "..")
    if is_path or len(name.encode(errors="replace")) > MAX_BYTES:
        raise StudyError(
            f"study {name[:MAX_BYTES]!r}: its name cannot be a folder's; ocrsearch did not make it"
        )
    return name


def default_study_name(*parts: str) -> str:
    """Return a name made of others, of which it keeps letters and digits of any script."""
    joined = unicodedata.normalize("NFC", "-".join(parts))
    kept = "".join(c if _is_allowed(c) and c != " " else "-" for c in joined)
    name = re.sub("-+", "-", kept).strip(PUNCTUATION) or FALLBACK
    if len(name.encode()) > MAX_DEFAULT_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        begin = name.encode()[: MAX_DEFAULT_BYTES - 9].decode(errors="ignore").rstrip(PUNCTUATION)
        name = f"{begin}-{digest}"
    return name if not name_problem(name) else f"{FALLBACK}-{name}"


def _is_word(character: str) -> bool:
    """Whether a character is a letter, a digit, or an accent of some script."""
    return unicodedata.category(character)[0] in "LMN"


def _is_allowed(character: str) -> bool:
    return character in PUNCTUATION or _is_word(character)
