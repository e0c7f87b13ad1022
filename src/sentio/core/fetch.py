"""Download a file that a card names: only when asked, resumed where it broke off, kept only if its hash is right."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from sentio.core.errors import WeightsError
from sentio.core.progress import Progress, silent
from sentio.core.weights import WeightFile, card, sha256
from sentio.core.writers import atomic_path

BLOCK = 1 << 16
TIMEOUT_S = 30


def fetch(name: str, *, progress: Progress = silent) -> list[Path]:
    """Fetch every file of the weights ``name`` that is not yet there.

    Args:
        name: a card whose files have addresses.
        progress: called with bytes done and bytes in all.

    Raises:
        WeightsError: no network, refused by the server, or the bytes are not the promised ones.
    """
    remote = [file for file in card(name).files.values() if file.url]
    if not remote:
        raise WeightsError(f"The weights {name!r} are part of the package; there is nothing to fetch.")
    return [fetch_file(file, progress) for file in remote]


def fetch_file(file: WeightFile, progress: Progress) -> Path:
    """Fetch one file to its place in the cache; a part left by an earlier try is continued."""
    target = file.path
    if target.is_file() and sha256(target) == file.sha256:
        progress(file.bytes, file.bytes)
        return target
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(file, part, progress)
    except urllib.error.HTTPError as error:
        raise WeightsError(f"{file.url} answered {error.code} {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(
            f"Fetching {file.url} broke off: {getattr(error, 'reason', error)}.",
            f"Run the command again to continue, or put the file at {target} yourself.",
        ) from error
    if (found := sha256(part)) != file.sha256:
        part.unlink()
        raise WeightsError(f"{file.url} sent other bytes than expected: SHA-256 {found}, not {file.sha256}.")
    with atomic_path(target) as temporary:
        part.replace(temporary)
    return target


def _download(file: WeightFile, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= file.bytes:
        return  # complete; the hash will tell
    request = urllib.request.Request(str(file.url), headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = response.status == 206
        have = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            while have < file.bytes and (block := response.read(min(BLOCK, file.bytes - have))):
                out.write(block)
                have += len(block)
                progress(have, file.bytes)
    if have < file.bytes:
        raise OSError(f"{have} of {file.bytes} bytes came")
