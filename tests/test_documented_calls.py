"""The calls to this machine that the documents show reach it, also where the shell has set a proxy."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.helpers.projects import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
LOCAL = re.compile(r"http://127\.0\.0\.1:(?:8000|5001)(/segment|/invocations)")
BLOCKS = [
    pytest.param(language, block, id=f"{page.name}, {language or 'shell'}")
    for page in PAGES
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    for block in (text.splitlines() if language != "python" else [text])
    if LOCAL.search(block)
]
ROW = {"segmentation": "", "wt_ml": 1.0, "wt_bits": 0.0, "contract_check": ""}
RESPONSE = {"segmentation": "", "version": "1", "volumes": {"WT": {}}, "warnings": [], "predictions": [ROW]}


@pytest.fixture
def service():
    """The address of a server that accepts any request, and the paths that were requested."""
    requested = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            requested.append(self.path)
            content = json.dumps(RESPONSE).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", requested
        running.shutdown()
        thread.join()


def test_the_documents_show_such_calls():
    shown = {block.id for block in BLOCKS}
    assert {"README.md, shell", "README.md, python", "serving.md, shell", "serving.md, python"} <= shown


@pytest.mark.parametrize(("language", "block"), BLOCKS)
def test_a_documented_call_reaches_this_machine_despite_a_proxy(language, block, service, tmp_path):
    if language != "python" and shutil.which("curl") is None:
        pytest.skip("no curl")
    address, requested = service
    for modality in ("t1", "t1ce", "t2", "flair"):
        (tmp_path / f"CASE_{modality}.nii.gz").write_bytes(b"a scan")
    there = re.sub(r"http://127\.0\.0\.1:\d+", address, block)
    words = [sys.executable, "-c", there] if language == "python" else ["bash", "-c", there]
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    others = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    subprocess.run(words, cwd=tmp_path, env=others | proxies, check=True, timeout=60, capture_output=True)
    assert requested == [LOCAL.search(block)[1]]
