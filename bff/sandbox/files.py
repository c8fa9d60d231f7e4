"""The files behind the documents: real, small bytes, and the signed links that lead to them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from bff.sandbox.world import Row, World

PDF = "application/pdf"
PNG = "image/png"
CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def content_of(document: Row) -> bytes:
    """Make the bytes of a document: the same ones each time, of the type its row promises."""
    lines = [
        str(document["originalName"]),
        f"Invoice {document['metadata'].get('invoiceNumber', 'without a number')}",
        f"SKU {document['skuId']}",
        f"Claim {document['claimId']}",
    ]
    match document["fileType"]:
        case "application/pdf":
            return _pdf(lines)
        case "image/png":
            return _png(zlib.crc32(document["id"].encode()))
        case "text/csv":
            return (
                "field,value\r\n" + "".join(f"{i},{line}\r\n" for i, line in enumerate(lines, 1))
            ).encode()
    return _xlsx(lines)


class SignedFiles:
    """A bucket that opens to whoever holds a signed link, as S3 does; links are made by cost-docs."""

    def __init__(self, world: World, url: str, secret: str) -> None:
        self._world = world
        self._url = url.rstrip("/")
        self._key = hashlib.sha256(f"files:{secret}".encode()).digest()

    def link(self, key: str, lifetime_s: int) -> str:
        """Sign ``key`` for so many seconds from now."""
        expires = int(time.time()) + lifetime_s
        query = urlencode({"Expires": expires, "Signature": self._sign(key, str(expires))})
        return f"{self._url}/{quote(key)}?{query}"

    async def fetch(self, request: Request) -> Response:
        """Answer ``GET /files/{key}``: the bytes, or S3's XML for a link that is wrong or old."""
        key = request.path_params["key"]
        expires = request.query_params.get("Expires", "")
        signature = request.query_params.get("Signature", "")
        if not hmac.compare_digest(self._sign(key, expires).encode(), signature.encode()):
            return _s3_error(
                403, "SignatureDoesNotMatch", "The request signature we calculated does not match."
            )
        if int(expires) < time.time():
            return _s3_error(403, "AccessDenied", "Request has expired")
        for document in self._world.documents.values():
            if document["fileKey"] == key:
                return Response(
                    content_of(document), media_type=document["fileType"], headers=_inline(document)
                )
        return _s3_error(404, "NoSuchKey", "The specified key does not exist.")

    def _sign(self, key: str, expires: str) -> str:
        return base64.b64encode(hmac.digest(self._key, f"GET\n{expires}\n{key}".encode(), "sha1")).decode()


def _inline(document: Row) -> Mapping[str, str]:
    return {"content-disposition": f"inline; filename*=utf-8''{quote(document['originalName'])}"}


def _s3_error(status: int, code: str, message: str) -> Response:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{error}', status, media_type="application/xml")


def _pdf(lines: list[str]) -> bytes:
    shown = " T* ".join(f"({line.translate(_PDF_ESCAPES)}) Tj" for line in lines)
    stream = f"BT /F1 14 Tf 20 TL 60 760 Td {shown} ET".encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    xref = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, xref)
    return bytes(out)


_PDF_ESCAPES = str.maketrans({"(": r"\(", ")": r"\)", "\\": r"\\"})


def _png(tint: int) -> bytes:
    side = 96
    colour = tint.to_bytes(4, "big")[:3]
    paper = b"\xfa\xfa\xf7"
    rows = (b"\x00" + (colour if y % 12 == 0 else paper) * side for y in range(side))  # a ruled sheet
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


_SHEET_PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="xl/workbook.xml" Type='
    '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="Costs" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": "<Relationships "
    'xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="worksheets/sheet1.xml" Type='
    '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/></Relationships>',
}


def _xlsx(lines: list[str]) -> bytes:
    rows = "".join(f'<row><c t="inlineStr"><is><t>{line}</t></is></c></row>' for line in lines)
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in {**_SHEET_PARTS, "xl/worksheets/sheet1.xml": sheet}.items():
            # A ZipInfo of its own, because writestr(name) would put today's date into the bytes.
            archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return out.getvalue()
