"""Runs for TensorBoard: a folder with event files for each trial, in a folder for the study.

TensorBoard shows each folder as a run, and compares the runs in its HPARAMS tab. The event files
are read first, so that only events that they lack are added. The end of each file name is the id of
the study; files of other programs and of other studies are not touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from ocrsearch.core import OptionError, extra
from ocrsearch.reports.runs import Logged, Run, RunLog
from ocrsearch.training import trial_folder

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

OPTION = "tensorboard"
TEXT = "trial"
"""Tag of the text with the state of the trial."""

FIRST = 0
"""Step of what does not change with the epochs: parameters and figures of the network."""


class TensorBoardRuns(RunLog):
    """Runs of a study in event files of TensorBoard."""

    def __init__(self, folder: Path, study: str, study_id: str) -> None:
        """Open a log, and create its folder if needed.

        Args:
            folder: folder for TensorBoard, which may have the logs of several studies.
            study: name of the study.
            study_id: id of the study.

        Raises:
            OptionError: TensorBoard is not installed, the folder cannot be written, or another
                process is writing to it.
        """
        try:
            import tensorboard.summary.writer.event_file_writer  # noqa: F401
        except ImportError:
            raise OptionError(
                f"TensorBoard is not installed; install it with: {extra('tensorboard')}", OPTION
            ) from None
        self._folder, self._end = folder / study, f".{study_id[:16]}"
        self._written: dict[int, _Written] = {}
        self._writers: dict[int, EventFileWriter] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._folder / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OptionError(
                f"{self._folder}: another process is writing this log; wait for it to end", OPTION
            ) from None
        except OSError as error:
            raise self._problem(error) from None

    def update(self, runs: Sequence[Run]) -> Logged:
        """Write the events that the files lack."""
        n_new = n_updated = n_epochs = 0
        for run in runs:
            try:
                written = self._written.get(run.number) or self._read(run.number)
                is_new, n_before = not written.has_params, written.n_epochs
                events = list(written.missing(run))
                for event in events:
                    self._writer(run.number).add_event(event)
                    written.take(event)
                if events:
                    self._writers[run.number].flush()
                if run.state != "unfinished" and run.number in self._writers:
                    self._writers.pop(run.number).close()  # there may be hundreds of paused trials
            except OSError as error:
                raise self._problem(error) from None
            self._written[run.number] = written
            n_new += is_new
            n_updated += bool(events) and not is_new
            n_epochs += max(0, written.n_epochs - n_before)
        return Logged(str(self._folder), len(runs), n_new, n_updated, n_epochs)

    def close(self) -> None:
        """Close all event files."""
        try:
            for writer in self._writers.values():
                writer.close()
        except OSError as error:
            raise self._problem(error) from None
        finally:
            self._writers.clear()
            self._lock.release()

    def _problem(self, error: OSError) -> OptionError:
        reason = error.strerror or error
        return OptionError(f"{self._folder}: cannot be written ({reason})", OPTION)

    def _writer(self, number: int) -> EventFileWriter:
        """Return the open event file of a trial. Each process adds a file of its own."""
        if number not in self._writers:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            folder = str(trial_folder(self._folder, number))
            self._writers[number] = EventFileWriter(folder, filename_suffix=self._end)
        return self._writers[number]

    def _read(self, number: int) -> _Written:
        """Return the content of the event files of a trial.

        Raises:
            OptionError: the folder has event files of another study or program.
        """
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        written, folder = _Written(), trial_folder(self._folder, number)
        for path in sorted(folder.glob("*tfevents*")):
            if not path.name.endswith(self._end):
                raise OptionError(
                    f"{folder}: has the log of another study or program; give another folder",
                    OPTION,
                )
            for event in LegacyEventFileLoader(str(path)).Load():
                written.take(event)
        return written


@dataclass
class _Written:
    """Content of the event files of a trial.

    Attributes:
        has_params: whether they have the parameters.
        has_end: whether they have the end of the trial.
        values: values by step and tag, in single precision as TensorBoard stores them.
        text: latest text about the trial.
    """

    has_params: bool = False
    has_end: bool = False
    values: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    text: str = ""

    @property
    def n_epochs(self) -> int:
        """Number of epochs with values."""
        return sum(step != FIRST for step in self.values)

    def take(self, event: Event) -> None:
        """Note the content of an event that is in a file."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.plugins.hparams import metadata

        if event.session_log.status == SessionLog.START:
            for step in [step for step in self.values if step >= event.step]:
                del self.values[step]
            self.text = ""
        for value in event.summary.value:
            if value.HasField("simple_value"):
                self.values[event.step][value.tag] = value.simple_value
            elif value.tag == metadata.SESSION_START_INFO_TAG:
                self.has_params = True
            elif value.tag == metadata.SESSION_END_INFO_TAG:
                self.has_end = True
            elif value.tag == TEXT:
                self.text = value.tensor.string_val[0].decode()

    def missing(self, run: Run) -> Sequence[Event]:
        """Return the events of a run that are not in the files, in the order of their steps.

        If the trial was trained again from an earlier epoch, an event tells TensorBoard to forget
        the former values.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        events, last = [], len(run.points)
        if not self.has_params:
            events.append(Event(step=FIRST, wall_time=run.began, summary=_params_summary(run)))
        steps = [(FIRST, run.latest, _singles(run.figures))]
        steps += [(point.epoch, point.time, _singles(point.values)) for point in run.points]
        outdated = self._outdated({step: values for step, _, values in steps[1:]})
        if outdated is not None:
            start = SessionLog(status=SessionLog.START)
            events.append(Event(step=outdated, wall_time=run.latest, session_log=start))
        for step, time, values in steps:
            known = self.values.get(step, {}) if outdated is None or step < outdated else {}
            lacking = {tag: value for tag, value in values.items() if known.get(tag) != value}
            if lacking:
                summary = Summary(
                    value=[Summary.Value(tag=t, simple_value=v) for t, v in lacking.items()]
                )
                events.append(Event(step=step, wall_time=time, summary=summary))
        text = _text(run)
        if text != self.text or outdated is not None:
            from tensorboard.plugins.text.summary_v2 import text_pb

            events.append(Event(step=last, wall_time=run.latest, summary=text_pb(TEXT, text)))
        if run.ended is not None and not self.has_end:
            events.append(Event(step=last, wall_time=run.ended, summary=_end_summary(run)))
        return events

    def _outdated(self, points: dict[int, dict[str, float]]) -> int | None:
        """Return the first epoch whose values differ from those of the run; None if all agree."""
        for step in sorted(self.values):
            now, known = points.get(step), self.values[step]
            differs = now is None or any(now.get(tag, v) != v for tag, v in known.items())
            if step != FIRST and differs:
                return step
        return None


def _singles(values: dict[str, float]) -> dict[str, float]:
    """Return values in single precision, in which TensorBoard stores them."""
    return {tag: float(np.float32(value)) for tag, value in values.items()}


def _text(run: Run) -> str:
    """Return the tags of a run as lines of Markdown."""
    return "\n".join(f"    {name}: {' '.join(text.split())}" for name, text in run.tags.items())


def _params_summary(run: Run) -> Any:
    """Return the summary from which the HPARAMS tab takes the parameters of a run."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    values = {path: "none" if v is None else v for path, v in run.params.items()}
    name = f"{run.tags['study']} {run.number}"  # runs of the same name would be averaged
    return hparams_pb(values, trial_id=name, start_time_secs=run.began)


def _end_summary(run: Run) -> Any:
    """Return the summary from which the HPARAMS tab takes the status of a run that has ended."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = Status.STATUS_FAILURE if run.state == "failed" else Status.STATUS_SUCCESS
    end = SessionEndInfo(status=status, end_time_secs=run.ended)
    summary = Summary()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(HParamsPluginData(session_end_info=end)),
        tensor=metadata.NULL_TENSOR,
    )
    return summary
