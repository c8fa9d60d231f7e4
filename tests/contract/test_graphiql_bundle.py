"""The committed GraphiQL bundle: built from the sources beside it, and able to run with the cable out."""

import hashlib
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web" / "graphiql"
BUNDLE = ROOT / "bff" / "static" / "graphiql"

CDN_HOSTS = ("unpkg.com", "jsdelivr.net", "cdnjs.cloudflare.com", "esm.sh", "googleapis.com", "gstatic.com")
# What makes a browser load: an attribute of a page, a rule of a style sheet.
LOADED_BY_HTML = re.compile(r"""\b(?:src|href|srcset|action)\s*=\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)
LOADED_BY_CSS = re.compile(r"""(?:url\(|@import)\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)
# What makes a script load: an import, a worker, a request, with an absolute address written in place.
LOADED_BY_JS = re.compile(
    r"""(?:\b(?:import\s*\(?|from)|\b(?:fetch|importScripts|(?:Shared)?Worker|WebSocket|EventSource)\()"""
    r"""\s*["'`](?:https?|wss?):"""
)
CONFIG_ELEMENT = '<script id="opside-config" type="application/json">{}</script>'


def _sources() -> list[Path]:
    """Everything that can change the bundle; `sources` in web/graphiql/vite.config.js says the same."""
    found: list[Path] = []
    for folder, folders, files in os.walk(WEB):
        # In place, so that os.walk does not enter them: node_modules holds tens of thousands of files.
        folders[:] = [name for name in folders if Path(folder) != WEB or name not in ("node_modules", "dist")]
        found += [Path(folder, name) for name in files]
    found.remove(WEB / "README.md")
    named = re.findall(r"operations/\w+\.graphql", (WEB / "src" / "operations.js").read_text("utf-8"))
    return found + [ROOT / path for path in set(named)]


def _bundled(pattern: str) -> dict[str, str]:
    files = {path.name: path.read_text("utf-8") for path in BUNDLE.rglob(pattern)}
    assert files, f"no {pattern} in {BUNDLE}: was the bundle built?"
    return files


def test_bundle_was_built_from_these_sources():
    """The bundle and its sources cannot drift apart: an edit without `make web` is caught here."""
    digest = hashlib.sha256()
    for path, source in sorted((source.relative_to(ROOT).as_posix(), source) for source in _sources()):
        digest.update(path.encode() + b"\0" + source.read_bytes() + b"\0")

    recorded = (BUNDLE / "SOURCES.sha256").read_text("ascii").strip()

    assert digest.hexdigest() == recorded, "web/graphiql or its operations changed: run `make web` and commit"


def test_page_and_styles_load_nothing_from_elsewhere():
    """The page works offline and tells no third party who opened it: no absolute address is loaded."""
    html = {name: LOADED_BY_HTML.findall(text) for name, text in _bundled("*.html").items()}
    css = {name: LOADED_BY_CSS.findall(text) for name, text in _bundled("*.css").items()}

    assert [name for name, hits in (html | css).items() if hits] == []


def test_scripts_load_nothing_from_elsewhere():
    """Monaco and its workers come from the bundle: no script names a CDN or loads an absolute address."""
    scripts = _bundled("*.js")

    cdn = [(name, host) for name, text in scripts.items() for host in CDN_HOSTS if f"{host}/" in text]
    loads = [(name, hit) for name, text in scripts.items() for hit in LOADED_BY_JS.findall(text)]

    assert (cdn, loads) == ([], [])


def test_page_has_one_place_for_its_config():
    """`bff dev` writes the token into this element: none would lose it, two would write it twice."""
    html = (BUNDLE / "index.html").read_text("utf-8")

    assert html.count(CONFIG_ELEMENT) == 1
    assert html.count("opside-config") == 1


def test_page_runs_no_inline_script():
    """`script-src 'self'` stays possible: an inline script would need a hole in the policy."""
    html = (BUNDLE / "index.html").read_text("utf-8").replace(CONFIG_ELEMENT, "")

    bodies = re.findall(r"<script\b[^>]*>(.*?)</script>", html, re.DOTALL | re.IGNORECASE)

    assert [body for body in bodies if body.strip()] == []
    assert re.findall(r"""\son\w+\s*=\s*["']""", html) == []
