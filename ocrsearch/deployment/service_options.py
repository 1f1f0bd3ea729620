"""Options of the web service: limits for requests, and origins of other web pages.

The command line builds its options from the declarations here, so the module loads nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ocrsearch.core import OptionError, documented, option

PANEL = "Limits"


@documented
@dataclass(frozen=True)
class ServiceOptions:
    """Limits of the web service.

    Raises:
        OptionError: a value is out of range, or two limits contradict each other.
    """

    max_request_mb: float = option(
        16.0, "Maximum size of a request in megabytes.", PANEL, metavar="MB", gt=0, le=512
    )
    max_images: int = option(
        64, "Maximum number of images per request.", PANEL, metavar="N", ge=1, le=1000
    )
    max_megapixels: float = option(
        16.0, "Maximum size of an image in megapixels.", PANEL, metavar="MP", gt=0, le=64
    )
    request_timeout: float = option(
        30.0,
        "Maximum duration of a request in seconds, from its first byte to the answer.",
        PANEL,
        metavar="SECONDS",
        gt=0,
        le=3600,
    )
    max_waiting: int = option(
        256,
        "Maximum number of requests in progress, and of images that wait for the model. Above it "
        "the answer is 503.",
        PANEL,
        metavar="N",
        ge=1,
        le=100_000,
    )
    max_batch: int = option(
        32,
        "Maximum number of waiting images to recognise together.",
        PANEL,
        metavar="N",
        ge=1,
        le=256,
    )
    allow_origin: str = option(
        "",
        "Origins of other web pages whose scripts may use the service, such as "
        "https://example.org, separated by commas; * for all.",
        PANEL,
        metavar="ORIGIN,...",
        shown="none",
    )

    def __post_init__(self) -> None:
        from ocrsearch.core import checked_values

        for name, value in checked_values(self).items():
            object.__setattr__(self, name, value)
        if self.max_images > self.max_waiting:
            problem = f"must be at most `max_waiting`, {self.max_waiting}, got {self.max_images}"
            raise OptionError(problem, "max_images")
        for origin in self.origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                problem = f"must begin with http:// or https://, got {origin!r}"
                raise OptionError(problem, "allow_origin")

    @property
    def origins(self) -> tuple[str, ...]:
        """Allowed origins of other web pages, without trailing slashes."""
        parts = (part.strip().rstrip("/") for part in self.allow_origin.split(","))
        return tuple(part for part in parts if part)


class ServiceArguments(TypedDict, total=False):
    """The fields of ``ServiceOptions`` as arguments by name."""

    max_request_mb: float
    max_images: int
    max_megapixels: float
    request_timeout: float
    max_waiting: int
    max_batch: int
    allow_origin: str
