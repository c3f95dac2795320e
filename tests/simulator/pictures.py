"""Pictures of posts: tiny, real, of every type, and different for every post. And what is no picture, or a bad one."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import cache

from .model import Content, Post

#: The pictures' own size, in pixels.
PICTURE_SIZE = (64, 48)

#: The types that posts have, in turns.
TYPES = ("jpg", "webp", "png", "heic", "avif")

CONTENT_TYPES: Mapping[str, str] = {
    **{type: f"image/{type}" for type in (*TYPES, "gif")},
    **{"jpg": "image/jpeg", "svg": "image/svg+xml", "html": "text/html", "video": "video/mp4"},
}

#: By serial number: what the second picture of a `hostile_picture` is.
HOSTILE = ("svg", "html", "pixel", "gigapixel", "huge", "playlist", "cut_jpg", "cut_png", "inflating", "video")

HUGE_BYTES = 100 * 1024**2

#: From this serial number on, `pictures` are ten photos as large as those of phones.
MANY = 1000

#: How many those are.
PHOTOS = 10

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"

#: One of each type, compressed: ffmpeg's test picture.
_SAMPLES: Mapping[str, str] = {
    "jpg": (
        "eNr7f+P/AwYBLzdPNwZGJgYGRiBk+H+bwZmBQ0NDX0PfHAwcbRydnZ0dgQBIeXh4hIaGAkkQMyAgNDQmPiY8PDQ8Pj4lJaWiori4p2fimjXn"
        "/x9haGJgYGYEAgY4YGFlY2Zn4GBkRBVmYGNl4WAXYGBkZgSymGEyjIIMTMyGikLCjUYLAy86OikVHtyYyCISJAhUyMzIzswKV8jEwGwoqOhY"
        "uPCDEEvgxItKB52MNjZ+TPx/gEGQg8GAwYGZUYmBSZCBWZDh/y0GHqAFTIJAtj3D03ublZTf33rrncocpdJ4sibQcm3H1y6ZE4smtzx8xvq8"
        "uYzj9IHptxvzfby6z5oWPZ1yosiwSubWrzeZ03p0Ve7kmVmIZX9e7eT05ZKtdOFv06cpO9wX+2tvOnaJU6MmZEWYT/4xcyHH785VFipqe1Z+"
        "sN7B4eDHZj/981IZPa6uzpvVSsXRwp++s5WcilhRLSrf9GZKaury1WVR92ZMFZ+VdcVjwXLBlwqT2o+mLIxeaNN1UG1JyAu7V5e7dzkqqj34"
        "ePM511SfdTbsp2tnxwZW6050ebZNOdJnXYLdIg8Nmwkr3R0W6zPF5/G97Ay+a1p8XWv9g7y1mUfvSSr7tL06+XTlueW3nY/1zwm5E+f4Oriw"
        "kn26u1f9+vzTFlHnErojz2umTXaXOdUtOlXswd7M1RZRZxO5I9dzVixd//JXwcSJO19zBWs1d7y6uytKLqpmI2sKr/S/jYyCuknfj51ZYdnx"
        "b29Q2UfZ6PlP1v+zOL76xZXtvXVzTxusvMLL9p8h/Nldq52XPN9/kD/qEc3hFBTCf25W+7T5+iuuMjmsvPvinZPlNMb/DPU8GhdX+M5xD3v8"
        "89V/hnnKq9ct3ZP95e3NVDfGq7NeT0mcomr5rXnu8uT/NwHZeRN6"
    ),
    "png": (
        "eNodVH9QFVQWPvSsZ0qKSmJoInod8scr1DRRV3320INaWXklFReKrHG9IpGuQpugL6JiZQ+hluYY9sPoNtNMeCAwRHAJbDAsA/aOMxaMyTKZ"
        "qxJGK3e8+5Y/vvPNfHPO+b5/znlz1ePL7hkSPQQA7knCwFMhXhxC/GBPqB7Y/3dfiO7OxLUvhzhsAE9MbmgH8MCqlasTQ4IAQAAFQAAMYADs"
        "gCoEoAAlgASwACPADrQKBERQCITACAbBDswLBahAKSAFrMAosANLBQESKAIiYAJDYAecBAMyKAZiYAbDYAfshQE0oAyQATZgDNiBTMICWlAW"
        "yAJbMBbs/4NKARJBKpAEkkEakBYkCCmERCGVkCQkC2mEtEICSoESUSqUhJJRGpQWJSgplEQllZKkJCtplLRKAklBEkkqkkSSSRqSliSwFCyR"
        "pWJJLJmlYWlZgpHCSDRSGUlGspHGSGskWCmsRCuVlWQlW2mstFYCaAEaQSvQBJpBG9AWNAgthEahldAkNAtthLZCA2qBGlEr1ISaURvUFjUo"
        "LZRGpZXSpDQrbZS2SgNpQRpJK9JEmkkb0pY0sBaskbViTayZtWFtWYPRwmg0WhlNRrPRxmhrNFgtrEarldVkNVttrLZWAzgBDsEpcASOwRlw"
        "FhwIJ4RD4ZRwJBwLZ4SzwgE6gQ7RKXSEjtEZdBYdKCeUQ+WUcqQcK2eUs8oBOUEOySlyRI7JGXKWHLAT7JCdYkfsmJ1hZ9mBccI4NE4ZR8ax"
        "ccY4axxYJ6xD65R1ZB1bZ6yz1u1e+dR/QrcwJyngX73z8NU1554Y5Y/cFRx6Md8TVz04KwJ7xSftQ+eL/NzFN85nledcGk4li0Zd+3H6n9c1"
        "hy0ZnrPnB3VyX+GLH5d+vy5874zY2LPRIxv7XthROfnoxaV/mvlQyZez+rtObq3N3jrz14PNkUnRcKyeA72zmz2+nfHTenfOa4U1VUf8BY3p"
        "/HVreNQDcXP/GOO7Mmv8vf/K9Xya2Zlz68qjD784pWtP4e3B+VvHFheNGObzr9hydcnUkYGOl3qWf1W3/9mYQSlDi7IWc+z1+F3ffVZz6HTR"
        "yAkRGTsGTQx0VD/7fsG+vTcS3yg93Vfy9KcT596W7LtdWR/7ZDArvCl7wVt3NTZ7JkUeKjj3R8WRC7UVywZnuupv396jkroql4+cOfb8hDPq"
        "QO63o6Nu5rbW395wV8IXUzsvv10zp/IvH3cOOnbgCsyPD7s2rL//1MmYhOsFGYWve9LXL8u8lbSyvif5wVWvZExO3RC28L/X430ZC+7393N+"
        "XP4rj4SPGzO6zhczv/bitqoxTTNuxGekt6x+dY6n9tX7+xapkqXehl2px06suHJrdCDYEvtFC9057qewf3RNSxxe0XR0adzrl8JX9/6tcchz"
        "0+IqlhXXd04+PSIzL7249cy+uCffW1BacqD06pbCTYPImzjeOyRzeQ4mLIxFO70nZu6a+XdUtISdfY4/Kzz40POpi97xBDLPPTKuG/fd+UZd"
        "MKXLf2Z3ZXhC2ansmubyN/d3JrRVbdvRMfvyB1Q071Df79Oqv7m3zuWdaMw/tXdtcmr293lnUz68ZZMenZT3a3egfF161qWessjt6y/sWjuv"
        "qWj68A1J5ckrN0bdtymqo/Z8No2aUr5+XUR0WNm1Vf/cYMrv/o6L9/o3vj/R2/RLWd2UH4bWRLww83Js1Wbr23piYnXj7Dsm/bt9yTPej27e"
        "R1GjW8PagkvTGope+yW+rGBWW9nm4ofbjsa3jQlO+H1hqZnanbs9piErYkfMtg44TAXHx73bXxr9VvcIf2GQCuYMKx3ljUz9a2eed0HKz/WJ"
        "40PFNQd3d2/c9tvh5AsfVnqTN1fePHK8d4W+NNZXu8l7sf29vrS4LV8ndsyY1+5POf5B1OXUnrSD20/2pOX8XPrOAzWP/Vb50rlhJypyW4KL"
        "qsaufblBVB8JvWFISnw88PmStD3/A/UoFuo="
    ),
    "webp": (
        "eNoBJgLZ/VJJRkYeAgAAV0VCUFZQOCASAgAAUAwAnQEqQAAwAD85kr9Xryqmo6qoAeAnCWwAnTKEg6yGLA2QuVfMXb49Tv+19O7ok+Ll6wG6"
        "3er16ACsZHbH/4gF7c2Zf3+H3wVIGWqpCTssodq3Zn9O32Y0oKi7qb2/QpWap6zbNiK+0gAA/r2qU4tARqLpNUYZgA3OQ9zKCkYMD2tkGRDQ"
        "0uOfTG6QlEOhrJfo+QSvkmn3g5mgXqtPEQnStcpozYl3xom1OX3PSM8NM23kQZYsCGY8rHe6qu4E1VYMLr/CeIW5Jo72NQncqq8Km4pTmmpn"
        "vsH90kEXgKLmpJNd5IMwHyIfHc64byQuYufalbFWUqmim5sS/ouFDbC0XSQFKZReUkzrkt0aKnD24SHVe6ro+dbo+0cB7hwK9xsFZrX/NTdc"
        "3zzx7QyMacG9T7ofdQdgXpCUQ6GftEJIUTO9H5thOOHMOeLRpehUG8B2VIEOCfGYZSM9I7tAddiy0YrdW3OZS3X9LTu8EIwp2c09OVCz/aGd"
        "pnkvmGbRumuBYfeO78IyKZVBlnMiU1juRcEaqeZjShYiH+fQBeUcbqM3+HuiVwYMrLZz8yg5HvhOmCzyd/q5uQQIJgoCJtBgY6QNhDnX6H3B"
        "u27/wd8tIKt3R+T3T4QgML0gtX7e792pmjKLaC6W/fEHKY4CYBeEIK1pMxiSKPD0hMgZZAIMWb8/BpMIlZX/+GL+7WloAADAIgbt"
    ),
    "heic": (
        "eNpjYGCQSCupLMhIzUxmAILczDRDCJtRKze1JJEBAhQzUnKKoGyGgszkEgY0wFeQWZILZjECsVxmTj7YOBcQnxEiyugFpO8AsXJmZl4aXK0o"
        "kJPKBOVllCUbgpjrMguKCoD0xMyC5HwgXQqUcGZkTAAyJ4B1yn1g+PP3xw8GBn7mBUCNEg6MPIz//4MUMINUMIOQ3NQZnAuBkppOjIxoMgsU"
        "msUiI9f5rGfM4AAJgIkTDouAqtlcGA8WX+gE2iGSWVyQCvWfAxAbgF1bkAsLFKDPmBpBLn+Sm5IICpEbGozrWW78O6Iss/385wz/gKVcWmos"
        "kW/mKOTtF7uaNvnktfh09v3abW5yQZWLj9ldy/ETD1v/ZFd7zkUlb5b7h047qh05JvWs6776wfWrJ/uuVNvg/erN3euf7nR2+0c59EeyrF8d"
        "pZO9eXL0rr3Z6kWSURVbDunmf5sfdsH0/seeHLeds1ZcFj80PVFZe+acTWuZv3NI7Lv7I2SZ7doVijE7zhrd7b2tbRxS/0kgbaLtOaXICwop"
        "jCkJ/zum9vCdVBWxZF7ZcDjBaVpDY/H5WW4rfC/URyUuWVAoeDTuoxGjYpQEAJVgowM="
    ),
    "avif": (
        "eNpjYGBQSCupLEgsy0xjAAIQnZuZZpibmZjm62joBBT6mZtaksgAAfoZKTlFUDZDQWZyCQMSCADyS4tSPRLzUnJSwar4CjJLcsFyjEAsl5mT"
        "nwziuID4jBBRRkUg5gGyNTIz89LgaqWAnFQmKC+xzMDQOT8nH2xmVmZBUQGQ9s4sSM4H0iKZxQWpUBc4ALEBEAsUZFZkggSYOTg4gBRPYpmh"
        "cyMDyBoG4eT8nKK85JwKBiYwBALxzIJcmA+BDmNhZGpmAbJEclMSS7jYJETr927gMGpkcldgZFcUTMxuZLi7Y5GxMMfD+g/3Hlz+4SGbNPX4"
        "9Oct51SM9uy/tWDNphv3imIru4Snzo4yKMy3vLxo01Tx/oLtm+UrXrC4J+/Nzdh9rOrGjHvmehPdnh5/tPCuTq6XXs6H6+XeHC5iQuZ9Pj9s"
        "/Pq/62m5HdiyfPPy/dcEqpf90nVcsoNps4L36wnMDwo/ZhjU6X375vtJd9a29vVB86Y9m6eWs9RlzcFc41cL3lTGP7dMnGu0xXR583uJR/5m"
        "G4ovft3OZL7u91G2GAvRdwfW7MvgX1KyRCsm0WJJz4Yldwv0GP++5BSK1WAv2n252DR+67212fE9f+TE/7Hs0oo7yffsBr942qw/7ulWXmsA"
        "VRi0pg=="
    ),
}

#: By scenario: what a post consists of, in its order; `unreadable` is a picture. Everything else is one video.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "pictures": ("picture",) * 3,
    "one_picture": ("picture",),
    "picture_gone": ("picture",) * 3,
    "pictures_gone": ("picture",) * 2,
    "picture_unreadable": ("picture", "unreadable"),
    "pictures_unreadable": ("unreadable",) * 2,
    "hostile_picture": ("picture",) * 2,
    "picture_redirects": ("picture",) * 2,
    "private_picture": ("picture",),
    "mixed_carousel": ("video", "picture", "video"),
    "mixed_tweet": ("picture", "video", "gif"),
    "mixed_unreadable": ("video", "unreadable"),
    "several_videos": ("video",) * 3,
}


def parts_of(post: Post) -> Sequence[str]:
    """Return what *post* consists of, in its order: `picture`, `video`, `gif`, or `unreadable` for a picture."""
    if post.scenario.name == "pictures" and post.serial >= MANY:
        return ("picture",) * PHOTOS
    return _PARTS.get(post.scenario.name, ("video",))


def is_slideshow(post: Post) -> bool:
    """Return whether TikTok shows *post* as slides."""
    return not {"picture", "unreadable"}.isdisjoint(parts_of(post))


def picture_name(post: Post, number: int) -> str:
    """Return the name of the file that is part *number* of *post*, counted from 1."""
    if post.scenario.name == "hostile_picture" and number == 2:
        return f"hostile-{number}.jpg"  # as its address ends; what it is differs
    if post.scenario.name == "pictures" and post.serial >= MANY:
        return f"photo-{number}.jpg"
    return f"picture-{number}.{TYPES[(post.serial + number - 1) % len(TYPES)]}"


def content_type_of(post: Post, name: str) -> str:
    """Return what a server says of the file *name*, truly or not."""
    kind = HOSTILE[post.serial % len(HOSTILE)] if name.startswith("hostile-") else name.rpartition(".")[2]
    return CONTENT_TYPES.get(kind, "image/jpeg")


def status_of_missing(post: Post, name: str) -> int | None:
    """Return the status with which *name* is refused because the platform doesn't have it any more."""
    if post.scenario.name == "pictures_gone" and name.startswith("picture-"):
        return 410
    return 404 if post.scenario.name == "picture_gone" and name.startswith("picture-2.") else None


