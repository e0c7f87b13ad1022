from sentio.core.report import Figures


def test_the_header_is_for_people() -> None:
    header = {"system": "x", "fallback": None, "sets": ["va", "expr"], "clips": 0, "searched": False, "smoothing": {}}
    header |= {"windows": {"length": 9, "seconds": None, "rate": 30.0}, "thresholds": [0.5, 0.25]}
    assert Figures(header, {"p_va": 0.5}, {"p_va": (0.25, 0.75)}, ("A note.",)).to_text().splitlines() == [
        "system: x",
        "sets: va, expr",
        "clips: 0",
        "searched: False",
        "windows: length 9, rate 30",
        "thresholds: 0.5, 0.25",
        "              p_va  0.5000  [0.2500, 0.7500]",
        "A note.",
    ]
