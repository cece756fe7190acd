"""The clock of all calls goes on, whatever one of them, or the voice detection, does."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from eslbot.media.clock import Clock


class DeafVad:
    def probabilities(self, places: Any, windows: Any) -> Any:
        raise RuntimeError("the model failed")


def test_without_voice_detection_the_bot_still_speaks(caplog: pytest.LogCaptureFixture):
    vad: Any = DeafVad()
    clock = Clock(vad, lambda now, late_s: None)
    leg: Any = Mock(place=0)
    leg.windows.side_effect = lambda now: [bytes(512)]
    clock.add(leg)
    for now in (0.0, 0.02, 20.0):
        clock.tick(now)
    assert [one.args[0] for one in leg.play.call_args_list] == [0.0, 0.02, 20.0]
    assert caplog.text.count("nobody is heard") == 2  # and not at each tick
