"""The agent loop of examples/ai_sdk.mjs: 200 turns in one process of node, fewer in older versions of the AI SDK."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.examples import talk
from tests.examples.fakes import AiSdk, serving
from tests.formats.ai_sdk_node import ROOT, packages

# The versions by their packages, and what each calls the interface of its models.
VERSIONS = {"ai5": "v2", "ai6": "v3", "ai7": "v4"}
TURNS = {"ai5": 90, "ai6": 90, "ai7": talk.TURNS}


@pytest.fixture(scope="module", autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """The packages; an installation is said where it can be seen."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        packages()


def beside(folder: Path, package: str) -> Path:
    """The loop and its driver beside each other, with a version of the package that the loop imports."""
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "ai").symlink_to(packages() / "node_modules" / package)
    shutil.copy(ROOT / "examples" / "ai_sdk.mjs", folder)
    return Path(shutil.copy(Path(__file__).parent / "talk.mjs", folder))


@pytest.mark.parametrize("package", VERSIONS)
def test_a_long_talk_never_breaks_a_rule(api: httpx.Client, tmp_path: Path, package: str) -> None:
    driver = beside(tmp_path, package)
    with serving(AiSdk(), talk.script()) as endpoint:
        given = {
            "context": f"{str(api.base_url).rstrip('/')}{talk.context(api)}",
            "endpoint": endpoint.url,
            "specification": VERSIONS[package],
            "questions": [talk.question(turn) for turn in range(TURNS[package])],
            "result": talk.RESULT,
            "sentTwice": talk.SENT_TWICE,
            "goesOn": talk.GOES_ON,
            "speaksAgain": talk.SPEAKS_AGAIN,
            "compacted": list(talk.COMPACTED),
        }
        ran = subprocess.run(["node", driver], input=json.dumps(given), capture_output=True, text=True, check=False)

    assert endpoint.refused == []
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["warnings"] == []
    assert set(told["repairs"]) <= talk.MENDED
    assert endpoint.continued() >= talk.CONTINUED
    if TURNS[package] == talk.TURNS:
        assert len(endpoint.sent) > talk.TURNS
        assert told["mostDropped"] > talk.TURNS
        assert told["compactions"] > 1


# A provider for names of models, as Vercel's gateway is where there is none.
PLAYED = """
globalThis.AI_SDK_DEFAULT_PROVIDER = {
  languageModel: (modelId) => ({
    specificationVersion: "v2", provider: "played", modelId, supportedUrls: {},
    doGenerate: async () => ({
      content: [{ type: "text", text: `It is shipped, says ${modelId}.` }], finishReason: "stop", warnings: [],
      usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
    }),
  }),
};
"""


def test_the_example_runs_as_it_says(api: httpx.Client, tmp_path: Path) -> None:
    beside(tmp_path, "ai5")
    (tmp_path / "played.mjs").write_text(PLAYED)
    context = f"{str(api.base_url).rstrip('/')}{talk.context(api)}"
    environment = {"CONTEXT": context, "MODEL": "a/model", "KATA_KEY": os.environ.get("TEST_API_KEY", "")}

    ran = subprocess.run(
        ["node", "--import", tmp_path / "played.mjs", tmp_path / "ai_sdk.mjs", "Where is my order 1042?"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (0, "It is shipped, says a/model.\n"), ran.stderr
    messages = api.get(f"{context}/messages").json()["data"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
