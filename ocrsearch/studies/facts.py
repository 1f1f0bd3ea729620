"""Facts of a study: its space, data, options and id, stored as a study user attribute.

A study without facts belongs to another program. ``study_facts`` returns checked, typed facts.
This module also checks study names. A study name is also the name of a folder, so it must be valid
on any operating system; letters of any script are allowed.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import optuna
from optuna.study import StudyDirection

from ocrsearch.core import OptionError, StudyError, current_options
from ocrsearch.data import DataOptions
from ocrsearch.spaces import Space, load_space, ready_spaces, rebuild_space
from ocrsearch.studies.records import StoredFacts, facts_problem, shown

MAX_BYTES = 255
"""Maximum length of a folder name, in UTF-8 bytes."""

MAX_DEFAULT_BYTES = 120
FALLBACK = "study"
PUNCTUATION = "._- "

RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{device}{i}" for device in ("com", "lpt") for i in "123456789¹²³"}
)
"""Device names that are reserved on Windows, with any extension."""


def check_study_name(name: str) -> str:
    """Check that a study name is valid for a folder, and return it in NFC.

    Raises:
        OptionError: the name is not valid.
    """
    name = unicodedata.normalize("NFC", name)
    if problem := name_problem(name):
        raise OptionError(f"{problem}, got {name!r}", "study")
    return name


def name_problem(name: str) -> str:
    """Return the reason why a name is not valid for a new study; empty if it is valid."""
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
        return "is a device name on Windows; use another name"
    if len(name.encode()) > MAX_BYTES:
        return f"takes {len(name.encode())} bytes, at most {MAX_BYTES} are allowed"
    return ""


def check_stored_name(name: str) -> str:
    """Check that a stored study name cannot lead out of the database folder, and return it.

    Raises:
        StudyError: the name is a path, or too long.
    """
    is_path = re.search(r"[/\\\0]", name) or name in (".", "..")
    if is_path or len(name.encode(errors="replace")) > MAX_BYTES:
        raise StudyError(
            f"study {name[:MAX_BYTES]!r}: the name is not valid for a folder; ocrsearch did not "
            "create this study"
        )
    return name


def default_study_name(*parts: str) -> str:
    """Join names to a valid study name, keeping letters and digits of any script."""
    joined = unicodedata.normalize("NFC", "-".join(parts))
    kept = "".join(c if _is_allowed(c) and c != " " else "-" for c in joined)
    name = re.sub("-+", "-", kept).strip(PUNCTUATION) or FALLBACK
    if len(name.encode()) > MAX_DEFAULT_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        begin = name.encode()[: MAX_DEFAULT_BYTES - 9].decode(errors="ignore").rstrip(PUNCTUATION)
        name = f"{begin}-{digest}"
    return name if not name_problem(name) else f"{FALLBACK}-{name}"


def _is_word(character: str) -> bool:
    """Return whether a character is a letter, digit or combining mark of any script."""
    return unicodedata.category(character)[0] in "LMN"


def _is_allowed(character: str) -> bool:
    return character in PUNCTUATION or _is_word(character)


FACTS = "facts"
"""Study user attribute with the facts."""

FACTS_VERSION = 3
"""Version of the facts. Version 1 has no id, version 2 has former names of keys and options."""


class ForeignStudyError(StudyError):
    """Raised for a study of another program."""


def new_id() -> str:
    """Return a random id for a study."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class StudyFacts:
    """Facts of a study, compared when the study is resumed.

    Attributes:
        space_name: name of the space file.
        space: content of the space.
        data_spec: specification of the dataset, as last given by the user.
        data_fingerprint: hash of the samples.
        n_samples: number of samples by split.
        data_options: options to read and split the data.
        seed: seed of the search.
        init: hash of the pretrained weights; None without them.
        objective: names of the objectives.
        id: random id, stored in every file in the folder of the study; empty in version 1.
        version: version of these facts; 1 if they have no id.
        data_place: specification of the dataset with an absolute path; empty in older facts.
        search: settings of the search; None in older facts.
        folds: number of cross-validation folds; 1 for a fixed validation split.
        constraints: limits for networks.
    """

    space_name: str
    space: dict[str, object]
    data_spec: str
    data_fingerprint: str
    n_samples: dict[str, int]
    data_options: dict[str, object]
    seed: int
    init: str | None = None
    objective: tuple[str, ...] = ("cer",)
    id: str = field(default_factory=new_id)
    version: int = FACTS_VERSION
    data_place: str = ""
    search: dict[str, object] | None = None
    folds: int = 1
    constraints: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_plain(cls, values: dict[str, object]) -> StudyFacts:
        """Build facts from stored values.

        Raises:
            ValueError: a value is missing or invalid; see ``facts_problem``.
        """
        stored = StoredFacts.model_validate(values)
        place = values.get("data_place", "")
        options = {option.name for option in fields(DataOptions)}
        known = {name: getattr(stored, name) for name in StoredFacts.model_fields}
        return cls(
            **{
                **known,
                "data_options": current_options(stored.data_options, options),
                "id": stored.id or "",
                "objective": tuple(stored.objective),
                "data_place": place if isinstance(place, str) else "",
            }
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain values, in the form in which the database returns them."""
        content: dict[str, object] = json.loads(json.dumps(self.__dict__))
        return content

    def options(self) -> DataOptions:
        """Return the options by which the data is read and split."""
        return DataOptions.from_dict(self.data_options)


def study_facts(study: optuna.Study) -> StudyFacts:
    """Return the facts of a study, checked.

    Raises:
        ForeignStudyError: another program made the study.
        StudyError: the facts are damaged, or a newer ocrsearch wrote them.
    """
    return checked_facts(study.study_name, study.directions, study.user_attrs)


def checked_facts(
    name: str, directions: list[StudyDirection], user_attrs: Mapping[str, Any]
) -> StudyFacts:
    """Return the facts among the attributes of a study; see ``study_facts``."""
    if reason := foreign_reason(directions, has_facts=FACTS in user_attrs):
        raise ForeignStudyError(
            f"study {name!r}: not a study of ocrsearch ({reason}); give `study` another name"
        )
    facts = user_attrs[FACTS]
    version = facts.get("version", 1) if isinstance(facts, dict) else 1
    if isinstance(version, int) and version > FACTS_VERSION:
        raise StudyError(
            f"study {name!r}: a newer ocrsearch wrote it (facts of version {shown(version)}, this "
            f"program reads {FACTS_VERSION}); update ocrsearch, or give `study` another name"
        )
    if problem := facts_problem(facts, len(directions), DataOptions.from_dict):
        raise StudyError(
            f"study {name!r}: its facts in the database are damaged ({problem}); restore the "
            "database from a backup, or give `study` another name"
        )
    return StudyFacts.from_plain(facts)


def foreign_reason(directions: list[StudyDirection], *, has_facts: bool) -> str:
    """Return the reason why a study belongs to another program; empty if it does not."""
    reasons = [] if has_facts else ["it has no facts"]
    if StudyDirection.MAXIMIZE in directions:
        reasons.append("it maximises")
    elif any(direction != StudyDirection.MINIMIZE for direction in directions) or not directions:
        reasons.append("it has no direction")
    return " and ".join(reasons)


def stored_space(study: optuna.Study) -> Space | None:
    """Return the space of a study; None if the study has no facts yet.

    Raises:
        StudyError: the facts are damaged, or an older version did not store the search settings.
        SpaceError: the stored space is damaged.
    """
    if FACTS not in study.user_attrs:
        return None
    facts = study_facts(study)
    name, content = facts.space_name, facts.space
    if facts.search is not None:
        return rebuild_space({**content, "search": facts.search}, name)
    if name in ready_spaces():
        ready = load_space(ready_spaces()[name])
        if json.loads(json.dumps(ready.content)) == content:
            return ready
    raise StudyError(
        f"study {study.study_name!r}: created by an older version with space {name!r}, without "
        "its search settings; give that space again"
    )
