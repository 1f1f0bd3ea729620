"""The space that a study began with, kept in its facts with the settings of the search."""

from __future__ import annotations

import json

import optuna

from ocrsearch.errors import StudyError
from ocrsearch.search.facts import FACTS, study_facts
from ocrsearch.search.ready import ready_spaces
from ocrsearch.search.space import Space
from ocrsearch.search.space_reading import load_space, rebuild_space


def stored_space(study: optuna.Study) -> Space | None:
    """Return the space of a study; None if the study has no facts yet.

    Raises:
        StudyError: the facts are damaged, or an older version kept no settings of the search.
        SpaceError: the space in them is damaged.
    """
    if FACTS not in study.user_attrs:
        return None
    facts = study_facts(study)
    name, content = str(facts["space_name"]), facts["space"]
    if facts.get("search") is not None:
        return rebuild_space({**content, "search": facts["search"]}, name)
    if name in ready_spaces():
        ready = load_space(ready_spaces()[name])
        if json.loads(json.dumps(ready.content)) == content:
            return ready
    raise StudyError(
        f"study {study.study_name!r}: an older version began it with space {name!r} and kept no "
        "settings of its search; give that space again"
    )
