"""sentio features."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from sentio.cli.parsing import ADDRESS, DEVICE, FOLDER, SNAPSHOT
from sentio.core.errors import InputError, require

if TYPE_CHECKING:
    from sentio.affect.training.extraction import Extraction


def features(
    data: Path,
    /,
    *,
    visual: Annotated[str | None, SNAPSHOT] = None,
    audio: Annotated[str | None, SNAPSHOT] = None,
    out: Annotated[Path | None, FOLDER] = None,
    device: Annotated[str, DEVICE] = "auto",
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "auto"] | None = None,
    ray: Annotated[str | None, ADDRESS] = None,
    fetch: bool = False,
) -> int:
    """Run frozen encoders once over a folder of data.

    Their vectors of all crops, and of all sound, are kept for training. What is there already is not done again, so a
    stopped run goes on.

    Args:
        data: folder of data.
        visual: encoder of faces: vit or clip for the published weights; the published name or the folder of a snapshot
            (openai/clip-vit-base-patch32), whose config.json tells what it is; or a trained system, whose own encoder
            is taken: face, or a .safetensors file.
        audio: encoder of sound: wav2vec2, ast, whisper, or likewise (facebook/wav2vec2-base-960h; voice).
        out: folder of the store; DATA/features if not given.
        device: where the encoders run; auto is the GPU if there is one.
        precision: how they are run: in 32 bits; in bfloat16 or float16 (GPUs), if the vectors of the first input are
            the same to a cosine of 0.999; or auto, the 16 bits that the device has, where they are and it is quicker.
            auto on a GPU, 32-true on the CPU if not given.
        ray: do it on a Ray cluster whose machines share this disk, a clip for each CPU at a time: HOST:PORT, or auto
            for the cluster of this machine, which is started if there is none. With --device cuda, for each GPU.
        fetch: allow the download of published weights.

    Examples:
        sentio features AFFWILD2 --visual clip --audio wav2vec2 --fetch
    """
    if not (visual or audio):
        raise InputError("There is no encoder to run.", "Give --visual, --audio or both.")
    require("torch", "train")
    from sentio.affect.backbones.encoders import refuse_faces, refuse_sound
    from sentio.affect.data.extraction import extract
    from sentio.affect.training.extraction import Extraction
    from sentio.affect.training.published import DataConfig, open_store

    config = DataConfig(features=str(out) if out else None)
    stores = []
    for spec, refuse in ((visual, refuse_sound), (audio, refuse_faces)):
        if spec:
            stores.append(open_store(data, spec, config, fetch=fetch))
            refuse(spec, stores[-1].encoder.info)
    if ray:
        gpus = 1 if device.startswith("cuda") else 0
        return _extract_on(
            ray, [Extraction(data, spec, out, precision, device) for spec in (visual, audio) if spec], gpus
        )
    problems = [problem for store in stores for problem in extract(data, store, precision, device)]
    print(*problems, *(f"features: {store.folder}" for store in stores), sep="\n")
    return 1 if any(problem.level == "error" for problem in problems) else 0


def _extract_on(ray: str, works: "list[Extraction]", gpus: int) -> int:
    from sentio.core import jobs
    from sentio.core.cluster import workplace

    found = [work.jobs() for work in works]
    with workplace(ray, gpus=gpus) as each:
        pairs = zip(found, works, strict=True)
        summaries = [jobs.run(todo, work, None, title="features", show=True, each=each) for todo, work in pairs]
    outcomes = [outcome for summary in summaries for outcome in summary.outcomes]
    problems = [problem for outcome in outcomes for problem in outcome.record.get("problems", ())]
    problems += [f"error: {outcome.complaint}" for outcome in outcomes if outcome.state == "failed"]
    print(*problems, *(f"features: {work.store.folder}" for work in works), sep="\n")
    return 0 if all(summary.whole for summary in summaries) else 1
