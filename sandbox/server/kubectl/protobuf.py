"""Bodies in Kubernetes' protobuf encoding, read as the JSON they stand for.

kubectl's typed commands (``auth can-i``, ``create job``, ``create token`` …) send nothing else since 1.33;
answers in JSON they take. An object is an envelope, ``k8s\\0`` and a ``runtime.Unknown``, around its message.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from sandbox.server.errors import ApiError, JsonObject
from sandbox.server.kubectl.protobuf_messages import MESSAGES, Field
from sandbox.server.objects.metadata import timestamp

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_STRING = 1
"""``IntOrString.type`` of a string; of a number it is 0."""


def decode_object(data: bytes) -> JsonObject:
    """The object in an envelope.

    :raises ApiError: 400 the data is damaged; 415 it is of a kind, or has a field, that is not known here.
    """
    if not data.startswith(_MAGIC):
        raise ApiError.bad_request("the body is no Kubernetes protobuf: it does not begin with k8s\\0")
    try:
        envelope = dict(_fields(data[len(_MAGIC) :]))
        type_meta = {number: value.decode() for number, value in _fields(envelope[1])}
        api_version, kind = type_meta.get(1, ""), type_meta.get(2, "")
        return {"apiVersion": api_version, "kind": kind, **_message(kind, envelope.get(2, b""))}
    except (IndexError, KeyError, ValueError, AttributeError) as problem:
        raise ApiError.bad_request(f"the body is no Kubernetes protobuf: {problem!r}") from problem


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field number and raw value, an int or bytes, of everything in a message."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(data, position)
        elif wire_type in (_FIXED32, _FIXED64):
            length = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type}")
        if position + length > len(data):
            raise ValueError("the data ends in the middle of a field")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _message(kind: str, data: bytes) -> JsonObject:
    known = MESSAGES.get(kind)
    if known is None:
        raise _unknown(f"messages of kind {kind!r}")
    decoded: JsonObject = {}
    for number, raw in _fields(data):
        field = known.get(number)
        if field is None:
            raise _unknown(f"field {number} of {kind}")
        _add(decoded, field, raw)
    return decoded


def _unknown(what: str) -> ApiError:
    message = f"this server cannot read {what} in protobuf: send JSON (kubectl create -f, kubectl apply)"
    return ApiError(415, "UnsupportedMediaType", message)


def _add(decoded: JsonObject, field: Field, raw: Any) -> None:
    if field.type == "ignored":
        return
    if field.type.startswith("map"):
        key, value = _map_entry(field.type, raw)
        decoded.setdefault(field.name, {})[key] = value
        return
    value = _value(field.type, raw)
    if field.inlined:
        decoded.update(value)
    elif field.repeated:
        decoded.setdefault(field.name, []).append(value)
    elif value is not None and (field.keeps_zero or value not in ("", 0, False)):
        decoded[field.name] = value


def _value(kind: str, raw: Any) -> Any:
    convert = _SCALARS.get(kind)
    return convert(raw) if convert else _message(kind, raw)


def _map_entry(kind: str, raw: bytes) -> tuple[str, Any]:
    entry = dict(_fields(raw))
    convert = {"map": _text, "map_of_bytes": _base64, "map_of_quantities": _quantity}[kind]
    return _text(entry.get(1, b"")), convert(entry.get(2, b""))


def _text(raw: bytes) -> str:
    return raw.decode()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _signed(raw: int) -> int:
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _quantity(raw: bytes) -> str:
    return _text(dict(_fields(raw)).get(1, b""))


def _int_or_string(raw: bytes) -> int | str:
    parts = dict(_fields(raw))
    return _text(parts.get(3, b"")) if parts.get(1, 0) == _STRING else _signed(parts.get(2, 0))


def _time(raw: bytes) -> str | None:
    seconds = dict(_fields(raw)).get(1)
    return None if seconds is None else timestamp(datetime.fromtimestamp(_signed(seconds), UTC))


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "int": _signed,
    "bool": bool,
    "quantity": _quantity,
    "int_or_string": _int_or_string,
    "time": _time,
}
