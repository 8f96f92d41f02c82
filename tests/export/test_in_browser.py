"""The page of docs/browser in a real Chromium: onnxruntime-web runs the step graph and writes what charlm writes."""

import functools
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

from charlm.export.directory import export_model
from charlm.inference.trained import TrainedModel

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'charlm[onnx]'")
from charlm.export.verification import write_ids  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")

[PACKAGE] = set(re.findall(r"onnxruntime-web@[\d.]+", (ROOT / "docs" / "export.md").read_text(encoding="utf-8")))
"""The package of the npm registry, with the version that the documents name."""

FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""What the page loads of it."""

DOWNLOAD_S = 120


class Handler(SimpleHTTPRequestHandler):
    """Serves a directory in silence."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Download onnxruntime-web by npm, or skip the tests where that is not possible."""
    folder = tmp_path_factory.mktemp("npm")
    if not shutil.which("npm"):
        pytest.skip(f"npm is not installed, so {PACKAGE} cannot be downloaded")
    try:
        subprocess.run(
            ["npm", "pack", PACKAGE, "--pack-destination", folder], check=True, capture_output=True, timeout=DOWNLOAD_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm cannot download {PACKAGE} here")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        for name in FILES:
            archive.extract(f"package/dist/{name}", folder, filter="data")
    return folder / "package"


@pytest.fixture(scope="module")
def models(vivid: TrainedModel, vivid_bytes: TrainedModel) -> dict[str, TrainedModel]:
    """Return the models that are served, by the directory of each."""
    return {"char": vivid, "byte": vivid_bytes}


@pytest.fixture(scope="module")
def address(models: dict[str, TrainedModel], runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve exports with the page and onnxruntime-web beside them, and return the address of their directories."""
    root = tmp_path_factory.mktemp("served")
    for name, model in models.items():
        export_model(model, root / name, "onnx", int8=True)
        shutil.copy(ROOT / "docs" / "browser" / "index.html", root / name)
        (root / name / "node_modules").mkdir()
        (root / name / "node_modules" / "onnxruntime-web").symlink_to(runtime)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """Open the page, and keep what it asks for and complains about in its attributes."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page()
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        yield page
        browser.close()


def write(page: Any, address: str, prompt: str, length: int, temperature: str) -> str:
    """Let the page write a text, and return it."""
    page.goto(address)
    page.fill("#prompt", prompt)
    page.fill("#length", str(length))
    page.fill("#temperature", temperature)
    page.click("#write")  # waits until the model is loaded
    page.wait_for_function("document.getElementById('status').textContent.includes('written')")
    return str(page.locator("#text").evaluate("(element) => element.textContent"))


@pytest.mark.parametrize(("name", "prompt"), [("char", ""), ("char", "wall, and"), ("byte", ""), ("byte", "grün ≤ 𝕏")])
def test_it_writes_what_charlm_writes(
    page: Any, address: str, models: dict[str, TrainedModel], name: str, prompt: str
) -> None:
    """The greedy text is that of charlm sample; nothing but this server is asked, and the console stays silent."""
    text = write(page, f"{address}/{name}/", prompt, 300, "0")
    assert text == models[name].sample(prompt=prompt, length=300, temperature=0.0)
    assert len(set(text.removeprefix(prompt))) > 2
    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []


def test_an_unfinished_character_is_shown(page: Any, address: str, vivid_bytes: TrainedModel) -> None:
    """A byte model that ends in the middle of a character ends in the sign for it, as in charlm."""
    ids = write_ids(vivid_bytes, 300, 0.0)[1:].tolist()
    length = next(place for place, byte in enumerate(ids, start=1) if byte >= 0xC2)  # begins a character in UTF-8
    text = write(page, f"{address}/byte/", "", length, "0")
    assert text == vivid_bytes.sample(length=length, temperature=0.0)
    assert text.endswith("\ufffd")


def test_it_samples(page: Any, address: str, vivid: TrainedModel) -> None:
    """At temperature 1 two texts differ, and all characters are of the vocabulary."""
    first, second = (write(page, f"{address}/char/", "", 200, "1") for _ in range(2))
    assert first != second
    assert len(first) == len(second) == 200
    assert set(first + second) <= set(vivid.vocabulary.symbols)


def test_it_runs_the_quantized_graph(page: Any, address: str) -> None:
    """The address chooses the other graph."""
    page.asked.clear()
    assert len(write(page, f"{address}/char/?model=step_int8.onnx", "", 50, "0")) == 50
    assert f"{address}/char/step_int8.onnx" in page.asked
    assert f"{address}/char/step.onnx" not in page.asked


def test_a_missing_model_is_said(page: Any, address: str) -> None:
    """The page says that it failed, instead of waiting."""
    page.goto(f"{address}/char/?model=none.onnx")
    page.wait_for_function("document.getElementById('status').textContent.startsWith('Failed')")