def picture(post: Post, name: str) -> Content:
    """Return the picture *name* of *post*.

    Raises:
        KeyError: there is no such file.
    """
    stem, _, type = name.rpartition(".")
    if stem.startswith("hostile-"):
        return _hostile(HOSTILE[post.serial % len(HOSTILE)])
    return _content(labelled(type, _sample(type), f"{post.platform} {post.id} {stem}".encode()))


def photo(post: Post, name: str, data: bytes, size_bytes: int) -> Content:
    """Return the JPEG *data* as the photo *name* of *post*, of *size_bytes* if it is not larger by itself."""
    data = labelled("jpg", data, f"{post.platform} {post.id} {name}".encode())
    while (missing := size_bytes - len(data) - 4) > 0:
        data = labelled("jpg", data, bytes(min(missing, 60_000)))
    return _content(data)


@cache
def _sample(type: str) -> bytes:
    return zlib.decompress(base64.b64decode(_SAMPLES[type]))


def labelled(type: str, data: bytes, label: bytes) -> bytes:
    """Return the picture *data* of *type* with *label* in it, where viewers don't look."""
    match type:
        case "jpg":
            return data[:2] + b"\xff\xfe" + struct.pack(">H", len(label) + 2) + label + data[2:]
        case "png":
            return data[:33] + _chunk(b"tEXt", b"Comment\0" + label) + data[33:]
        case "webp":
            chunks = data[12:] + b"post" + struct.pack("<I", len(label)) + label + bytes(len(label) % 2)
            return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
        case _:
            return data + struct.pack(">I", len(label) + 8) + b"free" + label


