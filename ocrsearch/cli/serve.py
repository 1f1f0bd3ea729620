"""``ocrsearch serve``: a model as a web service."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from ocrsearch.cli.options import (
    Device,
    DeviceOption,
    ModelFile,
    takes_decoding_options,
    takes_service_options,
)
from ocrsearch.cli.output import echo, note
from ocrsearch.core import OptionError, extra
from ocrsearch.deployment import ServiceArguments
from ocrsearch.inference import DecodingArguments

LOOPBACK = "127.0.0.1"


@takes_service_options
@takes_decoding_options
def serve(
    model: ModelFile,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")
    ] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on. The default is for this machine only.")
    ] = LOOPBACK,
    device: DeviceOption = Device.auto,
    *,
    decoding: DecodingArguments,
    limits: ServiceArguments,
) -> None:
    """Recognise images that are sent over HTTP. The answer is JSON.

    Examples:
      ocrsearch serve model.pt
      ocrsearch serve model.pt --host 0.0.0.0 --port 80 --max-request-mb 4
    """
    try:
        from ocrsearch.deployment import (
            LOOPBACK_NAMES,
            address_of,
            build_app,
            is_loopback,
            listen,
            run_server,
        )
    except ImportError:
        raise OptionError(
            f"the web service is not installed; install it with: {extra('serve')}"
        ) from None
    from ocrsearch.deployment import ServiceOptions
    from ocrsearch.inference import DecodingOptions, load

    options = ServiceOptions(**limits)
    predictor = load(model, device.value, DecodingOptions(**decoding))
    hosts = LOOPBACK_NAMES | {host.lower()} if is_loopback(host) else None
    app = build_app(predictor, model.name, options, hosts)
    listening = listen(host, port)
    if hosts is None:
        note(
            f"warning: every machine that can reach {host} can use the service; it has neither "
            "passwords nor encryption"
        )
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        echo(f"{address_of(listening)} (end with Ctrl-C)")
        run_server(app, listening, options.request_timeout)
    finally:
        signal.signal(signal.SIGTERM, before)
