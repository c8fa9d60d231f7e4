"""The committed pages that describe the API: made from the sources beside them, whole with the cable out."""

import hashlib
import re
from pathlib import Path

from test_graphiql_bundle import CDN_HOSTS, LOADED_BY_CSS, LOADED_BY_HTML, LOADED_BY_JS

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web" / "api_docs"
BUNDLE = ROOT / "bff" / "static" / "api_docs"


def test_bundle_was_made_from_these_sources():
    """The files and their pinned versions cannot drift apart: an edit without `make web` is caught here."""
    sources = [WEB / "copy.js", WEB / "package.json", WEB / "package-lock.json", *(WEB / "src").iterdir()]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(WEB).as_posix(), path) for path in sources):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")

    recorded = (BUNDLE / "SOURCES.sha256").read_text("ascii").strip()

    assert digest.hexdigest() == recorded, "web/api_docs changed: run `make web` and commit"


def test_nothing_is_loaded_from_elsewhere():
    """The pages work offline and tell no third party who opened them."""
    patterns = {".html": LOADED_BY_HTML, ".css": LOADED_BY_CSS, ".js": LOADED_BY_JS}
    files = {path: path.read_text("utf-8") for path in BUNDLE.iterdir() if path.suffix in patterns}

    loads = [(path.name, hit) for path, text in files.items() for hit in patterns[path.suffix].findall(text)]
    cdn = [
        (path.name, host)
        for path, text in files.items()
        for host in (*CDN_HOSTS, "cdn.redoc.ly")
        if f"{host}/" in text
    ]

    assert (loads, cdn) == ([], [])
    assert len(files) == 6


def test_pages_run_no_inline_script():
    """`script-src 'self'` stays possible: an inline script would need a hole in the policy."""
    for page in BUNDLE.glob("*.html"):
        text = page.read_text("utf-8")
        bodies = re.findall(r"<script\b[^>]*>(.*?)</script>", text, re.DOTALL | re.IGNORECASE)
        assert [body for body in bodies if body.strip()] == []
        assert re.findall(r"""\son\w+\s*=\s*["']""", text) == []


def test_their_authors_terms_come_along():
    """Both are other people's work."""
    assert "Apache License" in (BUNDLE / "swagger-ui.LICENSE.txt").read_text("utf-8")
    assert "MIT License" in (BUNDLE / "redoc.LICENSE.txt").read_text("utf-8")
