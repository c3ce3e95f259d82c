import pytest

from bitloop import Host


@pytest.fixture
def host(tmp_path):
    with Host(tmp_path / "workspace") as running:
        yield running
        if running.process.poll() is None:
            assert running.stop() == 0


@pytest.fixture
def session(host):
    return host.session()
