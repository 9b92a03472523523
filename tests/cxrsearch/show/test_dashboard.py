from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.show import page
from cxrsearch.show.comparison import comparison_html
from cxrsearch.show.dashboard import dashboard_html
from cxrsearch.show.notes import provenance
from cxrsearch.show.page import safe_json
from cxrsearch.show.view import Look
from search.space import SearchSpace

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Plotly's 4.8 MB out: what is tested here is ours."""
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")


class _Page(HTMLParser):
    """Collects every tag with its attributes, and the JSON of the figures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: list[Any] = []
        self._json = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._json = tag == "script" and dict(attrs).get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._json:
            self.figures.append(json.loads(data))
            self._json = False


def test_page_builds_on_every_kind_of_study(make: SimpleNamespace, any_trials: list[Any]) -> None:
    text = dashboard_html(make.view(any_trials, alive=True), now=1.7e9)
    found = _Page(text)
    ids = {attrs.get("id") for _, attrs in found.tags}
    assert ids >= {
        "progress", "trials", "curves", "genes", "importance", "labels", "population",
        "lineage", "workers", "exposure", "notes",
    }  # fmt: skip
    figures = sum(attrs.get("class") == "figure" for _, attrs in found.tags)
    assert figures == len(found.figures)
    assert bool(found.figures) == ("/* plotly.js */" in text)


def test_nothing_is_requested_from_anywhere(make: SimpleNamespace) -> None:
    text = dashboard_html(make.view(make.mixed()), now=1.7e9)
    for tag, attrs in _Page(text).tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "form"}
        assert not attrs.get("src")
        assert (attrs.get("href") or "#").startswith("#")
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text


def test_plotly_cannot_share_the_chart() -> None:
    assert page.CONFIG["showSendToCloud"] is False
    assert page.CONFIG["displaylogo"] is False
    assert page.CONFIG["plotlyServerURL"] == ""


def test_whatever_a_user_named_stays_text(make: SimpleNamespace) -> None:
    from optuna.distributions import CategoricalDistribution

    evil = CategoricalDistribution([EVIL, "plain"])
    trials = [
        make.trial(
            n,
            params={EVIL: EVIL if n % 2 else "plain", "lr": 1e-3 + n * 1e-4},
            extra={EVIL: evil},
            attrs={
                "spans": [[EVIL, 1.7e9, 1.7e9 + 50]],
                "auroc": {EVIL: 0.6, "Mass": None},
                "exposure": {EVIL: 0.2},
                "notes": [EVIL],
                "detail": EVIL,
                "reason": EVIL,
                "device": EVIL,
                "split": EVIL,
                "point": EVIL,
            },
        )
        for n in range(15)
    ]
    settings = {
        "data": {"source": EVIL, "left_out": {EVIL: EVIL}},
        "notes": [EVIL],
        "versions": {EVIL: EVIL},
        "settings": {"objective": EVIL},
    }
    view = make.view(
        trials, name=EVIL, settings=settings, problems=(EVIL,),
        looks=(Look(EVIL, EVIL, 1, 0.6, None, {}, {}),),
    )  # fmt: skip
    for text in (dashboard_html(view, now=1.7e9), comparison_html([view, view], now=1.7e9)):
        parsed = _Page(text)
        assert "<img" not in text
        assert "alert(1)</script>" not in text
        tags = {tag for tag, _ in parsed.tags}
        assert tags <= _OURS
        assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
        # Inside Plotly's texts too: it would make elements of a subset of HTML.
        for figure in parsed.figures:
            for shown in _texts(figure):
                assert not re.search(r"<(?!/?b>|br>|extra>|/extra>)", shown), shown


_OURS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav", "div"),
    *("p", "h1", "h2", "h3", "span", "a", "b", "pre", "code", "button", "input", "script"),
    *("noscript", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "dl", "dt"),
    *("dd", "ul", "ol", "li"),
}


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [t for item in value.values() for t in _texts(item)]
    return [t for item in value for t in _texts(item)] if isinstance(value, list) else []


def test_json_cannot_end_its_element() -> None:
    text = safe_json({"a": EVIL + "\u2028&"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": EVIL + "\u2028&"}


def test_headline_tells_selection_and_test_apart(make: SimpleNamespace) -> None:
    trials = make.mixed()
    view = make.view(trials)
    best = view.best
    assert best is not None
    assert "selected from 24 complete trials" in dashboard_html(view, now=1.7e9)
    assert "the best trial is not evaluated; 0 looks" in dashboard_html(view, now=1.7e9)
    look = Look("2026-01-01", "model", best.number, 0.612, (0.55, 0.67), {"Mass": 0.6}, {})
    text = dashboard_html(replace(view, looks=(look,)), now=1.7e9)
    assert "0.612" in text
    assert "1 look at the test part" in text


def test_failures_show_their_reason(make: SimpleNamespace) -> None:
    trials = [make.trial(0), make.trial(1, "failed", attrs={"detail": "the loss is nan"})]
    text = dashboard_html(make.view(trials), now=1.7e9)
    assert "<h3>Trial 1: nan</h3>" in text
    assert "the loss is nan" in text


def test_many_genes_come_in_several_panels(make: SimpleNamespace) -> None:
    from optuna.distributions import FloatDistribution

    genes = {f"gene{i}": FloatDistribution(0, 1) for i in range(30)}
    trials = [make.trial(n, params=dict.fromkeys(genes, n / 10), extra=genes) for n in range(5)]
    text = dashboard_html(make.view(trials), now=1.7e9)
    assert "genes 1 to 12" in text
    assert "genes 25 to 30" in text


def test_page_reloads_itself_only_where_served_and_running(make: SimpleNamespace) -> None:
    running = make.view([make.trial(0, "running")], alive=True)
    assert 'http-equiv="refresh"' in dashboard_html(running, 1.7e9, refresh=True)
    assert 'http-equiv="refresh"' not in dashboard_html(running, 1.7e9)
    assert 'http-equiv="refresh"' not in dashboard_html(make.view([]), 1.7e9, refresh=True)


def test_comparison_warns_where_splits_differ(make: SimpleNamespace) -> None:
    first = make.view(make.mixed(), name="a", attrs={"split_fingerprint": "1"})
    second = make.view(make.mixed(), name="b", attrs={"split_fingerprint": "2"})
    text = comparison_html([first, second], now=1.7e9)
    assert "differ in their split (a; b): their scores do not compare" in text
    assert 'role="alert"' not in comparison_html([first, replace(first)], now=1.7e9)


def test_showing_loads_neither_torch_nor_ray() -> None:
    folder = Path(page.__file__).parent
    names = [f"cxrsearch.show.{path.stem}" for path in sorted(folder.glob("*.py"))]
    code = (
        "import importlib, sys\n"
        f"[importlib.import_module(name) for name in {names!r}]\n"
        "print([m for m in ('torch', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_status_loads_no_plotly() -> None:
    code = (
        "import sys, cxrsearch.show.status, cxrsearch.show.export; print('plotly' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_priors_of_genes_stand_in_the_provenance_with_what_the_trials_contradict(
    make: SimpleNamespace,
) -> None:
    genes = {
        "lr": {"low": 1e-4, "high": 1e-2, "log": True, "prior": {"centre": 1e-3, "width": 3}},
        "model": {"choices": ["densenet121", "vgg16"], "prior": "vgg16"},
    }
    space = SearchSpace.from_dict({"genes": genes})
    trials = make.mixed()
    said = dict(provenance(make.view(trials, space=space)))["Priors of genes"]
    assert said == "lr about 0.001, within a factor of 3; model vgg16 (4 to 1)"
    trials[-1].user_attrs["lineage"]["doubted"] = ["model"]
    said = dict(provenance(make.view(trials, space=space)))["Priors of genes"]
    assert said.endswith(". The trials contradict: model")
    assert "Priors of genes" not in dict(provenance(make.view(trials)))
