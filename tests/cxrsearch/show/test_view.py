from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.show import page
from cxrsearch.show.compare import compare_text
from cxrsearch.show.comparison import compare_page
from cxrsearch.show.dashboard import dashboard
from cxrsearch.show.export import export_csv
from cxrsearch.show.serve import DashboardServer
from cxrsearch.show.status import advice, status, status_text, statuses, statuses_text, studies_in
from cxrsearch.show.view import read_view
from search.errors import StudyError
from search.objective import Outcome, Step
from search.space import SearchSpace
from search.study import Study, StudyConfig

SPACE = {
    "name": "tiny",
    "description": "",
    "genes": {
        "model": {"choices": ["densenet121", "vgg16"]},
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "dropout": {"low": 0.0, "high": 0.5, "when": {"model": "vgg16"}},
    },
    "fixed": {},
    "points": [],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of four trials: complete, failed, complete, and one cut off."""
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "")
    path = tmp_path / "study"
    space = SearchSpace.from_dict(SPACE, "test")
    with Study.create(path, space, StudyConfig(name="real", sampler="genetic", seed=1)) as study:
        study.set("target_trials", 4)
        for value in (0.6, None, 0.7):
            task = study.ask()
            study.report(task.number, Step(1, 0.5))
            study.span(task.number, "worker 0", 100.0 + task.number, 101.0 + task.number)
            study.tell(
                task.number,
                Outcome.failed("nan", "step 3")
                if value is None
                else Outcome(value, attrs={"interval": [value - 0.1, value + 0.1]}),
            )
        study.report(study.ask().number, Step(1, 0.4))
    return path


def test_a_real_study_is_read_shown_and_exported(folder: Path, tmp_path: Path) -> None:
    record = status(folder)
    assert record["trials"]["interrupted"] == 1
    assert record["best"]["number"] == 2
    assert record["best"]["interval"] == pytest.approx([0.6, 0.8])
    assert record["target_trials"] == 4
    assert "real: genetic" in status_text(record)
    assert "Trial 1: nan" in dashboard(folder, tmp_path / "new" / "page.html").read_text()
    assert len(export_csv(folder, tmp_path / "trials.csv").read_text().splitlines()) == 5
    assert "0.700" in compare_text([folder, folder])
    assert compare_page([folder], tmp_path / "compare.html").stat().st_size > 1000


def test_showing_writes_nothing_into_the_study_but_what_took_it_time(
    folder: Path, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    status(folder)
    dashboard(folder, tmp_path / "page.html")
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert after.pop(folder / "chosen.json")
    assert after == before


@pytest.mark.parametrize("name", ["study.yaml", "looks.json", "splits.json"])
@pytest.mark.parametrize("content", [b"", b'[{"time": "t", "me', b"\xff\xfe", b"[1, {}]", b"{a: ["])
def test_half_written_files_are_left_out(
    folder: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    view = read_view(folder)
    assert view.looks == ()
    assert all(name in problem for problem in view.problems)
    dashboard(folder, tmp_path / "page.html")


def test_curves_are_read_where_they_are_whole(folder: Path) -> None:
    for number, content in enumerate((json.dumps([{"epoch": 1, "loss": 0.4}]), '[{"epoch": 1')):
        path = folder / "trials" / str(number)
        path.mkdir(parents=True, exist_ok=True)
        (path / "curve.json").write_text(content)
    view = read_view(folder)
    assert [epoch.loss for epoch in view.epochs[0]] == [0.4]
    assert list(view.epochs) == [0]
    assert view.problems == ("The training curves of 1 trials could not be read.",)


def test_a_folder_without_a_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError):
        status(tmp_path)


@pytest.fixture
def server(folder: Path) -> Iterator[DashboardServer]:
    with DashboardServer(folder, 0) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def _get(server: DashboardServer, path: str = "/", host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_served_page_is_the_dashboard_and_only_for_this_machine(server: DashboardServer) -> None:
    code, text = _get(server)
    assert code == 200
    assert "<h1>real</h1>" in text
    assert _get(server, host="evil.example")[0] == 403
    assert _get(server, path="/history.db")[0] == 404
    assert server.server_address[0] == "127.0.0.1"


def test_a_browser_that_went_away_prints_nothing(
    server: DashboardServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for error in (BrokenPipeError(), ConnectionResetError(), TimeoutError()):
        try:
            raise error
        except OSError:
            server.handle_error(None, ("127.0.0.1", 1))
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_studies_lists_them_and_a_damaged_one_does_not_hide_the_others(
    folder: Path,
) -> None:
    damaged = folder.parent / "worse"
    damaged.mkdir()
    (damaged / "history.db").write_bytes(b"no database at all, but long enough to be looked at")
    (folder.parent / "other").mkdir()
    assert studies_in(folder) == []
    found = statuses(studies_in(folder.parent))
    text = statuses_text(found)
    assert [Path(record["folder"]) for record in found] == [folder, damaged]
    lines = text.splitlines()
    assert lines[0] == f"{folder}: genetic, 4 of 4 trials, best 0.7000, not running"
    assert lines[1].startswith(f"{damaged}")
    assert "restore it from a copy" in lines[1]


def test_a_search_without_a_complete_trial_says_what_went_wrong_and_what_to_do(
    folder: Path, tmp_path: Path
) -> None:
    assert advice(folder) == f"next: cxrsearch train {folder} --out MODEL_DIR"
    space = SearchSpace.from_dict(SPACE, "test")
    with Study.create(tmp_path / "nan", space, StudyConfig("nan", "random", 1)) as study:
        empty = advice(study.folder)
        for reason in ("nan", "nan", "crash"):
            study.tell(study.ask().number, Outcome.failed(reason, "the mean loss is nan"))
    said = advice(tmp_path / "nan")
    assert "train" not in said
    assert "2 of 3 failed by nan (the mean loss is nan); try lower learning rates" in said
    assert "cxrsearch extend" in said
    assert "nothing to train yet" in empty


def test_a_port_in_use_is_named(server: DashboardServer) -> None:
    with pytest.raises(InputError, match=f"--port {server.port}"):
        DashboardServer(server.folder, server.port)
