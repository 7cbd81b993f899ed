from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.commands.demo import command


@pytest.mark.parametrize("servers", ["localhost", "localhost:", "one:9092,two", "one:port"])
def test_an_address_without_port_is_a_usage_error(tmp_path: Path, servers: str) -> None:
    result = CliRunner().invoke(command, ["--dir", str(tmp_path / "demo"), "--bootstrap-servers", servers])
    assert result.exit_code == 2
    assert "is not HOST:PORT" in result.output
    assert not (tmp_path / "demo").exists()
