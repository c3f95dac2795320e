"""Language codes, as BCP 47 has them: `en`, `pt-BR`, `zh-Hans`."""

from __future__ import annotations

import re

#: As in JSON schemas, which match it anywhere in a text.
CODE_PATTERN = "^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,16}){0,3}$"
MAX_CODES = 20

_CODE = re.compile(CODE_PATTERN.strip("^$"))


def language_code(text: str) -> str | None:
    """Return the code in *text* in its usual spelling, or None if it isn't one; `PT_br` becomes `pt-BR`."""
    if not _CODE.fullmatch(text):
        return None
    language, *parts = text.replace("_", "-").split("-")
    return "-".join([language.lower(), *map(_spelled, parts)])


def language_codes(sent: object) -> list[str]:
    """Return the codes in *sent*, a list or a tuple of them, in their usual spelling and each once.

    Raises:
        ValueError: it is something else.
    """
    example = f'send a list of at most {MAX_CODES} language codes such as "en", "pt-BR" or "zh-Hans"'
    if not isinstance(sent, list | tuple):
        raise ValueError(example)
    if len(sent) > MAX_CODES:
        raise ValueError(f"{example}, not {len(sent)}")
    codes: list[str] = []
    for number, text in enumerate(sent, start=1):
        code = language_code(text) if isinstance(text, str) else None
        if code is None:
            raise ValueError(f"{example}; number {number} is something else")
        codes.append(code)
    return list(dict.fromkeys(codes))


def _spelled(part: str) -> str:
    if len(part) == 4 and part.isalpha():  # a script
        return part.title()
    return part.upper() if len(part) == 2 else part.lower()
