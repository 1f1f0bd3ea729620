"""Which folder belongs to a study: the database and the folder must agree before a search."""

from __future__ import annotations

from pathlib import Path

import optuna

from ocrsearch.search.facts import FACTS, study_facts
from ocrsearch.search.identity import (
    Identity,
    check_folder,
    claim_folder,
    refuse_unknown_trials,
)
from ocrsearch.search.study import ConfigurationStudy, check_ours, damaged_trials, exists


def refuse_foreign_folder(storage: optuna.storages.RDBStorage, name: str, folder: Path) -> None:
    """Refuse another program's study, and a folder that belongs to another study than its name's.

    Raises:
        StudyError: it is such a study or folder; or the study cannot be read.
    """
    study = ConfigurationStudy(name, storage) if exists(storage, name) else None
    if study is not None:
        check_ours(study)
    if study is None or FACTS not in study.user_attrs:
        check_folder(folder, name, None)
        refuse_unknown_trials(folder, name, 0)
    else:
        check_folder(folder, name, study_facts(study).get("id"))


def claim_study_folder(study: optuna.Study, folder: Path, database: str) -> Identity:
    """Make a folder the study's; see ``claim_folder``.

    Args:
        study: opened, with facts.
        folder: folder of the study.
        database: name of the database.
    """
    identity = Identity(id=study_facts(study)["id"], study=study.study_name, database=database)
    stored = study._storage.get_all_trials(study._study_id, deepcopy=False)
    numbers = [t.number for t in stored] + [d.number for d in damaged_trials(study).values()]
    claim_folder(folder, identity, 1 + max(numbers, default=-1))
    return identity
