"""The page of the faults says what the results say, failures included."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _page(results: dict, directory: Path) -> str:
    spec = importlib.util.spec_from_file_location("reference_faults", ROOT / "docs" / "reference" / "faults.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.RESULTS = directory / "faults.json"
    module.RESULTS.write_text(json.dumps(results))
    return module.faults_page("head")


def _seed(number: int, *faults: str) -> dict:
    strikes = [{"name": "worker-killed", "worker_still_s": 7.0 + number, "sink_still_s": 1.0}]
    roles = {"workers": 2, "sinks": 1, "horizon_hours": 36, "records": 1000, "cells": 100, "seconds": 31.2, "load": 2.0}
    return {"seed": number, "strikes": strikes, "verdict": "100 cells: 0 lost", "faults": list(faults), **roles}


def test_failed_seed_is_shown_as_failed(tmp_path: Path) -> None:
    seeds = {"10": _seed(10, "worker-3 ended | unasked"), "2": _seed(2)}
    titles = {"worker-killed": "kill -9 of a worker", "never": "Never played"}

    page = _page({"machine": "a machine", "strikes": titles, "seeds": seeds}, tmp_path)

    assert "2 seeds, 1 of them without a fault of ours; 2,000 records, 200 cells." in page
    assert "| worker-killed | kill -9 of a worker | 2 | 1 | 13.0, 17.0 | 1.0, 1.0 |" in page
    assert "| never | Never played | 0 | 0 | - | - |" in page
    assert "| 2 | 2, 1 | 36 | worker-killed | 1000 | 100 cells: 0 lost | 31 |" in page
    assert (
        "| 10 | 2, 1 | 36 | worker-killed | 1000 | 100 cells: 0 lost; FAILED: worker-3 ended / unasked | 31 |" in page
    )
