"""sentio features."""

from pathlib import Path
from typing import Annotated

from sentio.cli.parsing import FOLDER
from sentio.core.errors import require


def features(data: Path, /, *, encoder: str, out: Annotated[Path | None, FOLDER] = None, fetch: bool = False) -> int:
    """Run a frozen encoder once over a folder of data.

    Its vectors of all crops, or of all sound, are kept for training. What is there already is not done again, so a
    stopped run goes on.

    Args:
        data: folder of data.
        encoder: vit, clip, wav2vec2, ast or whisper (published weights); KIND:NAME, KIND:FOLDER, or NAME or FOLDER of a
            snapshot alone (facebook/wav2vec2-base-960h); or the .safetensors file of a trained system, whose own
            encoder is taken.
        out: folder of the store; DATA/features if not given.
        fetch: allow the download of published weights.

    Examples:
        sentio features AFFWILD2 --encoder vit --fetch
    """
    require("torch", "train")
    from sentio.affect.data.extraction import extract
    from sentio.affect.training.published import DataConfig, open_store

    config = DataConfig(features=str(out) if out else None)
    store = open_store(data, encoder, config, fetch=fetch)
    problems = extract(data, store)
    print(*problems, f"features: {store.folder}", sep="\n")
    return 1 if any(problem.level == "error" for problem in problems) else 0
