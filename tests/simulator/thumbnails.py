"""The posts' thumbnails: small JPEGs that name their post, and by scenario what must never be taken for one."""

from __future__ import annotations

import base64
import struct
import zlib

from .model import Content, Post, Response

#: A JPEG of eight grey pixels by eight.
_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAgAAAQABAAD/2wBDAAg+Pkk+SVVVVVVVVWRdZGhoaGRkZGRoaGhwcHCDg4NwcHBoaHBwfHyDg4+Tj4eHg4eT"
    "k5ubm7q6srLZ2eD/////xABKAAEAAAAAAAAAAAAAAAAAAAAAAQEAAAAAAAAAAAAAAAAAAAABEAEAAAAAAAAAAAAAAAAAAAAAEQEA"
    "AAAAAAAAAAAAAAAAAAAA/8AAEQgACAAIAwESAAISAAMSAP/aAAwDAQACEQMRAD8AAIL/2Q=="
)

_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180"><script>alert(1)</script></svg>\n'
_HTML = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>\n"


def thumbnail_of(post: Post) -> bytes:
    """Return the thumbnail of *post*, with its id as a comment."""
    comment = post.id.encode()
    return _JPEG[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + _JPEG[2:]


def png(width: int, height: int) -> bytes:
    """Return a PNG that says it has that size, whatever its pixels are."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 4)) + chunk(b"IEND", b"")


def answer(post: Post, canary_url: str) -> Response:
    """Return what the platform's host of pictures answers for *post*."""
    jpeg = thumbnail_of(post)
    match post.scenario.name:
        case "thumbnail_svg":
            return Response(headers={"Content-Type": "image/svg+xml"}, body=_SVG)
        case "thumbnail_html":
            return _picture(_HTML)
        case "thumbnail_large":
            return _large(jpeg, 3 * 1024**2)
        case "thumbnail_endless":
            large = _large(jpeg, 2**40)
            return Response(headers=large.headers, content=large.content, unsized=True)
        case "thumbnail_slow":
            return Response(headers={"Content-Type": "image/jpeg"}, body=jpeg, hang_after=len(jpeg) // 2)
        case "thumbnail_to_loopback":
            return Response(status=302, headers={"Location": f"{canary_url}/a.jpg"})
        case "thumbnail_huge":
            return _picture(png(100_000, 10_000))
        case "thumbnail_missing":
            return Response(status=404)
        case "thumbnail_pixel":
            return _picture(png(1, 1))
        case _:
            return _picture(jpeg)


def _picture(body: bytes) -> Response:
    return Response(headers={"Content-Type": "image/jpeg"}, body=body)


def _large(jpeg: bytes, size: int) -> Response:
    content = Content(pieces=(memoryview(jpeg),), size=size)
    return Response(headers={"Content-Type": "image/jpeg"}, content=content)