def _hostile(kind: str) -> Content:
    match kind:
        case "svg":
            return _content(b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
        case "html":
            return _content(b"<!DOCTYPE html><html><title>Log in</title><h1>Log in</h1></html>")
        case "pixel":
            return _content(png(1, 1))
        case "gigapixel":
            return _content(gigapixel())
        case "huge":
            return Content(pieces=(memoryview(_sample("jpg")),), size=HUGE_BYTES)
        case "playlist":
            return _content(b"#EXTM3U\n#EXTINF:4,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n")
        case "cut_jpg" | "cut_png":
            return _content(_sample(kind[-3:])[:600])
        case "inflating":
            return _content(_inflating())
        case _:
            return _content(struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom") + bytes(200))


@cache
def _inflating() -> bytes:
    """Return a PNG with a comment of 100 MB, in a thousandth of that."""
    packer = zlib.compressobj(1)
    text = b"".join([*(packer.compress(bytes(1024**2)) for _ in range(100)), packer.flush()])
    data = _sample("png")
    return data[:33] + _chunk(b"zTXt", b"Comment\0\0" + text) + data[33:]


def png(width: int, height: int, rows: bytes | None = None) -> bytes:
    """Return a black picture, one bit for each pixel; *rows* are its compressed rows, if not those."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9) if rows is None else rows
    return _PNG_HEAD + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


@cache
def gigapixel() -> bytes:
    """Return a PNG of 948 bytes that claims to be 40,000 pixels wide and 25,000 high."""
    return png(40_000, 25_000, zlib.compress(bytes(800 * 1024), 9)[:891].ljust(891, b"\0"))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _content(data: bytes) -> Content:
    return Content(pieces=(memoryview(data),), size=len(data))
