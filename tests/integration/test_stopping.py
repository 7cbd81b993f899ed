"""A monitor that is told to stop while a step of a retrain lasts."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from monitor.act.retrain import Retrain, RetrainState
from monitor.clock import Deadline, SystemClock
from monitor.config.settings import Settings
from monitor.health import Health
from monitor.roles import Process, start_monitor
from monitor.store.ledger import Ledger
from tests.loopback import Reply, Request, http_server

CONFIG = """\
model_config_list {
  config { name: "flights" base_path: "BASE" model_version_policy { specific { versions: 1 } } }
}
"""


def settings_of(folder: Path, rest: str) -> Settings:
    serving = {"model_config_file": str(folder / "models.config"), "rest": rest}
    return Settings.model_validate(
        {
            "store": f"sqlite:///{folder}/ledger.db",
            "spans": {"uri": f"file:{folder}/spans"},
            "monitor": {"tick": "1s"},
            "models": {
                "flights": {
                    "traffic": {"files": f"{folder}/*.jsonl"},
                    "retrain": {
                        "trainer": {"type": "command", "command": ["/bin/true"]},
                        "canary": {"tf_serving": serving},
                    },
                }
            },
        }
    )


@pytest.mark.slow
def test_a_step_that_lasts_ends_soon_and_nothing_of_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "versions" / "1").mkdir(parents=True)
    (tmp_path / "models.config").write_text(CONFIG.replace("BASE", str(tmp_path / "versions")))
    clock, waits, pause = SystemClock(), threading.Event(), threading.Event()

    def answer(request: Request) -> Reply:
        """Know of no label, so that the step waits for it."""
        if "/labels/" in request.path:
            waits.set()
            return Reply(404)
        status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return Reply(body=json.dumps({"model_version_status": [status]}).encode())

    with http_server(answer) as server:
        settings = settings_of(tmp_path, server.url)
        ledger, now = Ledger.open(settings.store, settings.team), clock.now()
        candidate = {"uri": "run", "version": "2"}
        retrain = Retrain("r1", "flights", RetrainState.CANARY, 1, "me", now, now, now, candidate=candidate)
        with ledger.database.write() as connection:
            ledger.retrains.propose_in(connection, retrain, now)
        failures: list[BaseException] = []
        health = Health(clock)
        finish = start_monitor(Process(settings, ledger, CollectorRegistry(), health, pause, failures.append))
        begun = waits.wait(60)
        pause.set()
        soon = Deadline.after(clock, 5.0)
        finish()
        assert begun
        assert not soon.expired()
        assert not [each.name for each in threading.enumerate() if each.name.startswith("retrain")]
        assert ledger.leases.acquire("model:flights", "another", clock.now(), timedelta(minutes=1)) is not None
        ledger.close()
    assert not failures
