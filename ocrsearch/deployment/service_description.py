"""Description of the web service: its page for people, and the body of requests in OpenAPI.

The page needs nothing from other servers, and no scripts.
"""

from __future__ import annotations

import html
from typing import Any, NamedTuple

from ocrsearch.core import printable
from ocrsearch.deployment.service_options import ServiceOptions

_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}

_PREDICTION = {
    "type": "object",
    "required": [
        *("text", "confidence", "symbol_confidences", "blank", "familiarity", "check"),
    ],
    "properties": {
        "text": {"type": "string"},
        "confidence": {**_PROBABILITY, "description": "Probability that the text has no error."},
        "symbol_confidences": {
            "type": "array",
            "items": _PROBABILITY,
            "description": "Confidence of each character.",
        },
        "blank": {"type": "boolean", "description": "Whether the image has no contrast."},
        "familiarity": {
            **_PROBABILITY,
            "description": "Similarity to the training images; low for anything but such text.",
        },
        "check": {
            "type": ["boolean", "null"],
            "description": "Whether a person should check the text, because its confidence is "
            "below the threshold of the model; null if the model has none.",
        },
    },
}

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "Problem in one line."}},
}

_ANSWER = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "description": "Result for each image, in order.",
            "items": {"anyOf": [_PREDICTION, _ERROR]},
        }
    },
}

_REFUSALS = {
    "400": "The form is damaged.",
    "403": "The request comes from a foreign web page.",
    "408": "The request took too long to arrive.",
    "413": "The request is too large, or it has too many images.",
    "415": "The body is neither a form nor an image.",
    "422": "No image can be read.",
    "500": "The model failed on all images.",
    "503": "The service is overloaded. Send the request again after the time in Retry-After.",
    "504": "The images were not recognised in time.",
}

_BINARY = {"type": "string", "format": "binary"}


def _json_content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


PREDICT_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"image": {"type": "array", "items": _BINARY}},
                }
            },
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
        },
    },
    "responses": {
        "200": {
            "description": "Predictions; an image that cannot be read has an error instead.",
            "content": _json_content(_ANSWER),
        },
        **{
            status: {"description": text, "content": _json_content(_ERROR)}
            for status, text in _REFUSALS.items()
        },
    },
}
"""What OpenAPI says of the bodies and the answers of ``/predict``."""


class Page(NamedTuple):
    """A page, and the headers that are sent with it."""

    content: str
    headers: dict[str, str]


_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ocrsearch</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 44rem; margin: auto; padding: 1.5rem 1rem; font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }}
pre {{ padding: .75rem; border: 1px solid #8888; border-radius: .5rem; overflow-x: auto; }}
</style></head><body>
<h1>ocrsearch</h1>
<p>Recognises the text in images of lines. Model: <b>{name}</b>.</p>
<form action="/predict" method="post" enctype="multipart/form-data">
<p><label>Images: <input type="file" name="image" multiple required accept="image/*"></label>
<button>Recognise</button></p>
</form>
<h2>From a program</h2>
<pre>
curl -F image=@a.png -F image=@b.png http://HOST:PORT/predict
curl --data-binary @a.png -H "Content-Type: image/png" http://HOST:PORT/predict
</pre>
<p>The answer is JSON. <code>results</code> has an entry for each image, in order:
<code>text</code>, <code>confidence</code>, <code>symbol_confidences</code>, <code>blank</code>,
<code>familiarity</code> and <code>check</code> (whether a person should check the text),
or <code>error</code> if the image cannot be read.</p>
<p>A request may have up to {max_images} images and {max_request_mb:g} MB, an image up to
{max_megapixels:g} megapixels. If the answer is 503, send the request again after the time in
<code>Retry-After</code>.</p>
<p><a href="/openapi.json">Description in OpenAPI</a>, <a href="/health">state</a></p>
</body></html>
"""


def front_page(name: str, options: ServiceOptions) -> Page:
    """Return the page for people.

    Args:
        name: name of the model, as plain text.
        options: limits of the service.
    """
    content = _PAGE.format(
        name=html.escape(printable(name)),
        max_images=options.max_images,
        max_request_mb=options.max_request_mb,
        max_megapixels=options.max_megapixels,
    )
    return Page(content, _HEADERS)
