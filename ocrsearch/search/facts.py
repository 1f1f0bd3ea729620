"""Facts of a study: the space, the data and the options that it began with, and its id.

They are stored in the database with the study. A study without them is another program's.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.study import StudyDirection

from ocrsearch.data.options import DataOptions
from ocrsearch.errors import StudyError
from ocrsearch.search.records import facts_problem, shown

FACTS = "facts"
"""User attribute of a study."""

FACTS_VERSION = 2
"""1: no id."""


class ForeignStudyError(StudyError):
    """A study that ocrsearch did not make."""


def new_id() -> str:
    """Return a random id for a study."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class StudyFacts:
    """Facts of a study, compared when the study is resumed.

    Attributes:
        space_name: name of the space file.
        space: content of the space.
        data_spec: specification of the data, as the user gave it last.
        data_fingerprint: hash of the samples.
        n_samples: number of samples by split.
        data_options: options by which the data is read and split.
        seed: seed of the search.
        init: hash of the weights that the trials start from, None without any.
        objective: names of the objectives.
        id: random id, which everything in the folder of the study carries.
        version: version of these facts.
        data_place: specification of the data with an absolute path.
        search: settings of the search.
        folds: number of folds by which configurations are validated, 1 for the validation split.
        constraints: limits of a network.
    """

    space_name: str
    space: dict[str, Any]
    data_spec: str
    data_fingerprint: str
    n_samples: dict[str, int]
    data_options: dict[str, Any]
    seed: int
    init: str | None = None
    objective: tuple[str, ...] = ("cer",)
    id: str = field(default_factory=new_id)
    version: int = FACTS_VERSION
    data_place: str = ""
    search: dict[str, Any] | None = None
    folds: int = 1
    constraints: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are when they come back from the database."""
        content: dict[str, Any] = json.loads(json.dumps(self.__dict__))
        return content


def study_facts(study: optuna.Study) -> dict[str, Any]:
    """Return the facts of a study, checked.

    Raises:
        ForeignStudyError: another program made the study.
        StudyError: the facts are damaged, or a newer ocrsearch wrote them.
    """
    return checked_facts(study.study_name, study.directions, study.user_attrs)


def checked_facts(
    name: str, directions: list[StudyDirection], user_attrs: dict[str, Any]
) -> dict[str, Any]:
    """Return the facts among the attributes of a study; see ``study_facts``."""
    if reason := foreign_reason(directions, has_facts=FACTS in user_attrs):
        raise ForeignStudyError(
            f"study {name!r}: not a study of ocrsearch ({reason}); give --study another name"
        )
    facts = user_attrs[FACTS]
    version = facts.get("version", 1) if isinstance(facts, dict) else 1
    if isinstance(version, int) and version > FACTS_VERSION:
        raise StudyError(
            f"study {name!r}: a newer ocrsearch wrote it (facts of version {shown(version)}, this "
            f"program reads {FACTS_VERSION}); update ocrsearch, or give --study another name"
        )
    if problem := facts_problem(facts, len(directions), DataOptions.from_dict):
        raise StudyError(
            f"study {name!r}: its facts in the database are damaged ({problem}); restore the "
            "database from a backup, or give --study another name"
        )
    return dict(facts)


def foreign_reason(directions: list[StudyDirection], *, has_facts: bool) -> str:
    """Return why a study cannot be one of ocrsearch's, empty if it can."""
    reasons = [] if has_facts else ["it has no facts"]
    if StudyDirection.MAXIMIZE in directions:
        reasons.append("it maximises")
    elif any(direction != StudyDirection.MINIMIZE for direction in directions) or not directions:
        reasons.append("it has no direction")
    return " and ".join(reasons)
