"""All targets, by their names."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.byte_range import RANGE
from fuzz.cookies import COOKIES
from fuzz.detector import DETECTOR
from fuzz.host import HOST
from fuzz.http_head import HTTP_HEAD
from fuzz.runner import Target

TARGETS: Mapping[str, Target] = {target.name: target for target in (DETECTOR, HOST, HTTP_HEAD, COOKIES, RANGE)}
