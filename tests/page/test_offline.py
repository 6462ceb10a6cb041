"""The page where there is no network at all: a network namespace that has loopback and nothing else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.browser import chromium, unavailable
from tests.support.processes import environment
from vqa_core import ROOT


def namespace() -> list[str]:
    """The command that cuts the network off: as root, or by a user namespace."""
    if shutil.which("unshare"):
        for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
            if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
                return command
    return unavailable("no network namespace can be made here: neither root nor user namespaces.")


@pytest.mark.slow(seconds=35)
def test_every_tab_opens_and_a_question_is_answered_without_a_network(tmp_path: Path) -> None:
    chromium()
    env = environment()
    env.pop("HF_HUB_OFFLINE")  # as people start it
    done = subprocess.run(
        [*namespace(), sys.executable, "-m", "tests.support.offline_visit", str(tmp_path / "visit")],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["outside"], "the namespace leads outside, so this test says nothing"
    assert found["answer"] in {"circle", "rectangle", "triangle"}
    assert found["requests_outside"] == []
    assert found["complaints"] == []
    assert found["unroutable_by_server"] == 0, "the server tried to reach another machine when it started"
    assert found["unroutable"] == 0, "somebody tried to reach another machine"


def test_the_page_stays_offline_and_a_job_may_fetch_a_model() -> None:
    code = "import os, app, huggingface_hub.constants as c; print(c.HF_HUB_OFFLINE, os.environ.get('HF_HUB_OFFLINE'))"
    for asked, told in ((None, "True None"), ("1", "True 1"), ("0", "False 0")):
        env = environment()
        env.pop("HF_HUB_OFFLINE")
        env |= {"HF_HUB_OFFLINE": asked} if asked else {}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.stdout.strip() == told, done.stderr
